"""Data sets of the hub, with a stand-in for the library that reads them."""

import datetime as dt
import sys
from decimal import Decimal
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from headstart.data.corpora import as_corpus, read_corpus
from headstart.data.hub_data import pinned
from headstart.data.label_sets import holds_lists, read_label_sets
from headstart.data.labelled import read_labelled, read_texts
from headstart.data.numbers import read_numbers
from headstart.data.tables import read_rows, table_columns
from headstart.data.tagged import read_sentences, read_tagged
from headstart.errors import DataError, MissingExtraError, NetworkError, SettingsError

COMMIT = "c0ffee" * 6 + "c0de"
ROWS = [
    {"id": 1, "text": "good one", "label": 1, "flag": True},
    {"id": 2, "text": "bad one", "label": 0, "flag": False},
    {"id": 3, "text": "", "label": 1, "flag": True},
]
FEATURES = {
    "id": SimpleNamespace(dtype="int64"),
    "text": SimpleNamespace(dtype="string"),
    "label": SimpleNamespace(dtype="int64", names=["neg", "pos"]),
    "flag": SimpleNamespace(dtype="bool"),
}


CLASSES = SimpleNamespace(dtype="int64", names=["O", "B-PER"])
TAGGED = [{"tokens": ["Mary", "left"], "ner_tags": [1, 0]}, {"tokens": ["So"], "ner_tags": [0]}]
OF_LISTS = {
    "tokens": SimpleNamespace(feature=SimpleNamespace(dtype="string")),
    "ner_tags": SimpleNamespace(feature=CLASSES),
}


class Stream:
    """As `IterableDataset` of the library: features, columns to select, rows to iterate."""

    def __init__(self, rows, features, names=None):
        self.rows, self.features, self.names = rows, features, names

    def select_columns(self, names):
        return Stream(self.rows, self.features, names)

    def __iter__(self):
        for row in self.rows:
            if isinstance(row, Exception):
                raise row
            yield {name: row[name] for name in row if self.names is None or name in self.names}


@pytest.fixture
def hub(monkeypatch):
    """A hub whose data set `me/news` is `hub.rows`; it keeps what it was asked for."""
    library = ModuleType("datasets")
    hub = SimpleNamespace(rows=ROWS, features=FEATURES, asked=[], pinned=[])

    class DatasetsError(Exception):
        pass

    def load_dataset(path, name=None, *, split, revision, streaming):
        assert streaming
        hub.asked.append((path, name, split, revision))
        if split not in ("train", "test"):
            raise ValueError(f"Bad split: {split}. Available splits: ['train', 'test']\nMore.")
        return Stream(hub.rows, hub.features)

    def snapshot_download(
        name, *, repo_type, revision, allow_patterns, local_files_only, tqdm_class
    ):
        assert not local_files_only
        assert (repo_type, allow_patterns) == ("dataset", ["README.md"])
        hub.pinned.append((name, revision))
        return f"cache/snapshots/{COMMIT}"

    library.load_dataset = load_dataset
    library.exceptions = SimpleNamespace(DatasetsError=DatasetsError)
    hub.error = DatasetsError
    monkeypatch.setitem(sys.modules, "datasets", library)
    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    return hub


def test_labelled_rows_have_the_names_of_their_classes(hub):
    data = read_labelled("hf:me/news")
    assert (data.texts, data.labels) == (["good one", "bad one", ""], ["pos", "neg", "pos"])
    assert data.lines == [1, 2, 3]
    assert data.source == f"hf:me/news@{COMMIT}:train"
    assert set(hub.asked) == {("me/news", None, "train", COMMIT)}
    other = read_labelled("hf:me/news:small:test", label_column="flag")
    assert other.labels == ["true", "false", "true"]
    assert hub.asked[-1] == ("me/news", "small", "test", COMMIT)
    assert list(read_texts("hf:me/news", batch_size=2)) == [["good one", "bad one"], [""]]


def test_lists_of_labels_and_numbers(hub):
    named = SimpleNamespace(feature=FEATURES["label"])
    grade = SimpleNamespace(dtype="float64")
    hub.features = {"text": FEATURES["text"], "label": named, "grade": grade}
    hub.rows = [
        {"text": "a", "label": [0, 1], "grade": 2.5},
        {"text": "b", "label": [], "grade": 3},
    ]
    assert holds_lists("hf:me/news", None, "label")
    assert read_label_sets("hf:me/news", label_column="label").labels == [["neg", "pos"], []]
    assert read_numbers("hf:me/news", label_column="grade").labels == [2.5, 3.0]
    with pytest.raises(DataError, match="row 1: 'grade' is of type float; it must be a string"):
        read_labelled("hf:me/news", label_column="grade")
    hub.features = None
    assert holds_lists("hf:me/news", None, "label")
    hub.rows[1]["label"] = [1, None]
    with pytest.raises(DataError, match=r"row 2: 'label\[1\]' is null"):
        read_label_sets("hf:me/news", label_column="label")


def test_scalars_are_any_value_as_text(hub):
    hub.features = {**FEATURES, "when": SimpleNamespace(dtype="timestamp[s]")}
    values = [7, 0.5, None, dt.datetime(2024, 2, 29), dt.time(12, 30), True, Decimal("1.50")]
    hub.rows = [{"text": "a", "label": 1, "when": value} for value in values]
    hub.rows += [{"text": "a", "label": -1, "when": [1]}]
    allowed = dict.fromkeys(["label", "when"], "scalars")
    rows = read_rows(pinned(Path("hf:me/news")), ["when", "label"], also=allowed, batch_size=7)
    found = ["7", "0.5", "", "2024-02-29 00:00:00", "12:30:00", "true", "1.50"]
    assert next(rows).columns == [found, ["pos"] * 7]
    with pytest.raises(DataError, match="row 8: 'when' is of type list"):
        next(rows)


