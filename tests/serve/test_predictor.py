"""Predictions stream: in order, in bounded memory, into a file that is whole or absent."""

import csv
import datetime as dt
import io
import json
import os
import resource
import tracemalloc

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.errors import DataError, SettingsError, StorageError
from headstart.serve.predictor import (
    LabelSetPrediction,
    NumberPrediction,
    Prediction,
    csv_cell,
    predict,
    predict_file,
    write_jsonl,
)
from headstart.transfer.estimators import TextClassifier
from headstart.transfer.regressor import TextRegressor


class LengthClassifier:
    """Calls a text long or short, and remembers how many texts it was given at a time."""

    classes_ = np.array(["long", "short"])

    def __init__(self):
        self.batch_sizes = []

    def predict_proba(self, texts):
        self.batch_sizes.append(len(texts))
        long = np.array([min(len(text), 10) / 10 for text in texts])
        return np.stack([long, 1 - long], axis=1)


TEXTS = [
    "tiny",
    'it says "quoted, and long"',
    "=SUM(A1)",
    "naïve café ☕",
    "",
    "two\nlines\r\n",
    "-1.5",
]


def source_file(tmp_path, texts=TEXTS):
    path = tmp_path / "texts.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path


def predicted(tmp_path, ending, texts=TEXTS, **options):
    target = tmp_path / f"out{ending}"
    count = predict_file(LengthClassifier(), source_file(tmp_path, texts), target, **options)
    assert count == len(texts)
    return target


def test_probabilities_and_labels_belong_together():
    (batch,) = predict(LengthClassifier(), [["abc", "abcdefgh"]])
    assert batch == [Prediction("abc", "short", 0.7), Prediction("abcdefgh", "long", 0.8)]


@pytest.mark.parametrize("ending", [".jsonl", ".parquet", ".csv", ".tsv"])
def test_every_format_has_the_same_rows(tmp_path, ending):
    target = predicted(tmp_path, ending)
    match ending:
        case ".jsonl":
            rows = [json.loads(line) for line in target.read_text().splitlines()]
        case ".parquet":
            rows = pq.read_table(target).to_pylist()
        case _:
            delimiter = {".csv": ",", ".tsv": "\t"}[ending]
            with target.open(newline="") as file:
                rows = list(csv.DictReader(file, delimiter=delimiter, strict=True))
    expected = TEXTS if ending in {".jsonl", ".parquet"} else [csv_cell(text) for text in TEXTS]
    assert [row["text"] for row in rows] == expected
    assert [row["label"] for row in rows] == ["short", *["long"] * 3, "short", "long", "short"]
    assert [float(row["probability"]) for row in rows] == pytest.approx([0.6, 1, 0.8, 1, 1, 1, 0.6])
    assert sorted(os.listdir(tmp_path)) == [target.name, "texts.jsonl"]


def test_an_ending_without_a_format(tmp_path):
    with pytest.raises(
        SettingsError, match=r"out\.xlsx: must end in \.csv, \.tsv, \.jsonl, \.parquet"
    ):
        predicted(tmp_path, ".xlsx")


def test_an_error_in_the_middle_leaves_the_old_file(tmp_path):
    source = source_file(tmp_path, ["fine"] * 5)
    source.write_text(source.read_text() + "{broken\n")
    target = tmp_path / "out.csv"
    target.write_text("old")
    with pytest.raises(DataError, match=r"texts\.jsonl line 6"):
        predict_file(LengthClassifier(), source, target, batch_size=2)
    assert target.read_text() == "old"
    assert sorted(os.listdir(tmp_path)) == ["out.csv", "texts.jsonl"]


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
def test_a_full_disk_leaves_nothing(tmp_path, ending):
    source = source_file(tmp_path, [f"text number {n}" for n in range(2000)])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(StorageError, match="cannot write"):
            predict_file(LengthClassifier(), source, tmp_path / f"out{ending}", batch_size=100)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert os.listdir(tmp_path) == ["texts.jsonl"]


def test_memory_is_bounded_by_a_batch(tmp_path):
    classifier = LengthClassifier()
    source = source_file(tmp_path, ["x" * 10_000 for _ in range(4000)])
    tracemalloc.start()
    predict_file(classifier, source, tmp_path / "out.jsonl", batch_size=64)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert max(classifier.batch_sizes) == 64
    assert peak < source.stat().st_size / 3


