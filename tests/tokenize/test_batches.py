import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.tokenize.batches import Encoded, inference_batches, pad, training_batches

LISTS = st.lists(st.lists(st.integers(1, 99), max_size=9), min_size=1, max_size=30)


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
@given(LISTS, st.integers(1, 6))
def test_truncation_keeps_beginnings_and_counts(lists, most):
    cut, count = Encoded.from_lists(lists).truncate(most)
    assert [cut[row].tolist() for row in range(len(cut))] == [ids[:most] for ids in lists]
    assert count == sum(len(ids) > most for ids in lists)


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