def test_a_corpus_streams_and_its_fingerprint_is_its_commit(hub):
    corpus = read_corpus("hf:me/news@v2:test")
    assert list(corpus) == [["good one"], ["bad one"]]
    assert corpus.description == f"hf:me/news@{COMMIT}:test"
    assert corpus.size_bytes == 0
    assert hub.pinned == [("me/news", "v2")]
    same = read_corpus([f"hf:me/news@{COMMIT}:test"])
    assert corpus.fingerprint() == same.fingerprint() != read_corpus("hf:me/news").fingerprint()
    assert list(as_corpus("hf:me/news").texts()) == ["good one", "bad one"]
    with pytest.raises(SettingsError, match="names of files, such as 'hf:me/news'"):
        as_corpus(["hf:me/news"])


def test_the_hub_is_asked_only_where_the_commit_is_not_given(hub, tmp_path):
    assert str(pinned(Path("hf:news"))) == f"hf:news@{COMMIT}:train"
    assert str(pinned(Path(f"hf:a/b@{COMMIT}:c:d"))) == f"hf:a/b@{COMMIT}:c:d"
    assert hub.pinned == [("news", None)]
    assert pinned(tmp_path) == tmp_path


def test_columns_where_nothing_says_what_they_hold(hub):
    hub.features = None
    path = Path(f"hf:me/news@{COMMIT}:train")
    assert table_columns(path) == {"id": False, "text": True, "label": False, "flag": False}
    assert read_labelled(path).labels == ["1", "0", "1"]
    hub.rows = []
    with pytest.raises(DataError, match="the dataset is empty"):
        read_labelled(path)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("hf:", "not a valid name of a Hub dataset; write hf:NAME, hf:NAME:SPLIT or"),
        ("hf:a/b/c", "not a valid name"),
        ("hf:news:train[:10]", "not a valid name"),
        ("hf:news:dev", r"^hf:news@c0ffee\w+:dev: Bad split: dev. Available .*'test'\]$"),
    ],
)
def test_bad_names(hub, source, reason):
    with pytest.raises(DataError, match=reason):
        read_labelled(source)


@pytest.mark.parametrize(
    ("row", "error", "reason"),
    [
        ({"text": None, "label": 0}, DataError, "row 2: 'text' is null; it must be a string"),
        ({"text": 1.5, "label": 0}, DataError, "row 2: 'text' is of type float"),
        ({"text": "a", "label": -1}, DataError, "line 2: no label in column 'label'"),
        ({"label": 0}, DataError, "row 2: no field 'text'; the row has 'label'"),
        (ConnectionError("gone\nmore"), NetworkError, "cannot be fetched: gone$"),
        (ValueError(""), DataError, "train: ValueError$"),
    ],
)
def test_bad_rows(hub, row, error, reason):
    hub.rows = [ROWS[0], row]
    with pytest.raises(error, match=reason):
        read_labelled("hf:me/news")


def test_errors_of_the_library_are_one_line_and_others_stay_what_they_are(hub):
    hub.rows = [hub.error("cannot cast\nat all")]
    with pytest.raises(DataError, match=r"train: cannot cast$"):
        read_labelled("hf:me/news")
    hub.rows = [ZeroDivisionError("a fault of ours")]
    with pytest.raises(ZeroDivisionError):
        read_labelled("hf:me/news")


def test_without_the_extra_its_name_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtraError, match=r"^hf:me/news needs the datasets library: pip "):
        read_labelled("hf:me/news")


def test_a_hub_out_of_reach_is_told(hub, monkeypatch):
    from huggingface_hub import errors

    def unreachable(*_, **__):
        raise errors.LocalEntryNotFoundError("no connection\nand no copy")

    monkeypatch.setattr("huggingface_hub.snapshot_download", unreachable)
    with pytest.raises(NetworkError, match=r"cannot reach the Hub: no connection$"):
        read_corpus("hf:me/news")


def test_sentences_have_the_names_of_their_tags(hub):
    hub.rows, hub.features = TAGGED, OF_LISTS
    data = read_tagged("hf:me/news", tag_column="ner_tags")
    assert data.sentences == [["Mary", "left"], ["So"]]
    assert data.tags == [["B-PER", "O"], ["O"]]
    assert data.source == f"hf:me/news@{COMMIT}:train"
    assert data.place(1, 0) == f"hf:me/news@{COMMIT}:train line 2, word 1"
    assert list(read_sentences("hf:me/news")) == [data.sentences]
    with pytest.raises(DataError, match=r"no column 'tags' of lists; columns of lists are .*ner_t"):
        read_tagged("hf:me/news")
    hub.rows = [{"tokens": ["Mary", "left"], "ner_tags": [1]}]
    with pytest.raises(DataError, match="line 1: 2 words but 1 tag"):
        read_tagged("hf:me/news", tag_column="ner_tags")


def test_rows_without_text_or_class_are_left_out_where_that_is_allowed(hub):
    hub.rows = [*ROWS, {**ROWS[0], "text": None}, {**ROWS[0], "label": -1}, ROWS[1]]
    data = read_labelled("hf:me/news", max_bad_rows=2)
    assert data.lines == [1, 2, 3, 6]
    assert "skipped 2 bad rows (2 allowed): row 4: 'text' is null" in data.notes[0]
    with pytest.raises(DataError, match=r"line 5: no label .* only 1 may be skipped"):
        read_labelled("hf:me/news", max_bad_rows=1)
