"""Texts that are nearly the same: four fifths of their runs of five characters are common.

The likeness of two normal texts is the Jaccard index of their sets of shingles, which are runs of
`SHINGLE` characters (Broder, 1997). What is at least 4/5 alike is found without any approximation
and without looking at every pair. By prefix filtering (Chaudhuri et al., 2006; Bayardo et al.,
2007), with one order of all shingles, the rarest first, sets a and b are not that much alike unless
the first |a| - ceil(4/5 |a|) + 1 shingles of a and the like of b have one in common.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headstart.data.normal_text import Encoded, Lookup, compiled, encode, find, hash_codes, lookup

SHINGLE = 5  # characters
LIKENESS = 0.8
_PART, _WHOLE = 4, 5  # the same as a fraction, so that no rounding decides

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Rows:
    """Texts to look for.

    Shingles have numbers, the lowest that of the rarest one; row r has the numbers
    `shingles[offsets[r] : offsets[r + 1]]`, rising.

    Attributes:
        numbers: From the hash of a shingle to its number.
        shingles: The numbers of each row's shingles, row after row.
        offsets: Where each row's begin, and the end `[rows + 1]`.
        holders: The rows that have a shingle among their first ones, shingle after shingle.
        holder_offsets: Where each shingle's begin, and the end `[shingles + 1]`.
    """

    numbers: Lookup
    shingles: Ints
    offsets: Ints
    holders: Ints
    holder_offsets: Ints


@dataclass(frozen=True)
class Matches:
    """What was found so far, which `match` adds to.

    Attributes:
        numbers: The number of the first text that is nearly the row, or -1 `[rows]`.
        likeness: How much alike they are `[rows]`.
    """

    numbers: Ints
    likeness: NDArray[np.float64]

    @classmethod
    def none(cls, num_rows: int) -> "Matches":
        """Return the state before any text."""
        return cls(np.full(num_rows, -1, np.int64), np.zeros(num_rows))


def index_rows(texts: Sequence[str]) -> Rows:
    """Prepare texts to be looked for; one without a letter or digit is never found."""
    encoded = encode(texts)
    hashes = np.empty(len(encoded.codes), np.uint64)
    rows = np.empty(len(encoded.codes), np.int64)
    count = _write_shingles(encoded.codes, encoded.offsets, hashes, rows)
    distinct, shingles, frequency = np.unique(
        hashes[:count], return_inverse=True, return_counts=True
    )
    order = np.argsort(frequency, kind="stable")  # equally rare ones stay in the hashes' order
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    pairs = np.unique(np.stack([rows[:count], rank[shingles]], axis=1), axis=0)
    of_row, shingles = np.ascontiguousarray(pairs[:, 0]), np.ascontiguousarray(pairs[:, 1])
    offsets = np.searchsorted(of_row, np.arange(len(texts) + 1))
    sizes = np.diff(offsets)
    place = np.arange(len(of_row)) - offsets[of_row]
    is_first = place <= sizes[of_row] - _least_common(sizes)[of_row]
    by_shingle = np.argsort(shingles[is_first], kind="stable")
    holder_offsets = np.searchsorted(shingles[is_first][by_shingle], np.arange(len(distinct) + 1))
    return Rows(
        lookup(distinct[order]), shingles, offsets, of_row[is_first][by_shingle], holder_offsets
    )


def match(
    rows: Rows, texts: Encoded, numbers: Ints, found: Matches, *, longest: int | None = None
) -> None:
    """Note for each row not found yet the first of `texts` that is nearly the row.

    Args:
        rows: What is looked for.
        texts: Where it is looked for.
        numbers: What each text is called in `found` `[texts]`, 0 or more.
        found: Where it is noted.
        longest: Texts of more normal characters are passed over.
    """
    starts, ends = texts.offsets[:-1], texts.offsets[1:]
    if longest is not None:
        short = ends - starts <= longest
        starts, ends, numbers = starts[short], ends[short], numbers[short]
    _match(
        texts.codes,
        (starts, ends),
        numbers,
        rows.numbers,
        (rows.shingles, rows.offsets),
        (rows.holders, rows.holder_offsets),
        (found.numbers, found.likeness),
    )


def _least_common(size: Ints) -> Ints:
    """Return how many shingles a set of `size` has at least in common with one as much alike."""
    return (size * _PART + _WHOLE - 1) // _WHOLE


@compiled
def _num_shingles(start, end):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Return how many shingles a text has, its last space left out; a shorter one is its own."""
    characters = end - start - 1
    return max(characters - SHINGLE + 1, min(characters, 1))


@compiled
def _write_shingles(codes, offsets, hashes, rows):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    count = 0
    for row in range(len(offsets) - 1):
        start, end = offsets[row], offsets[row + 1]
        for at in range(start, start + _num_shingles(start, end)):
            hashes[count] = hash_codes(codes, at, min(at + SHINGLE, end - 1))
            rows[count] = row
            count += 1
    return count


@compiled
def _match(codes, spans, numbers, table, own, held, found):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    shingles, offsets = own
    holders, holder_offsets = held
    in_text = np.full(len(holder_offsets), -1)  # the last text that each shingle was seen in
    looked_at = np.full(len(offsets), -1)  # the last text that each row was compared with
    longest = 0
    for text in range(len(numbers)):
        longest = max(longest, spans[1][text] - spans[0][text])
    known, unknown = np.empty(longest, np.int64), np.empty(longest, np.uint64)
    for text in range(len(numbers)):
        start, end = spans[0][text], spans[1][text]
        num_known = num_unknown = 0
        for at in range(start, start + _num_shingles(start, end)):
            key = hash_codes(codes, at, min(at + SHINGLE, end - 1))
            shingle = find(table.keys, table.numbers, key)
            if shingle < 0:
                unknown[num_unknown] = key
                num_unknown += 1
            elif in_text[shingle] != text:
                in_text[shingle] = text
                known[num_known] = shingle
                num_known += 1
        num_unknown = _num_distinct(unknown[:num_unknown])  # the rarest: no row has them
        size = num_known + num_unknown
        first = size - (size * _PART + _WHOLE - 1) // _WHOLE + 1 - num_unknown
        if num_known == 0 or first <= 0:
            continue
        for shingle in np.sort(known[:num_known])[:first]:
            for holder in range(holder_offsets[shingle], holder_offsets[shingle + 1]):
                row = holders[holder]
                if looked_at[row] == text or found[0][row] >= 0:
                    continue
                looked_at[row] = text
                common = 0
                for each in range(offsets[row], offsets[row + 1]):
                    common += in_text[shingles[each]] == text
                union = offsets[row + 1] - offsets[row] + size - common
                if common * _WHOLE >= union * _PART:
                    found[0][row] = numbers[text]
                    found[1][row] = common / union


@compiled
def _num_distinct(keys):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    keys.sort()
    count = 0
    for at in range(len(keys)):
        count += at == 0 or keys[at] != keys[at - 1]
    return count
