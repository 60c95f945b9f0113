"""Stream CSV, TSV, JSONL, Parquet and Hub data as columns of strings, each row with its line.

Nothing is inferred: `1`, `01`, `1.0` and `True` stay as written. A row is identified by the
physical line it starts on, even where quoted fields contain line breaks. Rows of Parquet files and
of Hub datasets are identified by their number.
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
Also = Literal["lists", "numbers", "scalars"]  # what a column may contain besides strings
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
_NO_TABLES = {  # advice on files that are not tables
    ".conll": "tagged sentences are for taggers (task tagging)",
    ".conllu": "tagged sentences are for taggers (task tagging)",
    ".ods": "save it as comma-separated CSV in UTF-8",
    ".xls": "save it as comma-separated CSV in UTF-8",
    ".xlsx": "save it as comma-separated CSV in UTF-8",
}
_COMPRESSED = {".gz", ".zst"}
_DELIMITERS = {"csv": ",", "tsv": "\t"}
_JSON_TYPES = {type(None): "null", dict: "an object", list: "an array", float: "a number"}
_BATCH_ROWS = 256  # few enough to be freed before Python's garbage collector scans them
_MOST_LOOKED_AT = 1000  # JSON rows that are read to find the columns
_MAX_FIELD_CHARACTERS = 16 << 20  # limits the search for a missing closing quote


@dataclass(frozen=True)
class Rows:
    """A batch of rows of a table, in file order.

    Attributes:
        lines: The line each row starts on.
        columns: One list of values for each requested column: strings, or lists of strings where
            the caller allowed them.
    """

    lines: list[int]
    columns: list[list[Any]]


def file_format(path: Path) -> Format | None:
    """Return the format that a file name stands for, ignoring `.gz` and `.zst`; None if unknown.

    A name that begins with `hf:` is a Hub dataset, not a file.
    """
    if is_hub_data(path):
        return "hub"
    name = path.with_suffix("") if path.suffix.lower() in _COMPRESSED else path
    return ENDINGS.get(name.suffix.lower())


def table_columns(path: Path, max_bad_rows: int = 0) -> dict[str, bool]:
    """Return the names of a table's columns in order, and whether each contains text.

    For JSON, they come from the first row or, if bad rows are allowed, from the first few.

    Raises:
        DataError: The file is empty, corrupted or a pipe, or two columns have the same name.
    """
    check_that_it_stays(path, "a table")
    match file_format(path):
        case "csv" | "tsv":
            _, names = next(_csv_records(path))
            holds_text = [True] * len(names)
        case "jsonl":
            return {name: kind is str for name, kind in _json_kinds(path, max_bad_rows).items()}
        case "parquet":
            from headstart.data.parquet import parquet_columns  # late: takes 0.2 s to import

            names, holds_text = parquet_columns(path)
        case "hub":
            return hub_columns(path)
        case _:
            if path.is_dir():
                raise DataError(f"{path}: is a folder; give a file")
            known = ", ".join(end for end, kind in ENDINGS.items() if kind != "text")
            else_ = _NO_TABLES.get(path.suffix.lower())
            raise DataError(
                f"{path}: not a table; its name must end in {known} (or .gz, .zst if compressed)"
                + (f"; {else_}" if else_ else "")
            )
    name, count = Counter(names).most_common(1)[0] if names else ("", 1)
    if count > 1:
        raise DataError(f"{path}: {count} columns are called {name!r}; rename all but one")
    return dict(zip(names, holds_text, strict=True))


def list_columns(path: Path, max_bad_rows: int = 0) -> set[str]:
    """Return the names of a table's columns that contain lists, by its schema or first rows.

    Raises:
        DataError: The file is empty, corrupted, or a pipe.
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

    Integers and booleans of JSON, Parquet and the Hub become their literal text. Every other value
    that is not a string is rejected, unless `also` allows it: a list then becomes a list of
    strings, and a number becomes text that parses to the same number. "scalars" are numbers, dates
    and nulls, which become empty text.

    Args:
        path: The table.
        names: The columns.
        also: What some columns may contain besides strings.
        batch_size: Rows at a time.
        bad: Receives the bad rows.

    Raises:
        DataError: There are more bad rows than allowed; names the line.
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
    # The limit is process-wide, so it is only raised; the default rejects fields above 128 KiB.
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
        f"{path} line {line}, column {column}: found {len(record)} "
        f"column{'s' * (len(record) != 1)}, expected {len(header)} ({listed(header)}); "
        "quote text that contains the separator or a line break"
    )


def _malformed(path: Path, line: int, record: str, delimiter: str, reason: str) -> DataError:
    """Return the error for the record that starts on `line`, with the place of its bad field."""
    whole_field = re.compile(
        rf'(?:"(?:[^"]|"")*+"|[^"{delimiter}\r\n][^{delimiter}\r\n]*|){delimiter}'
    )
    start, column = 0, 1
    while match := whole_field.match(record, start):
        start, column = match.end(), column + 1
    place = f"{path} line {line + record.count(chr(10), 0, start)}, column {column}"
    if record.startswith('"', start):
        return DataError(
            f"{place}: unclosed or unescaped quote; "
            'end the field with a quote, and double any quote inside its text ("")'
        )
    if "new-line character" in reason:
        return DataError(
            f"{place}: lone carriage return (CR); end lines with LF or CRLF, "
            "and quote text that contains line breaks"
        )
    return DataError(f"{place}: {reason}")


# JSONL: one object per line.


def _json_rows(
    path: Path, names: list[str], also: Mapping[str, Also], batch_size: int, bad: BadRows
) -> Iterator[Rows]:
    records, value = json_records(path, bad), partial(_json_value, path, also)
    while batch := list(islice(records, batch_size)):
        yield Rows(*readable(batch, names, value, bad))


def json_records(path: Path, bad: BadRows = REFUSED) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the object on each line, with the line number.

    Raises:
        DataError: More lines than allowed are not JSON objects, or none is; names the line.
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
            reason = "not a JSON object; put one JSON object on each line"
            bad.reject(DataError(f"{path} line {line}: {reason}"))
            continue
        yield line, record
        empty = False
    if empty:
        raise bad.none_left(f"{path}: the file is empty")


def _no_json(place: str, error: Exception) -> DataError:
    """Return the error for a line that cannot be decoded."""
    match error:
        case json.JSONDecodeError():
            return DataError(f"{place}, character {error.pos + 1}: not valid JSON: {error.msg}")
        case RecursionError():
            return DataError(f"{place}: nested too deeply; flatten the object")
        case UnicodeEncodeError():
            return DataError(f"{place}: unpaired surrogate, which is not valid text; remove it")
    return DataError(f"{place}: {error}")


def _json_kinds(path: Path, max_bad_rows: int) -> dict[str, type]:
    """Return the names in the first rows, and the most common type of each one's values.

    One row is enough if no row may be bad. Otherwise enough rows are read, up to 1000, for the
    good ones to be the majority.
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
        raise ValueError(f"{literal} is not a finite number; JSON allows no other numbers")
    return value


def _json_value(
    path: Path, also: Mapping[str, Also], line: int, record: dict[str, Any], name: str
) -> str | list[str]:
    value = record.get(name)
    if isinstance(value, float) and also.get(name) in {"numbers", "scalars"}:
        return json.dumps(value)
    if value is None and also.get(name) == "scalars":
        return ""
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
        raise DataError(f"{path} line {line}: no field {name!r}; the object has {listed(record)}")
    kind = _JSON_TYPES[type(value)]
    raise DataError(f"{path} line {line}: {name!r} is {kind}; it must be a string")
