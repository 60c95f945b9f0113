"""Stream Parquet files as columns of strings, a few rows at a time, each row with its number."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import compress, islice
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from headstart.data.bad_rows import REFUSED, BadRows
from headstart.data.lines import max_decoded_bytes, open_bytes
from headstart.errors import DataError

Column = list[str] | list[list[str]]
_SCALARS = (pa.types.is_date, pa.types.is_time, pa.types.is_timestamp, pa.types.is_null)


def parquet_columns(path: Path) -> tuple[list[str], list[bool]]:
    """Return the names of a file's columns in order, and whether each contains text.

    Raises:
        DataError: The file is corrupted.
    """
    with _open(path) as file:
        return file.schema_arrow.names, [_is_string(field.type) for field in file.schema_arrow]


def parquet_list_columns(path: Path) -> set[str]:
    """Return the names of a file's columns that contain lists.

    Raises:
        DataError: The file is corrupted.
    """
    with _open(path) as file:
        return {field.name for field in file.schema_arrow if _is_list(field.type)}


def parquet_rows(
    path: Path,
    names: list[str],
    also: Mapping[str, str],
    batch_size: int,
    bad: BadRows = REFUSED,
) -> Iterator[tuple[list[int], list[Column]]]:
    """Yield the named columns of a file, as `read_rows` does, with the number of each row.

    Raises:
        DataError: There are more bad rows than allowed; names the row.
    """
    row, decoded = 1, 0
    needed = [name for name in names if also.get(name) != "scalars"]
    with _open(path) as file:
        schema = file.schema_arrow
        for name in names:
            _check_type(path, name, schema.field(name).type, also.get(name))
        limit = max_decoded_bytes(path.stat().st_size)
        for batch in file.iter_batches(batch_size, columns=names, use_threads=False):
            decoded += batch.nbytes
            if decoded > limit:
                raise DataError(f"{path}: expands to over {limit >> 20} MiB; reading stopped")
            nulls = _nulls(path, row, needed, batch)
            for _, error in sorted(nulls.items()):
                bad.reject(error)
            rows = list(range(row, row + batch.num_rows))
            columns: list[Any] = [_values(path, row, name, batch.column(name)) for name in names]
            if nulls:
                good = [number not in nulls for number in rows]
                rows = list(compress(rows, good))
                columns = [list(compress(column, good)) for column in columns]
            yield rows, columns
            row += batch.num_rows


@contextmanager
def _open(path: Path) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file; a compressed one is first decompressed to a temporary file."""
    with open_bytes(path) as stored, tempfile.NamedTemporaryFile() as unpacked:
        plain = str(path)
        if not stored.seekable():
            shutil.copyfileobj(stored, unpacked, 1 << 20)
            unpacked.flush()
            plain = unpacked.name
        try:
            # Mapped, because pages are read into as much memory as their headers claim.
            with pa.memory_map(plain) as source, pq.ParquetFile(source, pre_buffer=False) as file:
                yield file
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:  # of a column's name
            reason = str(error).splitlines()[0]
            raise DataError(f"{path}: not a valid Parquet file: {reason}") from None


def _is_string(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


def _check_type(path: Path, name: str, kind: pa.DataType, also: str | None) -> None:
    numbers = pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    if also in {"numbers", "scalars"} and numbers:
        return
    if also == "scalars" and any(is_it(kind) for is_it in _SCALARS):
        return
    if also == "lists" and _is_list(kind):
        kind = kind.value_type
    literal = pa.types.is_integer(kind) or pa.types.is_boolean(kind)
    if not (literal or _is_string(kind)):
        raise DataError(f"{path}: column {name!r} has the type {kind}; it must contain strings")


def _nulls(
    path: Path, first_row: int, names: list[str], batch: pa.RecordBatch
) -> dict[int, DataError]:
    """Return the error of each row that has a null in a column or in a list."""
    found: dict[int, DataError] = {}
    for name in names:
        column = batch.column(name)
        if column.null_count:
            for row in (first_row + at for at in _where_null(column)):
                error = DataError(f"{path} row {row}: {name!r} is null; it must be a string")
                found.setdefault(row, error)
        if _is_list(column.type) and (items := column.flatten()).null_count:
            lists = pc.list_parent_indices(column)
            for row in (first_row + lists[at].as_py() for at in _where_null(items)):
                reason = f"{name!r} contains a null; its items must be strings"
                found.setdefault(row, DataError(f"{path} row {row}: {reason}"))
    return found


def _where_null(values: pa.Array) -> list[int]:
    return cast(list[int], pc.indices_nonzero(values.is_null()).to_pylist())


def _values(path: Path, first_row: int, name: str, column: pa.Array) -> Column:
    """Return a column's values, with an empty text for a null."""
    if not _is_list(column.type):
        return _texts(path, first_row, name, column)
    texts = iter(_texts(path, first_row, name, column.flatten()))
    lengths = pc.list_value_length(column).fill_null(0).to_pylist()
    return [list(islice(texts, length)) for length in lengths]


def _texts(path: Path, first_row: int, name: str, column: pa.Array) -> list[str]:
    try:
        column.validate(full=True)
        return cast(list[str], column.cast(pa.large_string()).fill_null("").to_pylist())
    except (pa.ArrowInvalid, UnicodeDecodeError):
        last = first_row + len(column) - 1
        raise DataError(f"{path} rows {first_row} to {last}: {name!r} is not valid UTF-8") from None
