import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headstart.data.labelled import check_known_labels, check_trainable
from headstart.data.overlap import find_conflicts
from headstart.data.pairs import PairDataset, read_labelled_pairs, read_pairs
from headstart.errors import DataError, SettingsError

ROWS = [("a dog", "an animal", "yes"), ("two\nlines", '"cats", \t', "no"), ("x", "1", "01")]
NAMES = ("text_a", "text_b", "label")
text = st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), max_size=12)


def write(path, rows=ROWS, names=NAMES):
    match path.suffix:
        case ".jsonl":
            lines = [json.dumps(dict(zip(names, row, strict=True))) for row in rows]
            path.write_text("\n".join(lines) + "\n")
        case ".parquet":
            pq.write_table(
                pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows]), path
            )
        case suffix:
            between = "," if suffix == ".csv" else "\t"
            quoted = [
                ['"' + value.replace('"', '""') + '"' for value in row] for row in [names, *rows]
            ]
            path.write_text("\n".join(map(between.join, quoted)) + "\n")
    return path


def test_of_symmetric_pairs_either_order_reads_as_one_text():
    pairs = PairDataset([("b", "a  c"), ("a\tc", "b"), ("b", "b")], ["x", "y", "x"])
    assert pairs.as_texts().texts == ["b | a  c", "a\tc | b", "b | b"]
    assert pairs.as_texts(symmetric=True).texts == ["a  c | b", "a\tc | b", "b | b"]
    assert find_conflicts(pairs.as_texts()).num_texts == 0
    assert find_conflicts(pairs.as_texts(symmetric=True)).num_texts == 1


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "parquet"])
def test_every_format_gives_the_same_pairs(ending, tmp_path):
    path = write(tmp_path / f"pairs.{ending}")
    data = read_labelled_pairs(path)
    assert data.texts == [(a, b) for a, b, _ in ROWS]
    assert data.labels == ["yes", "no", "01"]
    assert (len(data), data.notes, data.source) == (3, (), str(path))
    assert data.lines == {"parquet": [1, 2, 3], "jsonl": [1, 2, 3]}.get(ending, [2, 3, 5])
    assert list(read_pairs(path, batch_size=2)) == [data.texts[:2], data.texts[2:]]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(st.lists(st.tuples(text, text, st.sampled_from(["yes", "no"])), min_size=1, max_size=5))
def test_what_is_written_is_read(tmp_path, rows):
    data = read_labelled_pairs(write(tmp_path / "pairs.csv", rows))
    assert [(*pair, label) for pair, label in zip(data.texts, data.labels, strict=True)] == rows


@pytest.mark.parametrize(
    ("names", "taken"),
    [
        (("premise", "hypothesis", "label"), ("premise", "hypothesis")),
        (("id", "sentence_B", "sentence_A", "score", "label"), ("sentence_A", "sentence_B")),
        (("Question1", "Question2", "is_same"), ("Question1", "Question2")),
        (("#1 String", "#2 String", "label"), ("#1 String", "#2 String")),
        (("left", "right", "label"), ("left", "right")),
    ],
)
def test_names_are_guessed_when_unmistakable_and_said(names, taken, tmp_path):
    path = write(tmp_path / "pairs.csv", [tuple(f"in {name}" for name in names)], names)
    asked = "is_same" if "is_same" in names else None
    data = read_labelled_pairs(path, label_column=asked)
    assert data.texts == [(f"in {taken[0]}", f"in {taken[1]}")]
    assert f"using columns {taken[0]!r} and {taken[1]!r} as the pair" in data.notes[0]


def test_columns_that_are_asked_for_need_no_guess(tmp_path):
    path = write(
        tmp_path / "pairs.csv", [("0", "1", "2", "3")], ("premise", "x", "y", "hypothesis")
    )
    data = read_labelled_pairs(path, pair_columns=["y", "premise"], label_column="x")
    assert (data.texts, data.labels, data.notes) == ([("2", "0")], ["1"], ())


@pytest.mark.parametrize(
    ("names", "settings", "message"),
    [
        (
            ("text_a", "label"),
            {},
            "which columns are the two texts of a pair; the columns are 'text_a', 'label'",
        ),
        (("a", "b", "c", "label"), {}, "name two with pair_columns"),
        (("premise", "hypothesis", "text1", "text2", "label"), {}, "cannot tell which columns"),
        (
            NAMES,
            {"pair_columns": ["text_a", "c"]},
            "no column 'c'; the columns are 'text_a', 'text_b'",
        ),
        (("text_a", "text_b", "x", "y"), {}, "which column is the label; the columns are 'x', 'y'"),
        (NAMES, {"label_column": "class"}, "csv: no column 'class'"),
        (("text_a", "text_b"), {}, "cannot tell which column is the label"),
    ],
)
def test_a_missing_column_is_named(names, settings, message, tmp_path):
    path = write(tmp_path / "pairs.csv", [names], names)
    with pytest.raises(DataError, match=message):
        read_labelled_pairs(path, **settings)


