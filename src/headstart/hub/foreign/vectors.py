"""Read published word vectors; the format is recognized by content and read strictly.

Supported are GloVe text, word2vec text (such as fastText's `.vec`) and word2vec binary, each also
compressed, and a `.npy` matrix with a list of its words beside it. Blocks of the file become rows
of one growing matrix, so memory depends on what the file contains, never on what it claims.
"""

import io
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from headstart.data.lines import open_bytes
from headstart.errors import DataError, FormatError
from headstart.hub.foreign import glove, numpy_matrix, word2vec
from headstart.hub.foreign.text_rows import Matrix, Rows, show
from headstart.progress import SILENT, Advance, Progress

_BLOCK_BYTES = 1 << 18
_ROWS_AT_ONCE = 1 << 14
_MAX_GROWTH = 20  # numbers compress 2 to 4 times; 20 times is a decompression bomb
_FREE_GROWTH_BYTES = 16 << 20
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_NOT_VECTORS = {
    b"\x80": "a Python pickle, which could run code; save the vectors as word2vec text or binary",
    b"\xba\x16\x4f\x2f": "a fastText .bin model; load the .vec file published beside it",
    b"PK\x03\x04": "a zip archive (or a file of torch or NumPy); unpack it first",
    b"PAR1\x15": "a Parquet file; load the .npy matrix beside it",
    b"\x89HDF": "an HDF5 file, not word vectors",
    b"BZh9": "compressed with bzip2; unpack it first",
    b"\xfd7zXZ": "compressed with xz; unpack it first",
}


@dataclass(frozen=True)
class VectorFile:
    """Word vectors as read from a file.

    Attributes:
        words: Distinct words in the order of the file.
        matrix: Their vectors `[len(words), dim]`, float32, finite.
        source: The file.
        format: `GloVe text`, `word2vec text`, `word2vec binary` or `NumPy matrix`.
        missing: Words of the requested vocabulary that are not in the file, in their order.
        notes: Remarks for the user, one sentence each.
    """

    words: list[str]
    matrix: Matrix
    source: str
    format: str
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def coverage(self) -> float:
        """Share of the requested words that the file contains; 1 if all words were requested."""
        asked = len(self.words) + len(self.missing)
        return len(self.words) / asked if asked else 1.0


def read_vectors(
    path: str | Path,
    *,
    vocabulary: Collection[str] | None = None,
    progress: Progress = SILENT,
) -> VectorFile:
    r"""Read word vectors; format, header and dimension are inferred from the content.

    Numbers are rounded to the nearest 32-bit float. With a `vocabulary`, only its words are kept:
    the lines of other words are still counted and checked for their number of fields, but their
    numbers are not parsed. If a word is repeated, its first vector is kept.

    Raises:
        FormatError: The file does not follow its format; the message gives the line or the vector.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp(), "vectors.txt")
        >>> _ = file.write_text("cat 0.5 -1\ndog 0.25 3e-1\n")
        >>> read_vectors(file, vocabulary=["dog", "emu"]).missing
        ('emu',)
    """
    path = Path(path)
    if not path.is_file():
        raise FormatError(f"{path}: no such file")
    wanted = None if vocabulary is None else frozenset(vocabulary)
    compressed = path.suffix in {".gz", ".zst"}
    total = None if compressed else float(path.stat().st_size)
    try:
        with (
            open_bytes(path) as file,
            progress.stage(f"reading {path.name}", total, "bytes") as advance,
        ):
            name, rows = _recognize(path, _blocks(path, file, advance), wanted)
            words, matrix = _gather(rows)
    except DataError as error:
        raise FormatError(str(error)) from None
    repeated = _drop_repeated(words, matrix)
    return _described(path, name, words, matrix, vocabulary, repeated)


def _blocks(path: Path, file: io.BufferedReader, advance: Advance) -> Iterator[bytes]:
    limit = max(_FREE_GROWTH_BYTES, _MAX_GROWTH * path.stat().st_size)
    while block := file.read(_BLOCK_BYTES):
        limit -= len(block)
        if limit < 0:
            raise FormatError(
                f"{path}: grows more than {_MAX_GROWTH} times when decompressed; "
                "if this is expected, decompress it first"
            )
        advance(len(block))
        yield block


