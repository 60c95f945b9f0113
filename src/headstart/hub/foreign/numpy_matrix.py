"""Read a `.npy` matrix of vectors, and the list of its words from a file beside it."""

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np

from headstart.data.lines import read_lines
from headstart.data.tables import read_rows, table_columns
from headstart.errors import FormatError
from headstart.hub.foreign.text_rows import MAX_DIM, Rows

MAGIC = b"\x93NUMPY"
_HEADER = re.compile(
    rb"\{'descr': '([<>]f[248])', 'fortran_order': (True|False), "
    rb"'shape': \((\d{1,12}), (\d{1,12})\),? ?\}\s*"
)
_MAX_HEADER_BYTES = 4096
_ROWS_AT_ONCE = 1 << 13


def read_pair(path: Path, *, wanted: frozenset[str] | None = None) -> Iterator[Rows]:
    """Read the matrix `[words, dim]` with the words of the only `.parquet` or `.txt` beside it.

    A list with the same name as the matrix is preferred, then Parquet over text (one word per
    line).

    Raises:
        FormatError: There is no list, it has another length, or the file is not a matrix of finite
            numbers.
    """
    matrix = _mapped(path)
    num_rows = len(matrix)
    rows: Sequence[int]
    source = _word_list(path)
    done = 0
    for words in _words(source):
        if done + len(words) > num_rows:
            raise FormatError(f"{source}: more words than the {num_rows} vectors of {path}")
        part, kept, rows = matrix[done : done + len(words)], words, range(len(words))
        if wanted is not None:
            rows = [row for row in rows if words[row] in wanted]
            part, kept = part[rows], [words[row] for row in rows]
        with np.errstate(all="ignore"):
            vectors = part.astype(np.float32, copy=False)
        if not np.isfinite(vectors).all():
            row = rows[int(np.isfinite(vectors).all(axis=1).argmin())]
            raise FormatError(f"{path} row {done + row + 1}: contains NaN or infinity")
        yield Rows(kept, vectors, len(words))
        done += len(words)
    if done < num_rows:
        raise FormatError(f"{source}: {done} words for the {num_rows} vectors of {path}")


def _mapped(path: Path) -> np.memmap:
    """Memory-map the matrix, after checking its header against the size of the file.

    NumPy's own reader evaluates the header as a Python literal, and fails in many ways on bad ones.
    """
    with path.open("rb") as file:
        version = file.read(8)[6:7]
        length = int.from_bytes(file.read(2 if version == b"\1" else 4), "little")
        header = _HEADER.fullmatch(file.read(min(length, _MAX_HEADER_BYTES)))
        offset = file.tell()
    if header is None:
        raise FormatError(f"{path}: expected a matrix of floats, rows x dim, as numpy.save writes")
    kind = np.dtype(header[1].decode())
    shape = (int(header[3]), int(header[4]))
    expected = offset + shape[0] * shape[1] * kind.itemsize
    if path.stat().st_size != expected or not expected > offset or shape[1] > MAX_DIM:
        raise FormatError(
            f"{path}: the header says {shape[0]} vectors of {shape[1]} numbers, a file of "
            f"{expected} bytes; the file has {path.stat().st_size} bytes"
        )
    order: Literal["C", "F"] = "F" if header[2] == b"True" else "C"
    return np.memmap(path, kind, "r", offset, shape, order)


def _word_list(path: Path) -> Path:
    lists = {end: sorted(path.parent.glob(f"*{end}")) for end in (".parquet", ".txt")}
    for end in lists:
        if (same := path.with_suffix(end)).is_file():
            return same
    for found in lists.values():
        if len(found) == 1:
            return found[0]
    raise FormatError(
        f"{path}: its words are missing; put them beside it in {path.stem}.txt, one per line"
    )


def _words(source: Path) -> Iterator[list[str]]:
    if source.suffix == ".txt":
        lines = read_lines(source)
        while part := list(islice(lines, _ROWS_AT_ONCE)):
            yield part
        return
    column = next((name for name, is_text in table_columns(source).items() if is_text), None)
    if column is None:
        raise FormatError(f"{source}: has no column of strings for the words")
    for rows in read_rows(source, [column], batch_size=_ROWS_AT_ONCE):
        yield rows.columns[0]
