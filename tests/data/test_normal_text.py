"""Texts as they are compared, and the hashes of their words."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.data.normal_text import (
    encode,
    find,
    hash_words,
    lookup,
    normal_words,
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("It's FINE -- isn't it?", "it s fine isn t it"),
        ("cafe\u0301 CAF\u00c9 \ufb01ne \uff21\u00b2", "caf\u00e9 caf\u00e9 fine a2"),
        ("stra\u00dfe STRASSE", "strasse strasse"),
        ("\u6771\u4eac\u306f 3km", "\u6771 \u4eac \u306f 3km"),
        ("\u0939\u093f\u0928\u094d\u0926\u0940,", "\u0939\u093f\u0928\u094d\u0926\u0940"),
        ("\ud55c\uad6d\uc5b4 1", "\ud55c\uad6d\uc5b4 1"),
        ("a\u200bb\nc\u2028d_e\x00f", "a b c d e f"),
        ("half \ud800 of a pair", "half of a pair"),
        ("\U0010ffff \U0001f600", ""),
        ("", ""),
    ],
)  # fmt: skip
def test_normal_words(text, words):
    assert normal_words(text) == words.split()


@settings(deadline=None)
@given(st.lists(st.text(), max_size=5))
def test_texts_are_encoded_as_if_each_were_alone(texts):
    encoded = encode(texts)
    parts = [
        encoded.codes[a:b].tolist()
        for a, b in zip(encoded.offsets, encoded.offsets[1:], strict=False)
    ]
    assert parts == [encode([text]).codes.tolist() for text in texts]
    words, offsets = hash_words(encoded)
    assert np.diff(offsets).tolist() == [len(normal_words(text)) for text in texts]
    every = [word for text in texts for word in normal_words(text)]
    by_word = dict(zip(every, words.tolist(), strict=True))
    assert len(by_word) == len(set(by_word.values()))


def splitmix(word):
    """The hash of a word, in Python's own numbers."""
    value = len(word)
    for letter in word:
        value = (value * 0x9E3779B97F4A7C15 + ord(letter)) % 2**64
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    value = (value ^ value >> 27) * 0x94D049BB133111EB % 2**64
    return value ^ value >> 31


def test_hashes_are_the_same_everywhere_and_always():
    words, _ = hash_words(encode(["The c\u00e4t, the \u6771"]))
    assert words.tolist() == [splitmix(word) for word in ("the", "c\u00e4t", "the", "\u6771")]


def test_a_lookup_finds_its_keys_and_no_others():
    keys = np.array([0, 1, 5, 2**64 - 1, 16, 32], np.uint64)
    table = lookup(keys)
    assert [find(*table, key) for key in keys] == list(range(6))
    assert find(*table, np.uint64(48)) == -1
    assert find(*lookup(keys[:0]), np.uint64(0)) == -1


def test_words_are_what_a_pattern_says_they_are():
    text = "Mr. O'Neil paid 3,50 (net), twice: \u00fcber-great!"
    assert normal_words(text) == re.findall(r"\w+", text.casefold())
