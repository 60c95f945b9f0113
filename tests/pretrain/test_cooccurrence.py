from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.errors import DataError
from headstart.pretrain import cooccurrence
from headstart.pretrain.cooccurrence import TILE_BITS, count
from headstart.tokenize.encoded import END, EncodedCorpus


def corpus(documents, vocabulary):
    ids = np.array([word for document in documents for word in (*document, END)], np.int32)
    counts = np.bincount(ids[ids >= 0], minlength=vocabulary)
    return EncodedCorpus(ids, counts, len(documents), sum(map(len, documents)))


def by_hand(documents, window):
    """X_ij for all i and j, as the paper defines it."""
    counts = defaultdict(float)
    for document in documents:
        for at, word in enumerate(document):
            for other in range(max(at - window, 0), min(at + window + 1, len(document))):
                if other != at:
                    counts[word, document[other]] += 1 / abs(at - other)
    return dict(counts)


def as_table(counts):
    """The same table from tiles and records."""
    table = {}
    for tile, (row, column) in enumerate(counts.tiles):
        for record in counts.records[counts.offsets[tile] : counts.offsets[tile + 1]]:
            i = (int(row) << TILE_BITS) + int(record["row"])
            j = (int(column) << TILE_BITS) + int(record["column"])
            assert i <= j
            assert (i, j) not in table
            table[i, j] = table[j, i] = float(record["count"])
    assert len(table) == counts.pairs
    return table


def random_documents(seed, vocabulary, documents=20, longest=60):
    random = np.random.default_rng(seed)
    lengths = random.integers(0, longest, documents)
    return [random.integers(2, vocabulary, length).tolist() for length in lengths]


@pytest.mark.parametrize(("vocabulary", "window"), [(6, 1), (30, 10), (3000, 4)])
def test_counts_equal_the_definition(tmp_path, vocabulary, window):
    documents = random_documents(0, vocabulary)
    counts = count(corpus(documents, vocabulary), tmp_path, window=window)
    assert as_table(counts) == pytest.approx(by_hand(documents, window), rel=1e-6)


@settings(max_examples=15, deadline=None)
@given(
    documents=st.lists(st.lists(st.integers(0, 1100), max_size=8), min_size=1, max_size=5),
    window=st.integers(1, 5),
    buffer=st.integers(8, 60),
)
def test_any_documents_in_any_buffer(tmp_path_factory, documents, window, buffer):
    expected = by_hand(documents, window)
    text = corpus(documents, 1101)
    folder = tmp_path_factory.mktemp("counts")
    if not expected:
        with pytest.raises(DataError, match="no document contains two words"):
            count(text, folder, window=window, buffer=buffer)
        return
    counts = count(text, folder, window=window, buffer=buffer)
    assert as_table(counts) == pytest.approx(expected, rel=1e-6)


def test_windows_end_with_the_document(tmp_path):
    counts = count(corpus([[2, 3], [4, 5]], 6), tmp_path, window=10)
    assert set(as_table(counts)) == {(2, 3), (3, 2), (4, 5), (5, 4)}


def test_many_runs_are_merged(tmp_path, monkeypatch):
    monkeypatch.setattr(cooccurrence, "_FAN_IN", 3)
    monkeypatch.setattr(cooccurrence, "_SAMPLE", 1 << 4)
    monkeypatch.setattr(cooccurrence, "_PART", 1 << 10)
    documents = random_documents(1, 2000, documents=200)
    text = corpus(documents, 2000)
    spilled = count(text, tmp_path, window=5, buffer=1000)
    assert as_table(spilled) == pytest.approx(by_hand(documents, 5), rel=1e-6)
    runs = [folder for folder in tmp_path.iterdir() if (folder / "keys").exists()]
    assert 1 < len(runs) <= 3 * 3  # merged runs are gone from the disk


def test_threads_do_not_change_the_counts(tmp_path):
    text = corpus(random_documents(2, 1500, documents=100), 1500)
    results = []
    for threads in (1, 3):
        folder = tmp_path / str(threads)
        folder.mkdir()
        results.append(count(text, folder, window=5, threads=threads, buffer=2000))
    assert results[0].records.tobytes() == results[1].records.tobytes()
    assert (results[0].tiles == results[1].tiles).all()


def test_records_of_a_tile_are_shuffled_by_the_seed(tmp_path):
    text = corpus(random_documents(3, 200, documents=100), 200)
    orders = []
    for seed in (0, 1):
        folder = tmp_path / str(seed)
        folder.mkdir()
        records = count(text, folder, window=5, seed=seed).records
        orders.append([(int(record["row"]), int(record["column"])) for record in records])
    assert sorted(orders[0]) == sorted(orders[1])
    assert orders[0] != orders[1]
    assert orders[0] != sorted(orders[0])
    rows = np.array([row for row, _ in orders[0]])
    assert abs(np.corrcoef(rows, np.arange(len(rows)))[0, 1]) < 0.1
