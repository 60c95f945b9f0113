import csv
import gzip
import io
import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headstart.data import parquet as parquet_file
from headstart.data import tables
from headstart.data.tables import list_columns, read_rows, table_columns
from headstart.errors import DataError

FILES = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def written(tmp_path: Path, name: str, content: str | bytes) -> Path:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def parquet(tmp_path: Path, columns: dict[str, object]) -> Path:
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    return tmp_path / "a.parquet"


def all_rows(path: Path, names: list[str], **options: int) -> list[tuple[int, *tuple[str, ...]]]:
    return [
        row
        for rows in read_rows(path, names, **options)
        for row in zip(rows.lines, *rows.columns, strict=True)
    ]


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.parquet"])
@pytest.mark.parametrize("look", [table_columns, list_columns])
def test_a_pipe_is_refused_for_it_is_read_once(tmp_path, name, look):
    os.mkfifo(tmp_path / name)
    with pytest.raises(DataError, match=f"{name}: is a pipe, but a table is read several times"):
        look(tmp_path / name)


# CSV and TSV


def test_a_csv_row_counts_by_the_physical_line_it_starts_on(tmp_path):
    path = written(tmp_path, "a.csv", 'text,label\r\n"two\r\nlines",x\r\n\r\n"a ""b""",y')
    assert all_rows(path, ["label", "text"]) == [(2, "x", "two\r\nlines"), (5, "y", 'a "b"')]


@pytest.mark.parametrize("delimiter", [",", "\t"])
@given(
    rows=st.lists(
        st.tuples(*[st.text(st.characters(exclude_characters="\0", codec="utf-8"))] * 2), min_size=1
    )
)
@FILES
def test_what_the_csv_module_writes_comes_back(tmp_path, delimiter, rows):
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, delimiter=delimiter, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerows([("text", "label"), *rows])
    path = written(tmp_path, "a.csv" if delimiter == "," else "a.tsv", buffer.getvalue())
    assert [row[1:] for row in all_rows(path, ["text", "label"], batch_size=2)] == rows


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ('text,label\nfine,x\n"open,y\nmore,z\n', "line 3, column 1"),
        ('text,label\nfine,x\n"open,y\n"more",z\n', "line 3, column 1"),
        ('text,label\n"a\nb","open\nmore\n\n', "line 3, column 2"),
        ('text,label\n"a, ""b""","c""\n', "line 2, column 2"),
        ('text,label\nx,"good" film\n', "line 2, column 2"),
        ('"text,label\n', "line 1, column 1"),
    ],
)
def test_an_unbalanced_quote_is_refused_where_it_opens(tmp_path, content, place):
    with pytest.raises(DataError, match=rf"a\.csv {place}: unclosed or unescaped quote"):
        all_rows(written(tmp_path, "a.csv", content), ["text"])


def test_a_quote_that_never_closes_is_not_searched_for_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "_MAX_FIELD_CHARACTERS", 0)
    limit = csv.field_size_limit(1000)
    try:
        path = written(tmp_path, "a.csv", 'text,label\nfine,x\n"open,y\n' + "more,z\n" * 1000)
        with pytest.raises(DataError, match="line 3, column 1: unclosed or unescaped quote"):
            all_rows(path, ["text"])
    finally:
        csv.field_size_limit(limit)


def test_a_quote_inside_a_text_is_a_character(tmp_path):
    path = written(tmp_path, "a.tsv", 'text\tlabel\nso "good"\tx\n')
    assert all_rows(path, ["text"]) == [(2, 'so "good"')]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a,b,c", r"line 3, column 3: found 3 columns, expected 2 \('text', 'label'\)"),
        ("a", r"line 3, column 2: found 1 column, expected 2 \('text', 'label'\)"),
    ],
)
def test_a_ragged_row_is_refused_with_line_and_column(tmp_path, row, message):
    path = written(tmp_path, "a.csv", f"text,label\nx,y\n{row}\nx,y\n")
    with pytest.raises(DataError, match=rf"a\.csv {message}"):
        all_rows(path, ["text"])