def test_progress_counts_every_text(tmp_path):
    class Counter:
        done = 0.0

        def stage(self, description, total=None, unit=""):
            return self

        def __enter__(self):
            return self.advance

        def __exit__(self, *_):
            pass

        def advance(self, amount):
            self.done += amount

        def note(self, message):
            pass

    counter = Counter()
    predicted(tmp_path, ".csv", batch_size=3, progress=counter)
    assert counter.done == len(TEXTS)


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+A1", "-A1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\0=1", "=cmd|' /C calc'!A0", "＝1"],
)
def test_no_cell_is_a_formula(text):
    assert csv_cell(text) == "'" + text


@settings(deadline=None)
@given(st.text())
def test_other_cells_stay_as_they_are(text):
    cell = csv_cell(text)
    assert cell.removeprefix("'" if cell != text else "") == text
    assert csv_cell("a" + text) == "a" + text


@pytest.mark.parametrize("number", ["-1", "+1", "-1.5", "-.5"])
def test_numbers_stay_numbers(number):
    assert csv_cell(number) == number


def test_the_source_is_never_overwritten(tmp_path):
    source = source_file(tmp_path)
    before = source.read_bytes()
    with pytest.raises(SettingsError, match="is the input file"):
        predict_file(LengthClassifier(), source, tmp_path / "." / source.name)
    assert source.read_bytes() == before


def test_a_terminal_of_another_encoding_gets_json_all_the_same():
    file = io.TextIOWrapper(io.BytesIO(), encoding="latin-1", errors="backslashreplace")
    write_jsonl(file)([Prediction("naïve ☕", "a", 0.5)._asdict()])
    file.seek(0)
    assert json.loads(file.read())["text"] == "naïve ☕"


SETS = [["sea"], ["=field"], ["=field", "sea"], []]


@pytest.fixture(scope="module")
def several():
    """A model that gives texts several labels, one of which a spreadsheet would run."""
    texts = ["fish", "chips", "fish chips", "peas"] * 10
    return TextClassifier(transfer="tfidf").fit(texts, SETS * 10)


def rows_of(model, tmp_path, ending, texts, **options):
    target = tmp_path / f"out{ending}"
    predict_file(model, source_file(tmp_path, texts), target, **options)
    if ending == ".jsonl":
        return [json.loads(line) for line in target.read_text().splitlines()]
    if ending == ".parquet":
        return pq.read_table(target).to_pylist()
    with target.open(newline="") as file:
        return list(csv.DictReader(file, strict=True))


def test_several_labels_are_lists(several, tmp_path):
    texts = ["fish", "chips", "fish chips", "peas"]
    (batch,) = predict(several, [texts])
    assert all(type(each) is LabelSetPrediction for each in batch)
    shares = several.predict_proba(texts)
    assert batch[2] == ("fish chips", ["=field", "sea"], shares[2].tolist())
    for ending in (".jsonl", ".parquet"):
        rows = rows_of(several, tmp_path, ending, texts)
        assert [row["label"] for row in rows] == SETS
        assert rows[2]["probability"] == shares[2].tolist()


def test_several_labels_stand_in_one_cell(several, tmp_path):
    rows = rows_of(several, tmp_path, ".csv", ["fish", "fish chips", "chips", "peas"])
    assert [row["label"] for row in rows] == ["sea", "'=field|sea", "'=field", ""]
    shares = [float(share) for share in rows[1]["probability"].split("|")]
    assert shares == pytest.approx(several.predict_proba(["fish chips"])[0], rel=1e-5)
    rows = rows_of(several, tmp_path, ".csv", ["fish chips"], separator=" & ")
    assert rows[0]["label"] == "'=field & sea"


@pytest.mark.parametrize("separator", ["e", "=", ""])
def test_a_separator_that_a_label_holds_is_refused(several, tmp_path, separator):
    with pytest.raises(SettingsError, match="the label '=field' contains the separator"):
        rows_of(several, tmp_path, ".csv", ["fish"], separator=separator)
    assert rows_of(several, tmp_path, ".jsonl", ["fish"], separator=separator)


