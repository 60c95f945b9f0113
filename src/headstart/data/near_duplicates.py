"""Find near duplicates: texts that share at least 4/5 of their runs of five characters.

The similarity of two normalized texts is the Jaccard index of their sets of shingles, which are
runs of `SHINGLE` characters (Broder, 1997). Pairs with a similarity of at least 4/5 are found
exactly, without comparing every pair, by prefix filtering (Chaudhuri et al., 2006; Bayardo et al.,
2007). With all shingles in one order, the rarest first, sets a and b cannot be that similar unless
the first |a| - ceil(4/5 |a|) + 1 shingles of a and the first |b| - ceil(4/5 |b|) + 1 of b have one
in common.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headstart.data.normal_text import Encoded, Lookup, compiled, encode, find, hash_codes, lookup

SHINGLE = 5  # characters
LIKENESS = 0.8
_PART, _WHOLE = 4, 5  # the same as a fraction, to avoid rounding

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Rows:
    """Texts to search for.

    Shingles are numbered, the rarest first. Row r has the numbers
    `shingles[offsets[r] : offsets[r + 1]]`, ascending.

    Attributes:
        numbers: Maps the hash of a shingle to its number.
        shingles: The numbers of each row's shingles, row after row.
        offsets: Where the shingles of each row begin, and the end `[rows + 1]`.
        holders: The rows that have each shingle among their first ones, shingle after shingle.
        holder_offsets: Where the rows of each shingle begin, and the end `[shingles + 1]`.
    """

    numbers: Lookup
    shingles: Ints
    offsets: Ints
    holders: Ints
    holder_offsets: Ints


@dataclass(frozen=True)
class Matches:
    """The matches so far; `match` adds to them.

    Attributes:
        numbers: The number of the first text that is a near duplicate of the row, or -1 `[rows]`.
        likeness: Their similarity `[rows]`.
    """

    numbers: Ints
    likeness: NDArray[np.float64]

    @classmethod
    def none(cls, num_rows: int) -> "Matches":
        """Return the matches before any text is searched."""
        return cls(np.full(num_rows, -1, np.int64), np.zeros(num_rows))


def index_rows(texts: Sequence[str]) -> Rows:
    """Index texts to search for; a text without a letter or digit is never found."""
    encoded = encode(texts)
    hashes = np.empty(len(encoded.codes), np.uint64)
    rows = np.empty(len(encoded.codes), np.int64)
    count = _write_shingles(encoded.codes, encoded.offsets, hashes, rows)
    distinct, shingles, frequency = np.unique(
        hashes[:count], return_inverse=True, return_counts=True
    )
    order = np.argsort(frequency, kind="stable")  # ties stay in the order of the hashes
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    pairs = np.sort(rows[:count] * max(len(distinct), 1) + rank[shingles])
    pairs = pairs[np.append(True, pairs[1:] != pairs[:-1])[: len(pairs)]]
    of_row, shingles = np.divmod(pairs, max(len(distinct), 1))
    offsets = np.searchsorted(of_row, np.arange(len(texts) + 1))
    sizes = np.diff(offsets)
    place = np.arange(len(of_row)) - offsets[of_row]
    is_first = place <= (sizes - _least_common(sizes))[of_row]
    by_shingle = np.argsort(shingles[is_first], kind="stable")
    return Rows(
        numbers=lookup(distinct[order]),
        shingles=shingles,
        offsets=offsets,
        holders=of_row[is_first][by_shingle],
        holder_offsets=np.searchsorted(
            shingles[is_first][by_shingle], np.arange(len(distinct) + 1)
        ),
    )


def match(
    rows: Rows, texts: Encoded, numbers: Ints, found: Matches, *, longest: int | None = None
) -> None:
    """Record, for each row without a match, the first of `texts` that is a near duplicate of it.

    Args:
        rows: The rows to search for.
        texts: The texts to search.
        numbers: The number of each text, to be stored in `found` `[texts]`, 0 or more.
        found: Updated with the matches.
        longest: Texts with more normalized characters are skipped.
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
    """Return the least number of shingles that a set of `size` shares with one 4/5 similar."""
    return (size * _PART + _WHOLE - 1) // _WHOLE


@compiled
def _num_shingles(start, end):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Return the number of shingles of a text without its last space; a short text is one."""
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
    starts, ends = spans
    shingles, offsets = own
    holders, holder_offsets = held
    in_text = np.full(len(holder_offsets), -1)  # the last text in which each shingle occurred
    looked_at = np.full(len(offsets), -1)  # the last text that each row was compared with
    longest = (ends - starts).max() if len(starts) else 0
    known, strange = np.empty(longest, np.int64), np.empty(longest, np.uint64)
    for text in range(len(starts)):
        start, end = starts[text], ends[text]
        num_known = num_strange = 0
        for at in range(start, start + _num_shingles(start, end)):
            key = hash_codes(codes, at, min(at + SHINGLE, end - 1))
            shingle = find(table.keys, table.numbers, key)
            if shingle < 0:
                strange[num_strange] = key
                num_strange += 1
            elif in_text[shingle] != text:
                in_text[shingle] = text
                known[num_known] = shingle
                num_known += 1
        num_strange = _num_distinct(strange[:num_strange])  # the rarest, because no row has them
        size = num_known + num_strange
        first = size - (size * _PART + _WHOLE - 1) // _WHOLE + 1 - num_strange
        if num_known == 0 or first <= 0:
            continue
        for shingle in np.sort(known[:num_known])[:first]:
            for holder in range(holder_offsets[shingle], holder_offsets[shingle + 1]):
                row = holders[holder]
                if looked_at[row] == text or found[0][row] >= 0:
                    continue
                looked_at[row] = text
                of_row = shingles[offsets[row] : offsets[row + 1]]
                common = _num_common(of_row, in_text, text, size)
                union = len(of_row) + size - common
                if common * _WHOLE >= union * _PART:
                    found[0][row] = numbers[text]
                    found[1][row] = common / union


@compiled
def _num_common(of_row, in_text, text, size):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Return how many shingles a row shares with a text of `size`; 0 if there are too few."""
    least = (_PART * (len(of_row) + size) + _PART + _WHOLE - 1) // (_PART + _WHOLE)
    spare = len(of_row) - least
    if least > size:
        return 0
    for shingle in of_row:  # the rarest first, which rule out most rows early
        spare -= in_text[shingle] != text
        if spare < 0:
            return 0
    return least + spare


@compiled
def _num_distinct(keys):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    keys.sort()
    count = 0
    for at in range(len(keys)):
        count += at == 0 or keys[at] != keys[at - 1]
    return count
