"""word2vec's formats: a header `count dim`, then text lines, or words with raw 32-bit floats.

Written by Mikolov's program (2013), gensim and many others; fastText's `.vec` is the text one.
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
    """What the first line promises, and its length in bytes with the line feed."""

    count: int
    dim: int
    size: int


def parse_header(path: Path, head: bytes) -> Header | None:
    """Read the header at the beginning of `head`; None where the first line is none.

    Raises:
        FormatError: It promises no vectors, or impossible ones.
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
    """Tell raw floats from decimals by what follows the header.

    A first line with all its numbers is text. Otherwise it may be damaged text, which still has a
    field that is a number, and after its first word no control characters, no bytes beyond ASCII in
    the line, and none that are not UTF-8 in the next.
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
        codecs.getincrementaldecoder("utf-8")().decode(numbers)  # a letter may be cut at its end
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
        FormatError: A line is not a word and `dim` numbers, or the count is another.
    """
    count = 0
    for rows in read_rows(path, blocks, dim=header.dim, first_line=2, wanted=wanted):
        yield rows
        count += rows.lines
    if count != header.count:
        raise FormatError(
            f"{path} line 1: the header says {header.count} vectors, the file holds {count}; "
            "it is cut off, or its header is wrong"
        )


def read_binary(
    path: Path,
    header: Header,
    blocks: Iterable[bytes],
    *,
    wanted: frozenset[str] | None = None,
) -> Iterator[Rows]:
    """Cut words and vectors out of the bytes that follow the header.

    Raises:
        FormatError: A vector is cut off or not finite, a word is none, or bytes are left over.
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
            raise FormatError(f"{path}: the vector of {show(word)} holds NaN or infinity")
        yield Rows(words, matrix, len(pieces))
        done += len(pieces)
        rest = data[end:]
        if done == header.count and rest.strip(b"\n"):
            raise FormatError(
                f"{path}: bytes are left over after the {header.count} vectors its header promises"
            )
    if done < header.count:
        raise FormatError(
            f"{path}: cut off in vector {done + 1} of the {header.count} its header promises"
        )


def _cut(
    path: Path, data: bytes, header: Header, done: int
) -> tuple[list[tuple[bytes, bytes]], int]:
    """Return the whole pairs of a word and its floats in `data`, and where the last one ends."""
    pieces: list[tuple[bytes, bytes]] = []
    at = 0
    while done + len(pieces) < header.count:
        space = data.find(b" ", at)
        if space - at > MAX_WORD_BYTES or (space < 0 and len(data) - at > MAX_WORD_BYTES):
            number = done + len(pieces) + 1
            raise FormatError(
                f"{path}: the word of vector {number} is longer than {MAX_WORD_BYTES} bytes; "
                "the file is damaged, or its header is wrong"
            )
        end = space + 1 + 4 * header.dim
        if space < 0 or end > len(data):
            break
        pieces.append((data[at:space], data[space + 1 : end]))
        at = end
    return pieces, at


def _word(path: Path, name: bytes, number: int) -> str:
    """Decode a word; the line feed before it, where there is one, ended the vector before."""
    try:
        word = name.lstrip(b"\n").decode()
    except UnicodeDecodeError:
        raise FormatError(
            f"{path}: the word of vector {number}, {show(name)}, is not UTF-8"
        ) from None
    if not word or "\n" in word:
        raise FormatError(
            f"{path}: the word of vector {number} is {show(name)}; "
            "the file is damaged, or its header is wrong"
        )
    return word
