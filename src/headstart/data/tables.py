"""CSV, TSV, JSONL, Parquet and hub data to columns of strings, streamed, each row with its line.

Nothing is inferred: `1`, `01`, `1.0` and `True` stay what the file says. A row counts by the
physical line it starts on, also where quoted fields hold line breaks; a row of Parquet or of a data
set of the hub by its number.
"""

import csv
import io
import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice, starmap
from pathlib import Path
from typing import Any, Literal

from headstart.data.bad_rows import REFUSED, BadRows, readable
from headstart.data.columns import listed
from headstart.data.hub_data import hub_columns, hub_list_columns, hub_rows, is_hub_data
from headstart.data.lines import check_that_it_stays, read_blocks, read_lines
from headstart.errors import DataError

Format = Literal["csv", "tsv", "jsonl", "parquet", "text", "hub"]
Also = Literal["lists", "numbers"]  # what a column may hold beside strings
ENDINGS: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".txt": "text",
    ".text": "text",
}
_NO_TABLES = {  # what they are instead
    ".conll": "sentences with tags are for the task tagging",
    ".conllu": "sentences with tags are for the task tagging",
    ".ods": "save it as CSV in UTF-8, with commas",
    ".xls": "save it as CSV in UTF-8, with commas",
    ".xlsx": "save it as CSV in UTF-8, with commas",
}
_COMPRESSED = {".gz", ".zst"}
_DELIMITERS = {"csv": ",", "tsv": "\t"}
_BATCH_ROWS = 256  # few enough to be freed before Python's garbage collector looks at them
_MOST_LOOKED_AT = 1000  # rows of JSON, to see what its columns are
_MAX_FIELD_CHARACTERS = 16 << 20  # where the search for a missing closing quote ends


@dataclass(frozen=True)
class Rows:
    """Some rows of a table, in file order.

    Attributes:
        lines: The line each row starts on.
        columns: One list of values for each column that was asked for: strings, and lists of
            strings where they were asked for, too.
    """

    lines: list[int]
    columns: list[list[Any]]


def file_format(path: Path) -> Format | None:
    """Return the format a file's ending stands for, below `.gz` or `.zst`; None if unknown.

    What begins with `hf:` is no file but a data set of the hub.
    """
    if is_hub_data(path):
        return "hub"
    name = path.with_suffix("") if path.suffix.lower() in _COMPRESSED else path
    return ENDINGS.get(name.suffix.lower())


def table_columns(path: Path, max_bad_rows: int = 0) -> dict[str, bool]:
    """Return the names of a table's columns in order, and whether each holds text.

    Those of JSON are seen in its first row or, where rows may be bad, in the first few.

    Raises:
        DataError: The file is empty, damaged, a pipe, or names a column twice.
    """
    check_that_it_stays(path, "a table")
    match file_format(path):
        case "csv" | "tsv":
            _, names = next(_csv_records(path))
            holds_text = [True] * len(names)
        case "jsonl":
            return {name: kind is str for name, kind in _json_kinds(path, max_bad_rows).items()}
        case "parquet":
            from headstart.data.parquet import parquet_columns  # late: a fifth of a second

            names, holds_text = parquet_columns(path)
        case "hub":
            return hub_columns(path)
        case _:
            known = ", ".join(end for end, kind in ENDINGS.items() if kind != "text")
            else_ = _NO_TABLES.get(path.suffix.lower())
            raise DataError(
                f"{path}: not a table; a table's name ends in {known} (or .gz, .zst)"
                + (f"; {else_}" if else_ else "")
            )
    name, count = Counter(names).most_common(1)[0] if names else ("", 1)
    if count > 1:
        raise DataError(f"{path}: {count} columns are called {name!r}; rename all but one")
    return dict(zip(names, holds_text, strict=True))


def list_columns(path: Path, max_bad_rows: int = 0) -> set[str]:
    """Return the names of a table's columns that hold lists, by its schema or its first rows.

    Raises:
        DataError: The file is empty, damaged, or a pipe.
    """
    check_that_it_stays(path, "a table")
    match file_format(path):
        case "jsonl":
            return {name for name, kind in _json_kinds(path, max_bad_rows).items() if kind is list}
        case "parquet":
            from headstart.data.parquet import parquet_list_columns  # late, as above

            return parquet_list_columns(path)
        case "hub":
            return hub_list_columns(path)
    return set()


