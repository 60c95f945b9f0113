"""GloVe's own text format: one line per word, with the word and its numbers, and no header.

Written by Stanford's program (Pennington, Socher and Manning, 2014). A word may contain spaces: the
840B vectors have `. . .` and `at name@domain.com`.
"""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from headstart.errors import FormatError
from headstart.hub.foreign.text_rows import (
    MAX_DIM,
    Rows,
    check_first_word,
    count_numbers,
    read_rows,
)


def read_glove(
    path: Path, head: bytes, blocks: Iterator[bytes], *, wanted: frozenset[str] | None = None
) -> Iterator[Rows]:
    """Parse the file that begins with `head`; its first line determines the dimension.

    Raises:
        FormatError: A line is not a word and as many numbers as in the first line, or the first
            word contains what looks like a number.
    """
    first = head.partition(b"\n")[0]
    dim = count_numbers(first)
    if not 0 < dim <= MAX_DIM:
        raise FormatError(
            f"{path} line 1: {dim} numbers after a word; expected word vectors: on each line a "
            f"word and 1 to {MAX_DIM} numbers, separated by single spaces"
        )
    check_first_word(path, first, dim)
    return read_rows(path, chain([head], blocks), dim=dim, wanted=wanted)
