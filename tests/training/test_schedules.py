import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart.training.schedules import rise_and_fall, warm_up, warm_up_then_decay

warm_ups = st.floats(0.0, 0.99)


def test_schedules():
    assert [warm_up(step, 4) for step in (1, 2, 4, 9)] == [0.25, 0.5, 1.0, 1.0]
    decayed = [warm_up_then_decay(step, 10, 2) for step in range(1, 11)]
    assert decayed[0] == 0.5
    assert max(decayed) == decayed[1] == 0.9
    assert decayed[-1] == pytest.approx(0.1)


def test_it_rises_and_falls_on_straight_lines():
    at = [0.0, 0.1, 0.2, 0.6, 1.0, 1.3]
    assert [rise_and_fall(share, 0.2) for share in at] == pytest.approx([0, 0.5, 1, 0.5, 0, 0])


@given(st.floats(0.0, 2.0), warm_ups)
def test_it_is_a_share(share, top):
    assert 0.0 <= rise_and_fall(share, top) <= 1.0


@given(st.floats(0.0, 1.5), st.floats(0.0, 1.5), warm_ups)
def test_it_rises_to_the_top_and_falls_from_there(one, other, top):
    early, late = sorted((one, other))
    first, second = rise_and_fall(early, top), rise_and_fall(late, top)
    if late <= top:
        assert first <= second
    if early >= top:
        assert first >= second


@given(warm_ups)
def test_it_is_highest_at_the_top_and_nothing_at_the_end(top):
    assert rise_and_fall(top, top) == 1.0
    assert rise_and_fall(1.0, top) == 0.0
