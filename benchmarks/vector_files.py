"""Writers of word vector files: complete or absent, and read back as exactly the same floats."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from headstart.errors import FormatError
from headstart.hub.foreign.text_rows import MAX_WORD_BYTES, Matrix, check_first_word, show
from headstart.storage import new_file

_ROWS_AT_ONCE = 1024


def write_glove(path: str | Path, words: Sequence[str], matrix: Matrix) -> None:
    """Write vectors `[words, dim]` as GloVe text; reading them returns exactly the same floats.

    Raises:
        FormatError: The format cannot hold a word or a number.
        StorageError: The file cannot be written.
    """
    if words:
        check_first_word(Path(path), words[0].encode(errors="replace"), 0)
    _write_rows(Path(path), words, matrix)


def write_word2vec_text(path: str | Path, words: Sequence[str], matrix: Matrix) -> None:
    """Write vectors `[words, dim]` as word2vec text; reading them returns exactly the same floats.

    Raises:
        FormatError: The format cannot hold a word or a number.
        StorageError: The file cannot be written.
    """
    _write_rows(Path(path), words, matrix, header=f"{len(words)} {matrix.shape[1]}\n")


def write_word2vec_binary(path: str | Path, words: Sequence[str], matrix: Matrix) -> None:
    """Write vectors `[words, dim]` as word2vec binary.

    Raises:
        FormatError: The format cannot hold a word or a number.
        StorageError: The file cannot be written.
    """
    names = _checked_words(Path(path), words, matrix)
    with new_file(Path(path)) as file:
        file.write(b"%d %d\n" % matrix.shape)
        for name, vector in zip(names, matrix, strict=True):
            file.write(name + b" " + vector.astype("<f4").tobytes() + b"\n")


def _write_rows(path: Path, words: Sequence[str], matrix: Matrix, *, header: str = "") -> None:
    """Write `header`, then one line per word: the word and its shortest exact decimals.

    Raises:
        FormatError: The format cannot hold a word or a number.
        StorageError: The file cannot be written.
    """
    names = _checked_words(path, words, matrix)
    dim = matrix.shape[1]
    with new_file(path) as file:
        file.write(header.encode())
        for start in range(0, len(names), _ROWS_AT_ONCE):
            part = np.ascontiguousarray(matrix[start : start + _ROWS_AT_ONCE], np.float32)
            decimals = pa.array(part.ravel()).cast(pa.string()).to_pylist()
            for row, name in enumerate(names[start : start + _ROWS_AT_ONCE]):
                numbers = " ".join(decimals[row * dim : (row + 1) * dim])
                file.write(name + b" " + numbers.encode() + b"\n")


def _checked_words(path: Path, words: Sequence[str], matrix: Matrix) -> list[bytes]:
    """Return the words in UTF-8, after checking that a reader can recover them and the matrix.

    Raises:
        FormatError: A reader cannot recover them.
    """
    if matrix.ndim != 2 or len(words) != len(matrix) or not matrix.size:
        shape = "x".join(map(str, matrix.shape))
        raise FormatError(f"{path}: cannot write {len(words)} words with a matrix of {shape}")
    if not np.isfinite(matrix).all():
        row = int(np.isfinite(matrix).all(axis=1).argmin())
        raise FormatError(f"{path}: the vector of {show(words[row])} contains NaN or infinity")
    if len(set(words)) < len(words):
        raise FormatError(f"{path}: a word occurs twice; a file of vectors has one line per word")
    names = []
    for word in words:
        name = word.encode(errors="replace")
        unreadable = b" " in name or b"\n" in name or word.startswith("\ufeff")
        if unreadable or not 0 < len(name) <= MAX_WORD_BYTES or name.decode() != word:
            raise FormatError(
                f"{path}: cannot hold the word {show(word)}; a word must be 1 to {MAX_WORD_BYTES} "
                "bytes of UTF-8 without spaces and line feeds"
            )
        names.append(name)
    return names