@pytest.mark.parametrize("ending", [".jsonl", ".parquet", ".csv"])
def test_numbers_are_written(tmp_path, ending):
    model = TextRegressor(transfer="tfidf").fit(["fish", "chips"] * 10, [-1e-7, 2e9] * 10)
    rows = rows_of(model, tmp_path, ending, ["fish", "chips"])
    values = model.predict(["fish", "chips"]).tolist()
    assert [list(row) for row in rows] == [["text", "value"]] * 2
    assert [float(row["value"]) for row in rows] == values
    assert list(predict(model, [["fish"]])) == [[NumberPrediction("fish", values[0])]]


@pytest.fixture
def with_ids(tmp_path):
    """The same three rows as CSV, JSONL and Parquet, with columns beside the text."""
    when = [dt.datetime(2024, 2, 29, 12, 30), None, dt.datetime(1999, 1, 1)]
    columns = {
        "id": [7, 8, 9],
        "price": [0.5, None, 1e20],
        "when": when,
        "none": [None] * 3,
        "text": ["abc", "abcdefgh", "=1"],
        "=x": ["=a", "-2", "c"],
    }
    pq.write_table(pa.table(columns), tmp_path / "rows.parquet")
    plain = {**columns, "when": [time and str(time) for time in when]}
    rows = [dict(zip(plain, row, strict=True)) for row in zip(*plain.values(), strict=True)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with (tmp_path / "rows.csv").open("w", newline="") as file:
        lines = csv.DictWriter(file, list(columns))
        lines.writeheader()
        lines.writerows(rows)
    return tmp_path


@pytest.mark.parametrize("target", ["out.csv", "out.jsonl", "out.parquet"])
@pytest.mark.parametrize("source", ["rows.csv", "rows.jsonl", "rows.parquet"])
def test_columns_that_are_kept(with_ids, source, target):
    keep = ["when", "id", "price", "=x", "none"]
    options = {"keep": keep, "batch_size": 2}
    out = with_ids / target
    assert predict_file(LengthClassifier(), with_ids / source, out, **options) == 3
    match out.suffix:
        case ".csv":
            with out.open(newline="") as file:
                header, *rows = csv.reader(file, strict=True)
            assert header == ["when", "id", "price", "'=x", "none", "text", "label", "probability"]
            told = [["'=a", "", "abc"], ["-2", "", "abcdefgh"], ["c", "", "'=1"]]
        case _:
            found = (
                pq.read_table(out).to_pylist()
                if out.suffix == ".parquet"
                else list(map(json.loads, out.read_text().splitlines()))
            )
            assert list(found[0]) == [*keep, "text", "label", "probability"]
            rows = [list(row.values()) for row in found]
            told = [["=a", "", "abc"], ["-2", "", "abcdefgh"], ["c", "", "=1"]]
    assert [row[3:6] for row in rows] == told
    assert [row[1] for row in rows] == ["7", "8", "9"]
    assert [row[0][:16] for row in rows] == ["2024-02-29 12:30", "", "1999-01-01 00:00"]
    assert [row[2] and float(row[2]) for row in rows] == [0.5, "", 1e20]
    assert [row[6] for row in rows] == ["short", "long", "short"]


def test_columns_that_cannot_be_kept(with_ids):
    def keep(source, *names):
        predict_file(LengthClassifier(), with_ids / source, with_ids / "out.csv", keep=names)

    with pytest.raises(
        DataError, match=r"rows\.csv: no column 'ID'; the columns are 'id', 'price'"
    ):
        keep("rows.csv", "id", "ID")
    with pytest.raises(SettingsError, match=r"rows\.csv: .* a column 'text' of their own; rename"):
        keep("rows.csv", "text")
    (with_ids / "plain.txt").write_text("abc\n")
    with pytest.raises(SettingsError, match="plain text has no columns"):
        keep("plain.txt", "id")
    with pytest.raises(SettingsError, match=r"keep must be a list of columns, such as \['id'\]"):
        predict_file(LengthClassifier(), with_ids / "rows.csv", with_ids / "out.csv", keep="id")
    unused = LengthClassifier()
    with pytest.raises(DataError, match="no column 'ID'"):
        predict_file(unused, with_ids / "rows.csv", with_ids / "out.csv", keep=["ID"])
    assert unused.batch_sizes == []
    lists = pa.table({"text": ["a"], "tags": [["x"]]})
    pq.write_table(lists, with_ids / "lists.parquet")
    with pytest.raises(DataError, match="column 'tags' has the type list"):
        keep("lists.parquet", "tags")
    assert not (with_ids / "out.csv").exists()