def test_a_lone_carriage_return_is_refused(tmp_path):
    with pytest.raises(DataError, match="line 2, column 1: lone carriage return"):
        all_rows(written(tmp_path, "a.csv", "text,label\nx\ry,z\n"), ["text"])


def test_a_ten_megabyte_field_is_read(tmp_path):
    long = "word " * (2 << 20)
    assert all_rows(written(tmp_path, "a.csv", f"text,n\n{long},1\n"), ["text"]) == [(2, long)]


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl"])
@pytest.mark.parametrize("content", ["", "\n\r\n\n", "\ufeff"])
def test_an_empty_file_is_refused(tmp_path, name, content):
    with pytest.raises(DataError, match=rf"{name}: the file is empty"):
        table_columns(written(tmp_path, name, content))


def test_column_names_come_without_the_byte_order_mark(tmp_path):
    assert list(table_columns(written(tmp_path, "a.csv", "\ufefftext,label\na,b\n"))) == [
        "text",
        "label",
    ]


def test_a_column_name_twice_is_refused(tmp_path):
    with pytest.raises(DataError, match="2 columns are called 'text'"):
        table_columns(written(tmp_path, "a.csv", "text,label,text\na,b,c\n"))


def test_a_hundred_thousand_columns_are_read(tmp_path):
    names = ",".join(f"c{number}" for number in range(100_000))
    assert len(table_columns(written(tmp_path, "a.csv", f"{names}\n"))) == 100_000


def test_an_unknown_ending_is_refused(tmp_path):
    with pytest.raises(DataError, match="is a folder; give a file"):
        table_columns(tmp_path)
    with pytest.raises(DataError, match=r"a\.xlsx: not a table; .*\.csv"):
        table_columns(written(tmp_path, "a.xlsx", "x"))


@pytest.mark.parametrize(("ending", "hint"), [("xlsx", "CSV in UTF-8"), ("conll", "task tagging")])
def test_what_is_no_table_is_told_what_to_do(tmp_path, ending, hint):
    with pytest.raises(DataError, match=hint):
        table_columns(written(tmp_path, f"a.{ending}", "x"))


# JSONL


def test_json_values_are_read_literally(tmp_path):
    content = (
        '{"text": "a\\u2028b", "n": 1}\n\n{"n": true, "text": "\\u0000"}\r\n{"n": "01", "text": ""}'
    )
    path = written(tmp_path, "a.jsonl", content)
    assert table_columns(path) == {"text": True, "n": False}
    assert all_rows(path, ["text", "n"]) == [
        (1, "a\u2028b", "1"),
        (3, "\0", "true"),
        (4, "", "01"),
    ]


@given(texts=st.lists(st.text(st.characters(codec="utf-8")), min_size=1), escape=st.booleans())
@FILES
def test_what_the_json_module_writes_comes_back(tmp_path, texts, escape):
    content = "\n".join(json.dumps({"text": text}, ensure_ascii=escape) for text in texts)
    path = written(tmp_path, "a.jsonl", content)
    assert all_rows(path, ["text"], batch_size=3) == list(enumerate(texts, start=1))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": "a"', r", character 13: not valid JSON"),
        ('{"text": "a", "text": "b"}', r": the key 'text' occurs twice"),
        ('{"text": "a", "n": {"k": 1, "k": 2}}', r": the key 'k' occurs twice"),
        ('{"text": "a", "n": NaN}', r": NaN is not a finite number"),
        ('{"text": "a", "n": -Infinity}', r": -Infinity is not a finite number"),
        ('{"text": "a", "n": 1e999}', r": 1e999 is not a finite number"),
        ('{"text": "a", "n": ' + "1" * 5000 + "}", r": Exceeds the limit"),
        ('{"text": "a", "n": ' + "[" * 200_000 + "}", r": nested too deeply"),
        ('{"text": "\\ud800"}', r": unpaired surrogate, which is not valid text"),
        ('["a"]', r": not a JSON object"),
        ('{"n": 1}', r": no field 'text'; the object has 'n'"),
        ('{"text": null}', r": 'text' is null"),
        ('{"text": 1.5}', r": 'text' is a number"),
        ('{"text": ["a"]}', r": 'text' is an array"),
    ],
)
def test_json_that_cannot_be_taken_literally_is_refused(tmp_path, line, message):
    path = written(tmp_path, "a.jsonl", f'{{"text": "fine"}}\n{line}\n')
    with pytest.raises(DataError, match=rf"a\.jsonl line 2{message}"):
        all_rows(path, ["text"])