def read_rows(
    path: Path,
    names: list[str],
    *,
    also: Mapping[str, Also] | None = None,
    batch_size: int = _BATCH_ROWS,
    bad: BadRows = REFUSED,
) -> Iterator[Rows]:
    """Yield the named columns of a table, at most `batch_size` rows at a time.

    Integers and truth values of JSON, Parquet and the hub become their literal text; every other
    value that is not a string is refused, unless it is asked for: then a list is a list of strings,
    and a number the text that reads back as it.

    Args:
        path: The table.
        names: The columns.
        also: What some of the columns may hold beside strings.
        batch_size: Rows at a time.
        bad: Takes the rows that cannot be read as they are.

    Raises:
        DataError: Too many rows cannot be read as they are; names the line.
    """
    match file_format(path):
        case "csv" | "tsv":
            return _csv_rows(path, names, batch_size, bad)
        case "jsonl":
            return _json_rows(path, names, also or {}, batch_size, bad)
        case "hub":
            return starmap(Rows, hub_rows(path, names, also or {}, batch_size, bad))
        case _:
            from headstart.data.parquet import parquet_rows  # late, as above

            return starmap(Rows, parquet_rows(path, names, also or {}, batch_size, bad))


# CSV and TSV: RFC 4180, strictly.


def _csv_rows(path: Path, names: list[str], batch_size: int, bad: BadRows) -> Iterator[Rows]:
    records = _csv_records(path, bad)
    _, header = next(records)
    indices = [header.index(name) for name in names]
    while batch := list(islice(records, batch_size)):
        lines, rows = zip(*batch, strict=True)
        yield Rows(list(lines), [[row[index] for row in rows] for index in indices])


