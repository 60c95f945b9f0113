"""Windows over long sentences: every word in one, where it has most around it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.tokenize.subwords import SubwordTokenizer
from headstart.tokenize.windows import read_windows

TEXTS = ["the cat sat on the mat", "a dog and a cat"] * 4


@pytest.fixture(scope="module", params=["wordpiece", "bpe"])
def tokenizer(request):
    return SubwordTokenizer.train(TEXTS, kind=request.param, vocabulary_size=300, min_count=1)


@pytest.fixture(scope="module")
def pieces():
    return SubwordTokenizer.train(TEXTS, vocabulary_size=300, min_count=1)


def first_pieces(windows):
    """Return the id at each word's place, and the window it is in."""
    starts = windows.encoded.offsets[windows.window_N]
    return windows.encoded.ids[starts + windows.place_N].tolist()


def test_short_sentences_are_one_window_each(tokenizer):
    windows = read_windows(tokenizer, [["the", "cat"], ["mat"]], room=50, before=[2], after=[3])
    assert windows.first.tolist() == [0, 1, 2]
    assert windows.offsets.tolist() == [0, 2, 3]
    assert windows.encoded[0][[0, -1]].tolist() == [2, 3]
    the, cat, mat = (tokenizer.encode_batch([text])[0][0] for text in ("the", " cat", "mat"))
    assert first_pieces(windows) == [the, cat, mat]


def test_a_byte_pair_has_the_space_before_it():
    tokenizer = SubwordTokenizer.train(TEXTS, kind="bpe", vocabulary_size=300, min_count=1)
    windows = read_windows(tokenizer, [["the", "cat", "sat"]], room=50)
    assert windows.encoded[0].tolist() == tokenizer.encode_batch(["the cat sat"])[0].tolist()


def test_a_word_of_nothing_is_an_unknown_one(tokenizer):
    windows = read_windows(tokenizer, [["the", "\u00ad", ""]], room=50)
    assert len(windows.window_N) == 3
    assert windows.encoded[0][-1] in range(len(tokenizer.vocabulary))


@settings(deadline=None)
@given(
    st.lists(st.lists(st.sampled_from(["the", "cat", "catamaran", "x" * 30]), max_size=30)),
    st.integers(4, 20),
    st.booleans(),
)
def test_every_word_is_read_once(pieces, sentences, room, causal):
    windows = read_windows(pieces, sentences, room=room, before=[2], after=[3], causal=causal)
    assert windows.encoded.lengths.max(initial=0) <= room + 2
    assert windows.lengths.tolist() == [len(words) for words in sentences]
    alone = {w: pieces.encode_batch([w])[0][0] for w in ("the", "cat", "catamaran", "x" * 30)}
    assert first_pieces(windows) == [alone[word] for words in sentences for word in words]
    of_sentence = np.repeat(np.arange(len(sentences)), windows.lengths)
    assert (windows.window_N >= windows.first[of_sentence]).all()
    assert (windows.window_N < windows.first[of_sentence + 1]).all()


def test_a_word_is_taken_from_where_most_is_around_it(pieces):
    words = ["the"] * 20
    windows = read_windows(pieces, [words], room=8)
    assert (windows.encoded.lengths == 8).all()
    before = windows.place_N
    after = 7 - before
    inside = slice(2, -2)  # at the ends of the sentence there is nothing more
    assert (np.minimum(before, after)[inside] >= 2).all()
    assert before[0] == 0
    causal = read_windows(pieces, [words], room=8, causal=True)
    assert (causal.place_N[8:] >= 4).all()


def test_words_are_found_among_laid_out_windows(pieces):
    sentences = [["the"] * 9, ["cat"], ["mat", "sat"] * 6]
    windows = read_windows(pieces, sentences, room=4)
    for rows in (np.array([2, 0]), np.array([1]), np.array([0, 1, 2])):
        chosen = windows.encoded.select(windows.windows_of(rows))
        places = windows.places_of(rows, chosen.offsets[:-1])
        expected = [pieces.encode_batch([w])[0][0] for row in rows for w in sentences[row]]
        assert chosen.ids[places].tolist() == expected
