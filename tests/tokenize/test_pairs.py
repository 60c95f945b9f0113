import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart.errors import SettingsError
from headstart.tokenize.batches import Encoded
from headstart.tokenize.pairs import Frame, join_pairs, padded_lengths, room_of_sides, rows_of_sides

FRAME = Frame(before=[20], between=[21, 21], after=[22])
TEXTS = [[5, 6], [], [1, 2, 3, 4], [7], [8, 9], [11, 12, 13]]  # the first three, then the second
lists = st.lists(st.lists(st.integers(0, 9), max_size=9), max_size=4)


def joined(texts, max_tokens=99, **settings):
    settings = {"both_orders": False, **settings}
    pairs, cut = join_pairs(Encoded.from_lists(texts), FRAME, max_tokens, **settings)
    return [pairs[row].tolist() for row in range(len(pairs))], cut, pairs.seconds


def by_popping(first, second, room):
    """Cut a pair as the program of BERT's authors does."""
    first, second = list(first), list(second)
    while len(first) + len(second) > room:
        (first if len(first) > len(second) else second).pop()
    return first, second


def test_both_texts_stand_in_their_frame():
    pairs, cut, seconds = joined(TEXTS)
    assert pairs == [
        [20, 5, 6, 21, 21, 7, 22],
        [20, 21, 21, 8, 9, 22],
        [20, 1, 2, 3, 4, 21, 21, 11, 12, 13, 22],
    ]
    assert (cut, seconds) == (0, None)


def test_both_orders_follow_one_another():
    pairs, cut, seconds = joined(TEXTS, 10, both_orders=True, segments=True)
    ordered, _, _ = joined(TEXTS, 10)
    swapped, _, _ = joined(TEXTS[3:] + TEXTS[:3], 10)
    assert pairs == ordered + swapped
    assert cut == 1, "a pair is cut once, however often it is read"
    assert [pair[start - 1] for pair, start in zip(pairs, seconds, strict=True)] == [21] * 6


@given(lists, lists, st.integers(6, 20))
def test_the_longer_side_is_cut_as_in_berts_own_program(first, second, max_tokens):
    number = min(len(first), len(second))
    pairs, cut, _ = joined(first[:number] + second[:number], max_tokens)
    room = max_tokens - len(FRAME)
    expected = [by_popping(a, b, room) for a, b in zip(first, second, strict=False)]
    assert pairs == [[20, *a, 21, 21, *b, 22] for a, b in expected]
    assert cut == sum(len(a) + len(b) > room for a, b in zip(first, second, strict=False))


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 30))
def test_what_is_kept_fills_the_room(first, second, room):
    kept = room_of_sides(np.array([first]), np.array([second]), room)
    assert sum(int(side[0]) for side in kept) == min(first + second, room)


def test_no_room_is_refused():
    with pytest.raises(SettingsError, match="max_tokens must be above 5 for pairs, got 5"):
        joined(TEXTS, 5)
    pairs, _, _ = joined([[1, 2], [3, 4]], 6)
    assert pairs == [[20, 1, 21, 21, 3, 22]]


def test_no_pairs_are_none():
    assert joined([]) == ([], 0, None)


def test_sides_stand_behind_one_another():
    assert rows_of_sides(np.array([2, 0]), 3, sides=2).tolist() == [2, 0, 5, 3]
    assert rows_of_sides(np.array([2, 0]), 3, sides=1).tolist() == [2, 0]
    texts = Encoded.from_lists(TEXTS)
    assert padded_lengths(texts, sides=2).tolist() == [4, 4, 8]
    assert padded_lengths(texts, sides=1).tolist() == texts.lengths.tolist()
