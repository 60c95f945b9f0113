import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.tokenize.batches import (
    Encoded,
    best_fit,
    by_row,
    counted,
    endless_batches,
    inference_batches,
    offsets_of,
    pack,
    pad,
    ranges,
    training_batches,
)

LISTS = st.lists(st.lists(st.integers(1, 99), max_size=9), min_size=1, max_size=30)
FILLED = st.lists(st.lists(st.integers(1, 99), min_size=1, max_size=9), min_size=1, max_size=30)
FEW = st.lists(st.integers(1, 99), max_size=3)


def as_lists(encoded):
    return [encoded[row].tolist() for row in range(len(encoded))]


# Texts as ids


@settings(max_examples=50, deadline=None)
@given(LISTS)
def test_padding_holds_exactly_the_ids(lists):
    encoded = Encoded.from_lists(lists)
    rows = np.arange(len(lists))[::-1]
    ids_BT, mask_BT = pad(encoded, rows)
    for row, ids, mask in zip(rows, ids_BT, mask_BT, strict=True):
        assert ids[mask].tolist() == lists[row]
        assert not ids[~mask].any()


@settings(max_examples=50, deadline=None)
@given(LISTS, st.integers(0, 6))
def test_truncation_keeps_beginnings_and_counts(lists, most):
    cut, count = Encoded.from_lists(lists).truncate(most)
    assert as_lists(cut) == [ids[:most] for ids in lists]
    assert count == sum(len(ids) > most for ids in lists)


@settings(max_examples=50, deadline=None)
@given(LISTS, FEW, FEW)
def test_ids_are_put_around_every_text(lists, before, after):
    encoded = Encoded.from_lists(lists).surround(before, after)
    assert as_lists(encoded) == [[*before, *ids, *after] for ids in lists]
    assert encoded.ids.dtype == np.int32


@settings(max_examples=50, deadline=None)
@given(LISTS, st.lists(st.integers(0, 29), max_size=9))
def test_texts_are_selected_in_the_order_asked_for(lists, rows):
    rows = [row % len(lists) for row in rows]
    assert as_lists(Encoded.from_lists(lists).select(rows)) == [lists[row] for row in rows]


# Batches


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 50), min_size=1, max_size=200), st.integers(1, 40))
def test_every_row_is_in_one_batch(lengths, size):
    lengths = np.array(lengths)
    batches = training_batches(lengths, batch_size=size, generator=np.random.default_rng(0))
    assert sorted(np.concatenate(batches)) == list(range(len(lengths)))
    assert max(map(len, batches)) <= size
    batches = inference_batches(lengths, max_tokens=60)
    assert sorted(np.concatenate(batches)) == list(range(len(lengths)))
    assert all(len(rows) == 1 or len(rows) * lengths[rows].max() <= 60 for rows in batches)


def test_grouping_by_length_saves_most_of_the_padding():
    lengths = np.random.default_rng(1).integers(1, 100, 2000)
    batches = training_batches(lengths, batch_size=32, generator=np.random.default_rng(0))
    padded = sum(len(rows) * lengths[rows].max() for rows in batches)
    assert padded < 1.15 * lengths.sum()


def test_every_pass_has_its_own_order_and_the_seed_decides_it():
    def passes(seed):
        batches = endless_batches(np.ones(20, np.int64), batch_size=5, seed=seed)
        return [np.concatenate([next(batches) for _ in range(4)]).tolist() for _ in range(3)]

    orders = passes(0)
    assert all(sorted(order) == list(range(20)) for order in orders)
    assert len({tuple(order) for order in orders}) == 3
    assert passes(0) == orders != passes(1)


# Texts side by side


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 20), max_size=60), st.integers(20, 40))
def test_every_text_gets_a_place_of_its_own_inside_a_row(lengths, width):
    lengths = np.array(lengths, np.int64)
    rows, starts = best_fit(lengths, width)
    taken = np.zeros((len(lengths) + 1, width), int)
    for row, start, length in zip(rows, starts, lengths, strict=True):
        assert start + length <= width
        taken[row, start : start + length] += 1
    assert taken.max(initial=0) <= 1
    assert taken.sum() == lengths.sum()
    used = np.unique(rows)
    assert used.tolist() == list(range(len(used)))
    half_empty = (taken[: len(used)].sum(1) * 2 < width).sum()
    assert half_empty <= 1  # two such would have shared one


def test_the_best_row_is_the_one_with_least_room():
    rows, starts = best_fit(np.array([6, 5, 4, 3, 1]), 10)
    assert rows.tolist() == [0, 1, 0, 1, 1]
    assert starts.tolist() == [0, 0, 6, 5, 8]


def test_a_text_longer_than_a_row_is_refused():
    with pytest.raises(ValueError, match="a text of 11 tokens does not fit rows of 10"):
        best_fit(np.array([3, 11]), 10)


@settings(max_examples=100, deadline=None)
@given(FILLED, st.sampled_from([None, 9, 20]), st.randoms())
def test_packed_texts_come_back(lists, tokens, random):
    rows = np.array(random.sample(range(len(lists)), random.randint(1, len(lists))))
    packed = pack(Encoded.from_lists(lists), rows, tokens=tokens)
    longest = max(len(lists[row]) for row in rows)
    assert packed.ids_BT.shape[1] == (tokens or longest)
    ids, sequences, positions = (
        each.ravel() for each in (packed.ids_BT, packed.sequences_BT, packed.positions_BT)
    )
    for number, row in enumerate(rows):
        at = np.flatnonzero(sequences == number)
        assert at.tolist() == list(range(packed.first_N[number], packed.last_N[number] + 1))
        assert ids[at].tolist() == lists[row]
        assert positions[at].tolist() == list(range(len(lists[row])))
    assert not ids[sequences < 0].any()
    total = sum(len(lists[row]) for row in rows)
    assert packed.filled == pytest.approx(total / ids.size)


def test_nothing_is_packed_into_no_row():
    packed = pack(Encoded.from_lists([[1]]), np.arange(0))
    assert packed.ids_BT.shape == (0, 1)
    assert len(packed.first_N) == 0


@given(
    st.integers(1, 6).flatmap(
        lambda rows: st.tuples(
            st.just(rows), st.lists(st.integers(0, rows * 7 - 1), unique=True, max_size=20)
        )
    )
)
def test_places_sorted_by_row_are_found_again(rows_and_places):
    rows, listed = rows_and_places
    places = np.array(listed, np.int64)
    columns, at = by_row(places, (rows, 7))
    most = max(np.bincount(places // 7, minlength=rows).max(), 1)
    assert columns.shape == (rows, most)
    found_in = at // most
    assert (found_in * 7 + columns.ravel()[at] == places).all()
    assert len(set(at.tolist())) == len(places)


def test_ranges():
    assert ranges(np.array([0, 2, 2, 5]), np.array([2, 0, 1])).tolist() == [2, 3, 4, 0, 1]


def test_what_lies_end_to_end():
    assert offsets_of([2, 0, 3]).tolist() == [0, 2, 2, 5]
    assert offsets_of([]).tolist() == [0]
    assert counted(np.array([2, 0, 3])).tolist() == [0, 1, 0, 1, 2]