# Parquet


def test_parquet_columns_of_strings_integers_and_truth_values(tmp_path):
    columns = {
        "text": ["a", "b"],
        "n": [1, -1],
        "yes": [True, False],
        "kind": pa.array(["x", "x"]).dictionary_encode(),
        "score": [0.5, 0.5],
    }
    path = parquet(tmp_path, columns)
    assert [name for name, is_text in table_columns(path).items() if is_text] == ["text", "kind"]
    assert all_rows(path, ["kind", "yes", "n", "text"], batch_size=1) == [
        (1, "x", "true", "1", "a"),
        (2, "x", "false", "-1", "b"),
    ]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["a", None], r"row 2: 'text' is null"),
        ([0.5, 1.0], r": column 'text' has the type double; it must contain strings"),
        ([["a"], ["b"]], r": column 'text' has the type list<.*>; it must contain strings"),
        (pa.array([b"a", b"\xff"]).view(pa.string()), r"rows 1 to 2: 'text' is not valid UTF-8"),
    ],
)
def test_parquet_values_that_are_no_texts_are_refused(tmp_path, values, message):
    path = parquet(tmp_path, {"text": values})
    with pytest.raises(DataError, match=rf"a\.parquet ?{message}"):
        all_rows(path, ["text"])


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1 and so on PAR1", b"text\na\n"])
def test_a_damaged_parquet_file_is_refused(tmp_path, content):
    with pytest.raises(DataError, match=r"a\.parquet: not a valid Parquet file"):
        table_columns(written(tmp_path, "a.parquet", content))


def test_a_truncated_parquet_file_is_refused(tmp_path):
    path = parquet(tmp_path, {"text": [f"text {number}" for number in range(1000)]})
    whole = path.read_bytes()
    for size in (len(whole) - 1, len(whole) // 2):
        path.write_bytes(whole[:size])
        with pytest.raises(DataError, match="not a valid Parquet file"):
            all_rows(path, ["text"])


def test_a_parquet_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet_file, "max_decoded_bytes", lambda stored: 20 * stored)
    path = parquet(tmp_path, {"text": ["a long text " * 1000] * 2000})
    with pytest.raises(DataError, match=r"a\.parquet: expands to over"):
        all_rows(path, ["text"], batch_size=100)


# Compression


def test_a_compressed_file_needs_no_ending_that_says_so(tmp_path):
    path = parquet(tmp_path, {"text": ["a"]})
    path.write_bytes(gzip.compress(path.read_bytes()))
    assert all_rows(path, ["text"]) == [(1, "a")]


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.parquet"])
@pytest.mark.parametrize("ending", [".gz", ".zst"])
def test_every_format_may_be_compressed(tmp_path, name, ending):
    plain = {
        "a.csv": b"text,n\na,1\n",
        "a.tsv": b"text\tn\na\t1\n",
        "a.jsonl": b'{"text": "a", "n": 1}\n',
    }
    content = plain.get(name) or parquet(tmp_path, {"text": ["a"], "n": [1]}).read_bytes()
    packed = (
        gzip.compress(content)
        if ending == ".gz"
        else pa.compress(content, codec="zstd", asbytes=True)
    )
    path = written(tmp_path, name + ending, packed)
    assert list(table_columns(path)) == ["text", "n"]
    assert [row[1:] for row in all_rows(path, ["text", "n"])] == [("a", "1")]
