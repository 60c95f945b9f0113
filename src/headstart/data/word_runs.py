"""Find runs of words that texts share: 13 words in a row, as for GPT-3 (Brown et al., 2020).

A text is recognized by any of its runs of `RUN` normalized words or, if it has fewer words, by all
of them in a row (appendix C). A text of fewer than `SHORTEST` words, also the paper's minimum, has
no run: such short texts occur in a large corpus by chance.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headstart.data.normal_text import (
    Encoded,
    Lookup,
    compiled,
    encode,
    find,
    hash_words,
    lookup,
    mix,
)

RUN = 13
SHORTEST = 8
_BASE = 0xD1342543DE82EF95  # odd, so no power of it loses a bit

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Runs:
    """The runs of some rows.

    Attributes:
        sizes: The lengths of the runs in words, ascending.
        powers: `_BASE` to these powers.
        numbers: Maps the hash of a run to its number.
        offsets: Where the holders of each run begin, and the end `[runs + 1]`.
        rows: The rows that contain each run, in the order of the runs.
        places: The word at which the run begins in each of these rows.
    """

    sizes: Ints
    powers: NDArray[np.uint64]
    numbers: Lookup
    offsets: Ints
    rows: Ints
    places: Ints


@dataclass(frozen=True)
class Hits:
    """The matches so far; `match_runs` adds to them.

    Attributes:
        numbers: The number of the first text that contains a run of the row, or -1 `[rows]`.
        places: The word of the row at which that run begins `[rows]`.
    """

    numbers: Ints
    places: Ints

    @classmethod
    def none(cls, num_rows: int) -> "Hits":
        """Return the matches before any text is searched."""
        return cls(np.full(num_rows, -1, np.int64), np.zeros(num_rows, np.int64))


def index_runs(texts: Sequence[str]) -> Runs:
    """Index the runs of texts to search for."""
    words, offsets = hash_words(encode(texts))
    lengths = np.diff(offsets)
    size_of = np.minimum(lengths, RUN)
    counts = np.where(lengths >= SHORTEST, lengths - size_of + 1, 0)
    rows = np.repeat(np.arange(len(texts)), counts)
    places = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    keys = _hash_runs(words, offsets[rows] + places, size_of[rows])
    order = np.argsort(keys, kind="stable")
    distinct, firsts = np.unique(keys[order], return_index=True)
    sizes = np.unique(size_of[rows])
    return Runs(
        sizes=sizes,
        powers=np.array([pow(_BASE, int(size), 1 << 64) for size in sizes], np.uint64),
        numbers=lookup(distinct),
        offsets=np.append(firsts, len(keys)),
        rows=rows[order],
        places=places[order],
    )


def match_runs(runs: Runs, texts: Encoded, numbers: Ints, hits: Hits) -> None:
    """Record, for each row without a match, the first of `texts` that contains one of its runs.

    Args:
        runs: The runs to search for.
        texts: The texts to search.
        numbers: The number of each text, to be stored in `hits` `[texts]`, 0 or more.
        hits: Updated with the matches.
    """
    _match_runs(
        *hash_words(texts),
        numbers,
        (runs.sizes, runs.powers),
        runs.numbers,
        (runs.offsets, runs.rows, runs.places),
        (hits.numbers, hits.places),
    )


@compiled
def _hash_runs(words, starts, sizes):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    keys = np.empty(len(starts), np.uint64)
    for run in range(len(starts)):
        value = np.uint64(0)
        for at in range(starts[run], starts[run] + sizes[run]):
            value = value * np.uint64(_BASE) + words[at]
        keys[run] = mix(value + np.uint64(sizes[run]))
    return keys


@compiled
def _match_runs(words, offsets, numbers, lengths, table, holders, hits):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    sizes, powers = lengths
    holder_offsets, rows, places = holders
    sums = np.zeros(len(words) + 1, np.uint64)  # of all words before: a run is a difference
    for at in range(len(words)):
        sums[at + 1] = sums[at] * np.uint64(_BASE) + words[at]
    for text in range(len(numbers)):
        for end in range(offsets[text] + 1, offsets[text + 1] + 1):
            for which in range(len(sizes)):
                start = end - sizes[which]
                if start < offsets[text]:
                    break
                value = sums[end] - sums[start] * powers[which]
                run = find(table.keys, table.numbers, mix(value + np.uint64(sizes[which])))
                if run < 0:
                    continue
                for holder in range(holder_offsets[run], holder_offsets[run + 1]):
                    row = rows[holder]
                    if hits[0][row] < 0:
                        hits[0][row] = numbers[text]
                        hits[1][row] = places[holder]
