"""Several labels a text: lists, or cells with a separator; nothing is guessed."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart.data.label_sets import holds_lists, read_label_sets
from headstart.data.labelled import Labelled, check_known_labels
from headstart.errors import DataError, SettingsError


def write(folder, name, *records):
    path = folder / name
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def test_lists_of_json(tmp_path):
    path = write(
        tmp_path,
        "a.jsonl",
        {"text": "x", "label": ["b", "a", "b"]},
        {"text": "y", "label": []},
        {"text": "z", "label": [1, True, " c"]},
    )
    found = read_label_sets(path)
    assert found.texts == ["x", "y", "z"]
    assert found.labels == [["b", "a"], [], ["1", "true", " c"]]
    assert found.lines == [1, 2, 3]


def test_lists_of_parquet(tmp_path):
    path = tmp_path / "a.parquet"
    table = {"review": ["x", "y", "z"], "topic": [["a", "b"], [], ["c"]]}
    pq.write_table(pa.table(table), path)
    found = read_label_sets(path)
    assert found.labels == table["topic"]
    assert "using column 'topic' as the label" in found.notes[0]


def test_cells_are_split_at_the_separator_and_nowhere_else(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('text,label\nx,a|b c\ny,\nz,"a|, b"\n')
    assert read_label_sets(path, separator="|").labels == [["a", "b c"], [], ["a", ", b"]]
    assert read_label_sets(path, separator=" ").labels == [["a|b", "c"], [], ["a|,", "b"]]


LABEL = st.text(st.characters(codec="utf-8", exclude_characters="|\r\n\0"), min_size=1).filter(
    str.strip
)


@given(st.lists(st.lists(LABEL, unique=True), min_size=1))
def test_what_is_joined_is_split(tmp_path_factory, label_sets):
    folder = tmp_path_factory.mktemp("sets")
    records = [{"text": "x", "label": "|".join(labels)} for labels in label_sets]
    assert read_label_sets(write(folder, "a.jsonl", *records), separator="|").labels == label_sets
    records = [{"text": "x", "label": labels} for labels in label_sets]
    assert read_label_sets(write(folder, "b.jsonl", *records)).labels == label_sets


@pytest.mark.parametrize(
    ("label", "separator", "message"),
    [
        ("a|b", None, r"a\.jsonl line 2: 'label' is a string, not a list .*--label-separator"),
        ("a||b", "|", r"a\.jsonl line 2: 'label' contains a blank label: \['a', '', 'b'\]"),
        (["a", " "], None, r"a\.jsonl line 2: 'label' contains a blank label"),
        (["a", 1.5], None, r"a\.jsonl line 2: 'label\[1\]' is a number"),
        (["a", None], None, r"a\.jsonl line 2: 'label\[1\]' is null"),
        (None, None, r"a\.jsonl line 2: 'label' is null"),
    ],
)
def test_what_is_no_set_of_labels_is_named(tmp_path, label, separator, message):
    path = write(tmp_path, "a.jsonl", {"text": "x", "label": ["a"]}, {"text": "y", "label": label})
    with pytest.raises(DataError, match=message):
        read_label_sets(path, separator=separator)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([["a"], ["a", None]], "row 2: 'label' contains a null; its items must be strings"),
        ([["a"], None], "row 2: 'label' is null"),
        ([[0.5], [1.5]], "column 'label' has the type double"),
    ],
)
def test_lists_of_parquet_that_hold_something_else(tmp_path, labels, message):
    pq.write_table(pa.table({"text": ["x", "y"], "label": labels}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=message):
        read_label_sets(tmp_path / "a.parquet")


def test_words_of_texts_are_no_labels(tmp_path):
    words = " ".join(f"word{number}" for number in range(10_001))
    path = write(tmp_path, "a.jsonl", {"text": "x", "label": words})
    with pytest.raises(
        DataError, match=r"a\.jsonl: 10,001 different labels, above the limit of 10,000"
    ):
        read_label_sets(path, separator=" ")


def test_an_empty_separator(tmp_path):
    with pytest.raises(SettingsError, match="label_separator must not be empty"):
        read_label_sets(tmp_path / "a.csv", separator="")


def test_lists_are_noticed_in_the_column_of_labels_alone(tmp_path):
    path = write(tmp_path, "a.jsonl", {"text": "x", "label": "a", "words": ["x"]})
    assert not holds_lists(path, None, None)
    assert holds_lists(path, None, "words")
    (tmp_path / "a.csv").write_text("text,label\nx,a|b\n")
    assert not holds_lists(tmp_path / "a.csv", None, None)


def test_an_unknown_label_is_named():
    dataset = Labelled(["x", "y"], [["a"], ["a", "z"]])
    check_known_labels(dataset, ["a", "z"])
    with pytest.raises(DataError, match="line 2: label 'z' is not in the training data, which had"):
        check_known_labels(dataset, ["a", "b"])


def test_rows_whose_labels_are_no_list_are_left_out_where_that_is_allowed(tmp_path):
    rows = [
        {"text": "u", "label": "one"},
        {"text": "v", "label": None},
        {"text": "w", "label": ["a", " "]},
        {"text": "x", "label": ["a", None]},
        *[{"text": "y", "label": ["b"]}] * 5,
    ]
    path = write(tmp_path, "a.jsonl", *rows)
    assert holds_lists(path, None, None, max_bad_rows=4)
    found = read_label_sets(path, max_bad_rows=4)
    assert (found.labels, found.lines) == ([["b"]] * 5, [5, 6, 7, 8, 9])
    assert "skipped 4 bad rows" in found.notes[0]
    pq.write_table(pa.table({"text": list("uvwx"), "label": [["a"], None, ["b", None], []]}),
                   tmp_path / "a.parquet")  # fmt: skip
    found = read_label_sets(tmp_path / "a.parquet", max_bad_rows=2)
    assert (found.texts, found.labels, found.lines) == (["u", "x"], [["a"], []], [1, 4])
    with pytest.raises(
        DataError, match=r"row 3: 'label' contains a null; its items must .* 1 may be"
    ):
        read_label_sets(tmp_path / "a.parquet", max_bad_rows=1)


def test_labels_that_training_lacked_are_noted_where_they_count_as_errors():
    data = Labelled(["x", "y"], [["a", "new", "other"], ["b"]], "test.jsonl")
    (note,) = check_known_labels(data, ["a", "b"], "count-as-error")
    assert note.endswith("and counts as an error; such labels: 'new', 'other' (1 row)")
