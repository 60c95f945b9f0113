"""A number a text, from every format; what is none is named with its line."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart.data.labelled import Dataset
from headstart.data.numbers import note_of_numbers, read_numbers, read_pair_numbers
from headstart.data.pairs import PairDataset
from headstart.errors import DataError, SettingsError


def test_numbers_of_csv(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("text,label\nx,1.5\ny,-2e-3\nz, 7\n")
    found = read_numbers(path)
    assert (found.texts, found.labels, found.lines) == (
        ["x", "y", "z"],
        [1.5, -0.002, 7.0],
        [2, 3, 4],
    )


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_numbers_of_json_and_parquet_are_read_exactly(tmp_path_factory, numbers):
    folder = tmp_path_factory.mktemp("numbers")
    lines = (json.dumps({"text": "x", "score": number}) + "\n" for number in numbers)
    (folder / "a.jsonl").write_text("".join(lines))
    table = pa.table({"text": ["x"] * len(numbers), "score": pa.array(numbers, pa.float64())})
    pq.write_table(table, folder / "a.parquet")
    assert read_numbers(folder / "a.jsonl").labels == numbers
    assert read_numbers(folder / "a.parquet").labels == numbers


@pytest.mark.parametrize(
    "cell",
    ["good", "", "nan", "inf", "1_000", "1,5", "0x1", "true", "\uff11\uff12", "\u0661\u0662"],
)
def test_what_is_no_number_is_named(tmp_path, cell):
    path = tmp_path / "a.csv"
    path.write_text(f'text,stars\nx,1\ny,"{cell}"\n')
    with pytest.raises(
        DataError, match=rf"a\.csv line 3: 'stars' is '{cell}', not a finite number"
    ) as told:
        read_numbers(path)
    assert ("write decimals with a point" in str(told.value)) == ("," in cell)


def test_a_missing_number_is_named(tmp_path):
    pq.write_table(pa.table({"text": ["x", "y"], "score": [0.5, None]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="row 2: 'score' is null"):
        read_numbers(tmp_path / "a.parquet")


def test_numbers_of_pairs(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("sentence1,sentence2,score\na dog,a cat,2.5\na dog,,-1e1\n")
    found = read_pair_numbers(path)
    assert (found.texts, found.labels) == ([("a dog", "a cat"), ("a dog", "")], [2.5, -10.0])
    assert found.lines == [2, 3]
    columns, label, empty = found.notes
    assert "using columns 'sentence1' and 'sentence2' as the pair" in columns
    assert "using column 'score' as the label" in label
    assert empty == f"{path} line 3: a side is empty, as in 1 of 2 pairs; they are kept"
    lines = ({"a": "x", "b": "y", "n": number} for number in (1, 0.1))
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    chosen = {"pair_columns": ["b", "a"], "label_column": "n"}
    found = read_pair_numbers(tmp_path / "a.jsonl", **chosen)
    assert (found.texts, found.labels, found.notes) == ([("y", "x")] * 2, [1.0, 0.1], ())


@pytest.mark.parametrize("cell", ["alike", "", "nan", "1_000"])
def test_a_pair_without_a_number_is_named(tmp_path, cell):
    path = tmp_path / "a.csv"
    path.write_text(f'text_a,text_b,score\nx,y,1\nx,y,"{cell}"\n')
    with pytest.raises(
        DataError, match=rf"a\.csv line 3: 'score' is '{cell}', not a finite number"
    ):
        read_pair_numbers(path)
    with pytest.raises(SettingsError, match="pair_columns must be two different columns"):
        read_pair_numbers(path, pair_columns=["text_a"])


def test_labels_that_look_like_numbers_are_noted():
    many = [str(number / 2) for number in range(11)]
    found = note_of_numbers(Dataset(["x"] * 22, many * 2, "a.csv"))
    assert found == (
        "a.csv: the labels look like numbers but are read as 11 classes; to predict numbers "
        "use headstart fit regression"
    )
    note = note_of_numbers(PairDataset([("x", "y")] * 11, many))
    assert note is not None
    assert note.endswith("to predict numbers use headstart fit pair --numbers")
    assert note_of_numbers(Dataset(["x"] * 10, many[:10])) is None, "grades, perhaps"
    assert note_of_numbers(Dataset(["x"] * 12, [*many, "unknown"])) is None


@pytest.mark.parametrize("read", [read_numbers, read_pair_numbers])
def test_rows_without_a_number_are_left_out_where_that_is_allowed(tmp_path, read):
    sides = "text" if read is read_numbers else "text_a,text_b"
    text = "x" if read is read_numbers else "x,y"
    path = tmp_path / "a.csv"
    path.write_text(f"{sides},label\n{text},1\n{text},good\n{text}\n{text},\n{text},2\n")
    found = read(path, max_bad_rows=3)
    assert (found.labels, found.lines) == ([1.0, 2.0], [2, 6])
    assert "(3 allowed): line 4, column " in found.notes[0]
    assert "line 3: 'label' is 'good', not a finite number" in found.notes[0]
    with pytest.raises(DataError, match=r"line 5: 'label' is '', not a finite .* 2 may"):
        read(path, max_bad_rows=2)