def _csv_records(path: Path, bad: BadRows = REFUSED) -> Iterator[tuple[int, list[str]]]:
    """Yield every record, the header first, with the line it starts on."""
    delimiter = _DELIMITERS[str(file_format(path))]
    # A setting of the whole process, so it is only ever raised; its default refuses 128 KiB.
    csv.field_size_limit(max(_MAX_FIELD_CHARACTERS, csv.field_size_limit()))
    record_lines: list[str] = []

    def remembered_lines() -> Iterator[str]:
        blocks = (io.StringIO(block, newline="\n") for block in read_blocks(path))
        for line in chain.from_iterable(blocks):
            record_lines.append(line)
            yield line

    reader = csv.reader(remembered_lines(), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    line = 1
    try:
        for record in reader:
            if header is None:
                header = record or None
            if record:
                if len(record) == len(header or ()):
                    yield line, record
                else:
                    bad.reject(_ragged(path, line, record, header or []))
            line = reader.line_num + 1
            record_lines.clear()
    except csv.Error as error:
        raise _malformed(path, line, "".join(record_lines), delimiter, str(error)) from None
    if header is None:
        raise DataError(f"{path}: the file is empty")


def _ragged(path: Path, line: int, record: list[str], header: list[str]) -> DataError:
    column = min(len(record), len(header)) + 1
    return DataError(
        f"{path} line {line}, column {column}: {len(record)} column{'s' * (len(record) != 1)}, "
        f"expected {len(header)} ({listed(header)}); "
        "a text that holds the separator or a line break must stand in quotes"
    )


def _malformed(path: Path, line: int, record: str, delimiter: str, reason: str) -> DataError:
    """Say what is wrong with the record that starts on `line`, and where its bad field starts."""
    whole_field = re.compile(
        rf'(?:"(?:[^"]|"")*+"|[^"{delimiter}\r\n][^{delimiter}\r\n]*|){delimiter}'
    )
    start, column = 0, 1
    while match := whole_field.match(record, start):
        start, column = match.end(), column + 1
    place = f"{path} line {line + record.count(chr(10), 0, start)}, column {column}"
    if record.startswith('"', start):
        return DataError(
            f"{place}: the quote that opens here does not close where the text ends; "
            'close it, and write a quote inside a quoted text as ""'
        )
    if "new-line character" in reason:
        return DataError(
            f"{place}: a lone carriage return; end lines with a line feed, "
            "and put a text that holds line breaks in quotes"
        )
    return DataError(f"{place}: {reason}")


# JSONL: an object a line.


def _json_rows(
    path: Path, names: list[str], also: Mapping[str, Also], batch_size: int, bad: BadRows
) -> Iterator[Rows]:
    records, value = json_records(path, bad), partial(_json_value, path, also)
    while batch := list(islice(records, batch_size)):
        yield Rows(*readable(batch, names, value, bad))


def json_records(path: Path, bad: BadRows = REFUSED) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the object on each line, with the number of the line.

    Raises:
        DataError: Too many lines are no such object, or all; names the line.
    """
    decode = json.JSONDecoder(
        object_pairs_hook=_distinct_keys, parse_float=_finite, parse_constant=_finite
    ).decode
    empty = True
    for line, text in enumerate(read_lines(path), start=1):
        if not text or text.isspace():
            continue
        try:
            record = decode(text)
            if "\\ud" in text or "\\uD" in text:
                json.dumps(record, ensure_ascii=False).encode()
        except (ValueError, RecursionError) as error:
            bad.reject(_no_json(f"{path} line {line}", error))
            continue
        if not isinstance(record, dict):
            reason = "not an object; put one JSON object on each line"
            bad.reject(DataError(f"{path} line {line}: {reason}"))
            continue
        yield line, record
        empty = False
    if empty:
        raise bad.none_left(f"{path}: the file is empty")


def _no_json(place: str, error: Exception) -> DataError:
    """Say why a line cannot be decoded."""
    match error:
        case json.JSONDecodeError():
            return DataError(f"{place}, character {error.pos + 1}: not valid JSON: {error.msg}")
        case RecursionError():
            return DataError(f"{place}: nested too deeply")
        case UnicodeEncodeError():
            return DataError(f"{place}: half of a surrogate pair is no text")
    return DataError(f"{place}: {error}")


def _json_kinds(path: Path, max_bad_rows: int) -> dict[str, type]:
    """Return the names in the first rows, and of what type most values of each are there.

    One row tells where none may be bad, and otherwise so many that good ones are the most, up to
    a thousand.
    """
    kinds: dict[str, Counter[type]] = {}
    records = json_records(path, BadRows(max_bad_rows))
    for _, record in islice(records, min(2 * max_bad_rows + 1, _MOST_LOOKED_AT)):
        for name, value in record.items():
            kinds.setdefault(name, Counter())[type(value)] += 1
    return {name: counts.most_common(1)[0][0] for name, counts in kinds.items()}


def _distinct_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) != len(pairs):
        keys = [key for key, _ in pairs]
        repeated = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {repeated!r} occurs twice; keep one")
    return record


def _finite(literal: str) -> float:
    if not math.isfinite(value := float(literal)):
        raise ValueError(f"{literal} is not a finite number; JSON has none other")
    return value


def _json_value(
    path: Path, also: Mapping[str, Also], line: int, record: dict[str, Any], name: str
) -> str | list[str]:
    value = record.get(name)
    if isinstance(value, float) and also.get(name) == "numbers":
        return json.dumps(value)
    if isinstance(value, list) and also.get(name) == "lists":
        items = {f"{name}[{number}]": item for number, item in enumerate(value)}
        return [_json_text(path, line, items, item) for item in items]
    return _json_text(path, line, record, name)


def _json_text(path: Path, line: int, record: dict[str, Any], name: str) -> str:
    value = record.get(name)
    if type(value) is str:
        return value
    if isinstance(value, int):
        return json.dumps(value)  # true, not True
    if name not in record:
        raise DataError(f"{path} line {line}: has no {name!r}; it has {listed(record)}")
    kind = "null" if value is None else f"a JSON {type(value).__name__}"
    raise DataError(f"{path} line {line}: {name!r} is {kind}; it must be a string")
