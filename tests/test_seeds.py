"""Every part of a run has a stream of random numbers of its own, the same every time."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.seeds import derive, generator


def test_the_numbers_never_change():
    assert derive(0) == 4761921975702974394
    assert derive(7, "split", 3) == 5005577910245211449


@settings(deadline=None)
@given(st.integers(), st.lists(st.text() | st.integers(), max_size=3))
def test_fits_every_library(seed, names):
    assert 0 <= derive(seed, *names) < 2**63


def test_names_do_not_run_together():
    assert len({derive(0, "ab", "c"), derive(0, "a", "bc"), derive(0, "abc"), derive(0)}) == 4


def test_generators_are_independent_of_one_another():
    first = generator(0, "noise").random(4)
    generator(0, "order").random(100)
    np.testing.assert_array_equal(generator(0, "noise").random(4), first)
    assert not np.array_equal(generator(1, "noise").random(4), first)