def _recognize(
    path: Path, blocks: Iterator[bytes], wanted: frozenset[str] | None
) -> tuple[str, Iterable[Rows]]:
    """Recognize the format from the first block; return its name and an iterator of rows."""
    head = next(blocks, b"").removeprefix(_BYTE_ORDER_MARK)
    if not head:
        raise FormatError(f"{path}: the file is empty")
    for magic, reason in _NOT_VECTORS.items():
        if head.startswith(magic):
            raise FormatError(f"{path}: {reason}")
    if head.startswith(numpy_matrix.MAGIC):
        return "NumPy matrix", numpy_matrix.read_pair(path, wanted=wanted)
    header = word2vec.parse_header(path, head)
    if header is None:
        return "GloVe text", glove.read_glove(path, head, blocks, wanted=wanted)
    body = chain([head[header.size :]], blocks)
    if word2vec.is_binary(head, header):
        return "word2vec binary", word2vec.read_binary(path, header, body, wanted=wanted)
    return "word2vec text", word2vec.read_text(path, header, body, wanted=wanted)


def _gather(rows: Iterable[Rows]) -> tuple[list[str], Matrix]:
    """Join the parts of a file into one matrix that owns its memory, without a second copy."""
    words: list[str] = []
    matrix: Matrix = np.empty((0, 0), np.float32)
    for part in rows:
        used, needed = len(words), len(words) + len(part.words)
        if used == 0:
            matrix = np.empty((0, part.matrix.shape[1]), np.float32)
        if needed > len(matrix):
            # Large arrays grow by moving pages, not bytes; spare rows make the moves rare.
            matrix.resize((needed + needed // 32, matrix.shape[1]), refcheck=False)
        matrix[used:needed] = part.matrix
        words += part.words
    matrix.resize((len(words), matrix.shape[1]), refcheck=False)
    return words, matrix


def _drop_repeated(words: list[str], matrix: Matrix) -> list[str]:
    """Keep, in place, the first vector of every word; return the repeated words."""
    hashes = np.fromiter(map(hash, words), np.int64, len(words))
    hashes.sort()
    if not (hashes[1:] == hashes[:-1]).any():  # the usual case; far smaller than a set of words
        return []
    first: dict[str, int] = {}
    repeated = [word for row, word in enumerate(words) if first.setdefault(word, row) != row]
    words[:] = first
    kept = np.fromiter(first.values(), np.int64, len(first))
    for start in range(0, len(kept), _ROWS_AT_ONCE):
        rows = kept[start : start + _ROWS_AT_ONCE]
        matrix[start : start + len(rows)] = matrix[rows]  # rows only move up
    matrix.resize((len(words), matrix.shape[1]), refcheck=False)
    return repeated


def _described(
    path: Path,
    name: str,
    words: list[str],
    matrix: Matrix,
    vocabulary: Collection[str] | None,
    repeated: list[str],
) -> VectorFile:
    notes = []
    if repeated:
        notes.append(
            f"{path}: dropped {len(repeated)} vectors of repeated words (the first of each word is "
            f"kept): {_examples(repeated)}"
        )
    missing: tuple[str, ...] = ()
    if vocabulary is not None:
        found = set(words)
        missing = tuple(word for word in dict.fromkeys(vocabulary) if word not in found)
        asked = len(words) + len(missing)
        notes.append(
            f"{path}: contains {len(words):,} of {asked:,} requested words"
            + (f"; {len(missing):,} missing: {_examples(missing)}" if missing else "")
        )
    return VectorFile(words, matrix, str(path), name, missing, tuple(notes))


def _examples(words: Collection[str]) -> str:
    shown = list(dict.fromkeys(words))[:5]
    return ", ".join(map(show, shown)) + (", .." if len(shown) < len(words) else "")
