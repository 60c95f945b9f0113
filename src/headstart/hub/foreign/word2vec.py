"""word2vec's formats: a header `count dim`, then text lines, or words with raw 32-bit floats.

Written by Mikolov's program (2013), gensim and many others. fastText's `.vec` is the text format.
"""

import codecs
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headstart.errors import FormatError
from headstart.hub.foreign.text_rows import (
    MAX_DIM,
    MAX_WORD_BYTES,
    Rows,
    count_numbers,
    read_rows,
    show,
)

_HEADER = re.compile(rb"(\d{1,15}) (\d{1,15}) *(?:\r?\n|\Z)")
_DECIMAL = re.compile(rb" [-+]?([\d.]+(e[-+]?\d+)?|nan|inf)(?=[ \r]|\Z)", re.IGNORECASE)
_CONTROL = bytes(set(range(32)) - set(b"\t\n\r")) + b"\x7f"


@dataclass(frozen=True)
class Header:
    """The first line's values, and its length in bytes including the line feed."""

    count: int
    dim: int
    size: int


def parse_header(path: Path, head: bytes) -> Header | None:
    """Parse the header at the beginning of `head`; None if the first line is not a header.

    Raises:
        FormatError: The number of vectors or of dimensions is invalid.
    """
    match = _HEADER.match(head)
    if match is None:
        return None
    count, dim = int(match[1]), int(match[2])
    if not (count and 0 < dim <= MAX_DIM):
        raise FormatError(
            f"{path} line 1: the header says {count} vectors of {dim} numbers; "
            f"expected at least 1 of 1 to {MAX_DIM}"
        )
    return Header(count, dim, match.end())


def is_binary(head: bytes, header: Header) -> bool:
    """Return whether raw floats, not decimals, follow the header.

    A first line with all of its numbers is text. Otherwise the file may still be corrupted text: a
    field is a number, and after the first word there are no control characters, the rest of the
    line is ASCII, and what follows is valid UTF-8.
    """
    line, _, _ = head[header.size :].partition(b"\n")
    if count_numbers(line) >= header.dim:
        return False
    if not _DECIMAL.search(line):
        return True
    start = head.find(b" ", header.size) + 1
    numbers = head[start : start + 4 * header.dim]
    before_end, _, _ = numbers.partition(b"\n")
    try:
        codecs.getincrementaldecoder("utf-8")().decode(numbers)  # may end within a character
    except UnicodeDecodeError:
        return True
    return numbers != numbers.translate(None, _CONTROL) or not before_end.isascii()


def read_text(
    path: Path,
    header: Header,
    blocks: Iterable[bytes],
    *,
    wanted: frozenset[str] | None = None,
) -> Iterator[Rows]:
    """Parse the lines that follow the header.

    Raises:
        FormatError: A line is not a word and `dim` numbers, or the count is wrong.
    """
    count = 0
    for rows in read_rows(path, blocks, dim=header.dim, first_line=2, wanted=wanted):
        yield rows
        count += rows.lines
    if count != header.count:
        raise FormatError(
            f"{path} line 1: the header says {header.count} vectors, the file contains {count}; "
            "the file is truncated, or its header is wrong"
        )


def read_binary(
    path: Path,
    header: Header,
    blocks: Iterable[bytes],
    *,
    wanted: frozenset[str] | None = None,
) -> Iterator[Rows]:
    """Parse words and vectors from the bytes that follow the header.

    Raises:
        FormatError: A vector is truncated or not finite, a word is invalid, or bytes are left over.
    """
    done, rest = 0, b""
    for block in blocks:
        data = rest + block
        pieces, end = _cut(path, data, header, done)
        words, vectors = [], []
        for number, (name, vector) in enumerate(pieces, done + 1):
            word = _word(path, name, number)
            if wanted is None or word in wanted:
                words.append(word)
                vectors.append(vector)
        matrix = np.frombuffer(b"".join(vectors), "<f4").reshape(-1, header.dim)
        if not np.isfinite(matrix).all():
            word = words[int(np.isfinite(matrix).all(1).argmin())]
            raise FormatError(f"{path}: the vector of {show(word)} contains NaN or infinity")
        yield Rows(words, matrix, len(pieces))
        done += len(pieces)
        rest = data[end:]
        if done == header.count and rest.strip(b"\n"):
            raise FormatError(
                f"{path}: bytes are left over after the {header.count} vectors of its header"
            )
    if done < header.count:
        raise FormatError(
            f"{path}: truncated in vector {done + 1} of the {header.count} in its header"
        )


def _cut(
    path: Path, data: bytes, header: Header, done: int
) -> tuple[list[tuple[bytes, bytes]], int]:
    """Return the complete pairs of a word and its floats in `data`, and where the last one ends."""
    pieces: list[tuple[bytes, bytes]] = []
    at = 0
    while done + len(pieces) < header.count:
        space = data.find(b" ", at)
        if space - at > MAX_WORD_BYTES or (space < 0 and len(data) - at > MAX_WORD_BYTES):
            number = done + len(pieces) + 1
            raise FormatError(
                f"{path}: the word of vector {number} is longer than {MAX_WORD_BYTES} bytes; "
                "the file is corrupted, or its header is wrong"
            )
        end = space + 1 + 4 * header.dim
        if space < 0 or end > len(data):
            break
        pieces.append((data[at:space], data[space + 1 : end]))
        at = end
    return pieces, at


def _word(path: Path, name: bytes, number: int) -> str:
    """Decode a word; a line feed before it is the end of the previous vector."""
    try:
        word = name.lstrip(b"\n").decode()
    except UnicodeDecodeError:
        raise FormatError(
            f"{path}: the word of vector {number}, {show(name)}, is not UTF-8"
        ) from None
    if not word or "\n" in word:
        raise FormatError(
            f"{path}: the word of vector {number} is {show(name)}; "
            "the file is corrupted, or its header is wrong"
        )
    return word
