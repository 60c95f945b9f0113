"""Nearly the same texts are found exactly as by comparing every pair."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.data.near_duplicates import LIKENESS, SHINGLE, Matches, index_rows, match
from headstart.data.normal_text import encode, normal_words

WORDS = ["the", "a", "cat", "house", "running", "river", "é", "東", "x9", "--"]
TEXTS = st.lists(st.lists(st.sampled_from(WORDS), max_size=14).map(" ".join), max_size=12)


def shingles(text):
    normal = " ".join(normal_words(text))
    runs = {normal[at : at + SHINGLE] for at in range(len(normal) - SHINGLE + 1)}
    return runs or {normal} - {""}


def jaccard(a, b):
    a, b = shingles(a), shingles(b)
    return len(a & b) / len(a | b) if a or b else 0.0


def found_in(rows, texts, **options):
    found = Matches.none(len(rows))
    match(index_rows(rows), encode(texts), np.arange(len(texts)), found, **options)
    return found


def first_in(rows, texts):
    """Return what `match` should find, by looking at every pair."""
    alike = [[jaccard(row, text) >= LIKENESS - 1e-12 for text in texts] for row in rows]
    return [each.index(True) if True in each else -1 for each in alike]


@settings(max_examples=150, deadline=None)
@given(TEXTS, TEXTS, st.data())
def test_the_same_is_found_as_by_all_pairs(rows, texts, data):
    for row in rows:  # few random texts are alike: add some that differ by a word
        words = row.split()
        if words:
            at = data.draw(st.integers(0, len(words) - 1))
            texts = [
                *texts,
                " ".join([*words[:at], data.draw(st.sampled_from(WORDS)), *words[at:]]),
            ]
    found = found_in(rows, texts)
    assert found.numbers.tolist() == first_in(rows, texts)
    for row, number, likeness in zip(rows, found.numbers, found.likeness, strict=True):
        assert number < 0 or likeness == jaccard(row, texts[number])


def test_one_word_of_many_makes_near_duplicates_and_one_of_few_does_not():
    long = "the central bank raised its main interest rate for the third time this year, it said"
    rows = [long, "no cat", "", "?!"]
    texts = [long.replace("third", "sixth").upper() + "!!", "one cat", "", "...", long]
    assert found_in(rows, texts).numbers.tolist() == [0, -1, -1, -1]
    assert 0.8 <= found_in(rows, texts).likeness[0] < 1


def test_four_fifths_are_enough_and_the_least_below_is_not():
    assert jaccard("abcdefgh", "abcdefghi") == LIKENESS  # 4 of 5 runs of five characters
    assert found_in(["abcdefgh", "abcdefg"], ["abcdefghi"]).numbers.tolist() == [0, -1]


def test_what_was_found_stays_and_long_texts_can_be_passed_over():
    rows = index_rows(["a cat on the mat", "a dog in the fog"])
    found = Matches.none(2)
    for number, text in enumerate(["a dog in the fog", "a cat on the mat", "a dog in the fog"]):
        match(rows, encode([text]), np.array([number]), found)
    assert found.numbers.tolist() == [1, 0]
    assert found_in(["a cat on the mat"], ["a cat on the mat"], longest=9).numbers[0] == -1


def test_nothing_is_found_in_nothing():
    assert found_in([], ["a text"]).numbers.tolist() == []
    assert found_in(["a text"], []).numbers.tolist() == [-1]
