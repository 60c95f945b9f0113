"""Texts in the form in which they are compared: normalized words separated by single spaces.

Normalized words are the letters, marks and digits left by NFKC and case folding; everything else
only separates words. In scripts without spaces between words (Han and kana), each character is a
word. Runs of words or characters are compared by 64-bit hashes, which are the same on every
machine. The chance that any of a million runs shares its hash with any of a billion others is below
one in ten thousand.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple
from unicodedata import category, normalize

import numba
import numpy as np
from numpy.typing import NDArray

_PLANES_WITH_LETTERS = 4 << 16
_WORDS_OF_ONE = (
    *((0x3041, 0x3100), (0x31F0, 0x3200)),  # kana
    *((0x3400, 0x4DC0), (0x4E00, 0xA000), (0xF900, 0xFB00), (0x20000, 0x40000)),  # Han
)
_SPACE = 32
_APART, _INSIDE, _ALONE = 0, 1, 2  # between words, in a word, a word of its own
_BASE = 0x9E3779B97F4A7C15  # odd, so no power of it loses a bit


class Encoded(NamedTuple):
    """Normalized texts as code points, end to end, with a space after every word.

    Attributes:
        codes: The code points of all texts.
        offsets: Where each text begins, and the end of the last `[texts + 1]`; consecutive texts
            can be treated as one text.
    """

    codes: NDArray[np.uint32]
    offsets: NDArray[np.int64]


class Lookup(NamedTuple):
    """A hash table from keys to numbers for compiled code; at least half of it is empty."""

    keys: NDArray[np.uint64]
    numbers: NDArray[np.int64]


def encode(texts: Sequence[str]) -> Encoded:
    """Return texts in normalized form."""
    folded = [normalize("NFKC", text).casefold() for text in texts]
    raw = np.frombuffer("".join(folded).encode("utf-32-le", "surrogatepass"), np.uint32)
    ends = np.cumsum([len(text) for text in folded], dtype=np.int64)
    codes = np.empty(2 * len(raw) + len(folded), np.uint32)
    offsets = np.zeros(len(folded) + 1, np.int64)
    _write_normal(raw, ends, _kinds(), codes, offsets)
    return Encoded(codes[: offsets[-1]], offsets)


def normal_words(text: str) -> list[str]:
    """Return the normalized words of a text.

    Example:
        >>> normal_words("The Café’s no. 1: 東京!")
        ['the', 'café', 's', 'no', '1', '東', '京']
    """
    return encode([text]).codes.tobytes().decode("utf-32-le", "surrogatepass").split()


def hash_words(encoded: Encoded) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Return the hash of every word, and where the words of each text end `[texts + 1]`."""
    words = np.empty(len(encoded.codes) // 2, np.uint64)
    offsets = np.zeros(len(encoded.offsets), np.int64)
    _write_words(encoded.codes, encoded.offsets, words, offsets)
    return words[: offsets[-1]], offsets


def lookup(keys: NDArray[np.uint64]) -> Lookup:
    """Return a table of distinct keys, in which the number of a key is its index."""
    slots = 1 << max(2 * len(keys), 2).bit_length()
    table = Lookup(np.zeros(slots, np.uint64), np.full(slots, -1, np.int64))
    _fill(keys, *table)
    return table


@cache
def _kinds() -> NDArray[np.uint8]:
    """Return the kind of each code point: between words, in a word, or a word of its own."""
    kinds = np.zeros(_PLANES_WITH_LETTERS, np.uint8)
    kinds[[code for code in range(len(kinds)) if category(chr(code))[0] in "LMN"]] = _INSIDE
    for first, end in _WORDS_OF_ONE:
        kinds[first:end] *= _ALONE
    return kinds


compiled: Any = numba.njit(nogil=True, cache=True, error_model="numpy")


@compiled
def mix(value):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Mix a hash until every bit depends on all (SplitMix64 finalizer, Steele et al., 2014)."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@compiled
def hash_codes(codes, start, end):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Return the hash of the code points from `start` to `end`."""
    value = np.uint64(end - start)
    for at in range(start, end):
        value = value * np.uint64(_BASE) + np.uint64(codes[at])
    return mix(value)


@compiled
def find(keys, numbers, key):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Return the number of a key in a `Lookup`, or -1."""
    last = np.uint64(len(keys) - 1)
    slot = key & last
    while numbers[slot] >= 0:
        if keys[slot] == key:
            return numbers[slot]
        slot = (slot + np.uint64(1)) & last
    return np.int64(-1)


@compiled
def _fill(distinct, keys, numbers):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    last = np.uint64(len(keys) - 1)
    for number in range(len(distinct)):
        slot = distinct[number] & last
        while numbers[slot] >= 0:
            slot = (slot + np.uint64(1)) & last
        keys[slot] = distinct[number]
        numbers[slot] = number


@compiled
def _write_normal(raw, ends, kinds, codes, offsets):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Copy letters, marks and digits, with a space after every word."""
    count = at = 0
    for text in range(len(ends)):
        inside = False
        while at < ends[text]:
            code = raw[at]
            kind = kinds[code] if code < len(kinds) else _APART
            if inside and kind != _INSIDE:
                codes[count] = _SPACE
                count += 1
            if kind != _APART:
                codes[count] = code
                count += 1
            if kind == _ALONE:
                codes[count] = _SPACE
                count += 1
            inside = kind == _INSIDE
            at += 1
        if inside:
            codes[count] = _SPACE
            count += 1
        offsets[text + 1] = count


@compiled
def _write_words(codes, offsets, words, word_offsets):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    count = 0
    for text in range(len(offsets) - 1):
        start = offsets[text]
        for at in range(offsets[text], offsets[text + 1]):
            if codes[at] == _SPACE:
                words[count] = hash_codes(codes, start, at)
                count += 1
                start = at + 1
        word_offsets[text + 1] = count