@pytest.mark.parametrize("asked", [["text_a"], ["text_a"] * 2, ["text_a", "text_b", "label"]])
def test_a_pair_has_two_columns(asked, tmp_path):
    path = write(tmp_path / "pairs.csv")
    with pytest.raises(
        SettingsError, match="pair_columns must be two different columns, got 'text_a'"
    ):
        read_labelled_pairs(path, pair_columns=asked)


def test_text_a_and_text_b_come_before_other_known_names(tmp_path):
    names = ("premise", "hypothesis", "text_a", "text_b", "label")
    path = write(tmp_path / "pairs.csv", [("p", "h", "a", "b", "yes")], names)
    data = read_labelled_pairs(path)
    assert (data.texts, data.labels, data.notes) == ([("a", "b")], ["yes"], ())


def test_pairs_with_an_empty_side_are_kept_and_counted(tmp_path):
    rows = [("a", "b", "yes"), ("", "b", "no"), ("a", " ", "no"), ("", "", "yes")]
    data = read_labelled_pairs(path := write(tmp_path / "pairs.csv", rows))
    assert data.texts == [row[:2] for row in rows]
    assert data.notes == (f"{path} line 3: a side is empty, as in 3 of 4 pairs; they are kept",)


def test_a_row_without_a_label_is_named(tmp_path):
    path = write(tmp_path / "pairs.csv", [("a", "b", "yes"), ("a", "b", " ")])
    with pytest.raises(DataError, match=r"pairs\.csv line 3: no label in column 'label'"):
        read_labelled_pairs(path)
    (tmp_path / "pairs.csv").write_text("text_a,text_b,label\n")
    with pytest.raises(DataError, match="has column names but no rows"):
        read_labelled_pairs(path)


def test_a_row_that_is_no_pair_is_named(tmp_path):
    (tmp_path / "pairs.csv").write_text("text_a,text_b,label\na,b,yes\na,no\n")
    with pytest.raises(
        DataError, match=r"pairs\.csv line 3, column 3: found 2 columns, expected 3"
    ):
        read_labelled_pairs(tmp_path / "pairs.csv")
    (tmp_path / "pairs.jsonl").write_text('{"text_a": "a", "text_b": "b"}\n{"text_a": "a"}\n')
    with pytest.raises(
        DataError, match=r"pairs\.jsonl line 2: no field 'text_b'; the object has 'text_a'"
    ):
        list(read_pairs(tmp_path / "pairs.jsonl"))


def test_plain_text_has_a_pair_a_line(tmp_path):
    path = tmp_path / "pairs.txt"
    path.write_text("a dog\tan animal\n\tonly a second\nnone\t\n")
    assert list(read_pairs(path, batch_size=2)) == [
        [("a dog", "an animal"), ("", "only a second")],
        [("none", "")],
    ]
    for wrong, tabs in (("no tab", 0), ("one\ttwo\tthree", 2)):
        path.write_text(f"a\tb\n{wrong}\n")
        with pytest.raises(
            DataError, match=rf"pairs\.txt line 2: found {tabs} tabs, expected 1; write both"
        ):
            list(read_pairs(path))
    path.write_text("\t\n")
    with pytest.raises(DataError, match="contains no text"):
        list(read_pairs(path))
    with pytest.raises(DataError, match="contains no text"):
        next(read_pairs(path))
    with pytest.raises(SettingsError, match="batch_size must be 1 or more"):
        list(read_pairs(path, batch_size=0))


def test_labels_are_checked_as_those_of_texts_are():
    with pytest.raises(DataError, match="2 texts but 1 labels"):
        PairDataset([("a", "b")] * 2, ["x"])
    single = PairDataset([("a", "b")] * 3, ["x", "x", "y"], "pairs.csv", [2, 3, 7])
    with pytest.raises(DataError, match=r"pairs\.csv line 7: the only example of class 'y'"):
        check_trainable(single)
    with pytest.raises(
        DataError, match=r"pairs\.csv line 7: label 'y' is not in the training data"
    ):
        check_known_labels(single, ["x"])


def test_a_pair_without_a_side_is_a_bad_row_and_one_with_an_empty_side_is_not(tmp_path):
    path = tmp_path / "pairs.jsonl"
    rows = [
        {"text_a": "a", "text_b": "b", "label": "x"},
        {"text_a": "a", "label": "x"},
        {"text_a": "a", "text_b": None, "label": "y"},
        {"text_a": "", "text_b": "d", "label": "y"},
        {"text_a": "", "text_b": "d", "label": ""},
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    data = read_labelled_pairs(path, max_bad_rows=3)
    assert (data.texts, data.lines) == ([("a", "b"), ("", "d")], [1, 4])
    left_out, empty = data.notes
    assert "skipped 3 bad rows (3 allowed): line 2: no field 'text_b'" in left_out
    assert "line 4: a side is empty, as in 1 of 2 pairs; they are kept" in empty


def test_a_column_cannot_hold_both_a_text_and_the_labels(tmp_path):
    path = write(tmp_path / "pairs.csv")
    with pytest.raises(DataError, match=r"column 'text_b' cannot be both a text of the pair and"):
        read_labelled_pairs(path, pair_columns=["text_a", "text_b"], label_column="text_b")
