"""Bad rows are left out, counted and told; one too many refuses the file, and so does none left."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headstart.data.bad_rows import BadRows
from headstart.data.labelled import read_labelled
from headstart.errors import DataError, SettingsError

FILES = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
ONE_LINE = st.characters(codec="utf-8", exclude_characters="\0\r\n")
GOOD = st.tuples(st.text(ONE_LINE, max_size=3), st.sampled_from(["x", "y", " z"]))
BAD = {
    "csv": ["alone", "one,two,three", "no label,", "a blank label, "],
    "jsonl": [
        "oops",
        "[]",
        '{"text": "a"}',
        '{"label": "x"}',
        '{"other": 1}',
        '{"text": null, "label": "x"}',
        '{"text": "a", "text": "b", "label": "x"}',
        '{"text": "a", "label": ["x"]}',
        '{"text": "a", "label": " "}',
        '{"text": "\\ud800", "label": "x"}',
    ],
}


def written(folder, ending, rows):
    """Write rows, good ones as tuples and bad ones as lines; return the file."""
    if ending == "csv":
        quoted = [
            row
            if isinstance(row, str)
            else ",".join(f'"{v.replace(chr(34), chr(34) * 2)}"' for v in row)
            for row in rows
        ]
        lines = ["text,label", *quoted]
    else:
        lines = [
            row
            if isinstance(row, str)
            else json.dumps(dict(zip(("text", "label"), row, strict=True)))
            for row in rows
        ]
    (folder / f"a.{ending}").write_bytes(("\n".join(lines) + "\n").encode())
    return folder / f"a.{ending}"


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
@given(data=st.data())
@FILES
def test_without_its_bad_rows_a_file_is_the_clean_one(tmp_path, ending, data):
    rows = data.draw(st.lists(GOOD | st.sampled_from(BAD[ending]), max_size=12))
    places = [at for at, row in enumerate(rows) if isinstance(row, tuple)]
    number = len(rows) - len(places)
    path = written(tmp_path, ending, rows)
    if not places:
        with pytest.raises(DataError, match=rf"a\.{ending}"):
            read_labelled(path, max_bad_rows=number)
        return
    found = read_labelled(path, max_bad_rows=number)
    assert list(zip(found.texts, found.labels, strict=True)) == [rows[at] for at in places]
    assert found.lines == [at + (2 if ending == "csv" else 1) for at in places]
    assert len(found.notes) == bool(number)
    if number:
        assert f"{path}: skipped {number} bad row" in found.notes[0]
        with pytest.raises(DataError, match=rf"a\.{ending}"):
            read_labelled(path)
    if number > 1:
        with pytest.raises(DataError, match=rf"line \d.* \({number} bad rows so far, but only"):
            read_labelled(path, max_bad_rows=number - 1)


@given(
    st.lists(
        st.tuples(st.none() | st.text(max_size=2), st.sampled_from(["x", "y", "", None])),
        min_size=1,
        max_size=600,
    ),
    st.sampled_from([pa.string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())]),
)
@FILES
def test_rows_of_parquet_with_a_null_are_bad(tmp_path, rows, kind):
    texts, labels = zip(*rows, strict=True)
    path = tmp_path / "a.parquet"
    columns = {"text": pa.array(texts, pa.string()), "label": pa.array(labels, kind)}
    pq.write_table(pa.table(columns), path)
    kept = [at for at, row in enumerate(rows) if row[0] is not None and row[1]]
    if not kept:
        with pytest.raises(DataError):
            read_labelled(path, max_bad_rows=len(rows))
        return
    found = read_labelled(path, max_bad_rows=len(rows) - len(kept))
    assert list(zip(found.texts, found.labels, strict=True)) == [rows[at] for at in kept]
    assert found.lines == [at + 1 for at in kept]


def test_a_note_says_how_many_and_which(tmp_path):
    path = written(tmp_path, "csv", [("a", "x"), "alone", ("b", "y"), "one,two,three"])
    assert read_labelled(path, max_bad_rows=9).notes == (
        f"{path}: skipped 2 bad rows (9 allowed): line 3, column 2: found 1 column, "
        "expected 2 ('text', 'label'); line 5, column 3: found 3 columns, "
        "expected 2 ('text', 'label')",
    )
    bad = BadRows(9)
    for line in range(5):
        bad.reject(DataError(f"a.csv line {line}: wrong; mend it"))
    assert bad.note("a.csv") == (
        "a.csv: skipped 5 bad rows (9 allowed): line 0: wrong; line 1: wrong; line 2: wrong; .."
    )


def test_one_too_many_says_how_many_may_be(tmp_path):
    path = written(tmp_path, "csv", [("a", "x"), "alone", "alone", "alone"])
    with pytest.raises(
        DataError,
        match=r"a\.csv line 5, column 2: found 1 column, .* \(3 bad rows so far, but only 2 may be "
        r"skipped; raise max_bad_rows or --max-bad-rows\)$",
    ):
        read_labelled(path, max_bad_rows=2)
    with pytest.raises(SettingsError, match="max_bad_rows must be 0 or more, got -1"):
        read_labelled(path, max_bad_rows=-1)


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_a_file_of_bad_rows_alone_is_refused_with_the_first(tmp_path, ending):
    for bad in BAD[ending]:
        path = written(tmp_path, ending, [bad] * 3)
        with pytest.raises(DataError, match=rf"a\.{ending}( line|: cannot tell)"):
            read_labelled(path, max_bad_rows=5)


def test_what_the_columns_are_is_seen_in_good_rows(tmp_path):
    """A bad row at the head of a file of JSON hides no column, and turns none into another."""
    good = '{"review": "a", "n": 1, "topic": "x"}'
    for bad in ('{"topic": "x"}', '{"review": ["a"], "topic": "x"}', '{"review": null}', "[1]"):
        path = written(tmp_path, "jsonl", [bad, *[good] * 3])
        found = read_labelled(path, max_bad_rows=1)
        assert (found.texts, found.labels, found.lines) == (["a"] * 3, ["x"] * 3, [2, 3, 4])
