"""Runs of words are found exactly as by comparing every run."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.data.normal_text import encode, normal_words
from headstart.data.word_runs import RUN, SHORTEST, Hits, index_runs, match_runs

TEXTS = st.lists(st.lists(st.sampled_from(["a", "b"]), max_size=17).map(" ".join), max_size=6)


def found_in(rows, texts):
    hits = Hits.none(len(rows))
    match_runs(index_runs(rows), encode(texts), np.arange(len(texts)), hits)
    return hits


def runs(text, size):
    words = normal_words(text)
    return {tuple(words[at : at + size]) for at in range(len(words) - size + 1)}


def first_in(row, texts):
    size = min(len(normal_words(row)), RUN)
    shared = [bool(runs(row, size) & runs(text, size)) for text in texts]
    return shared.index(True) if size >= SHORTEST and True in shared else -1


@settings(max_examples=200, deadline=None)
@given(TEXTS, TEXTS)
def test_the_same_is_found_as_by_all_runs(rows, texts):
    hits = found_in(rows, texts)
    assert hits.numbers.tolist() == [first_in(row, texts) for row in rows]
    for row, number, place in zip(rows, hits.numbers, hits.places, strict=True):
        words = normal_words(row)[place : place + RUN]
        assert number < 0 or tuple(words) in runs(texts[number], len(words))


@pytest.mark.parametrize(("count", "found"), [(12, -1), (13, 0)])
def test_thirteen_words_in_a_row_whatever_stands_between_them(count, found):
    words = [f"w{number}" for number in range(30)]
    row = "other " + " ".join(words[5 : 5 + count]) + " end" * 9
    text = ".\n".join(word.upper() for word in words)
    assert found_in([row], [text]).numbers.tolist() == [found]


def test_no_run_goes_across_texts():
    words = [f"w{number}" for number in range(13)]
    texts = [" ".join(words[:6]), " ".join(words[6:])]
    assert found_in([" ".join(words)], texts).numbers.tolist() == [-1]


def test_a_short_row_must_be_there_whole():
    words = [f"w{number}" for number in range(9)]
    text = "so " + " ".join(words) + " it is"
    rows = [" ".join(words), " ".join(words[:7]), "w0 w1 w2 w3 w4 w5 w6 w9", ""]
    assert found_in(rows, [text]).numbers.tolist() == [0, -1, -1, -1]
