"""Words as the character ids of ELMo's original release."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart.tokenize.characters import (
    BEGIN,
    CHARACTERS,
    END,
    distinct_words,
    words_to_characters,
)


def one_by_one(word):
    """Return the ids as the original program makes them, one more for each."""
    ids = [260] * 50
    ids[0] = 258
    written = word.encode("utf-8", "replace")[:48]
    for place, byte in enumerate(written, start=1):
        ids[place] = byte
    ids[len(written) + 1] = 259
    return [identity + 1 for identity in ids]


def test_a_word_is_framed_and_padded():
    ids = words_to_characters(["cat", "né"])
    assert ids.shape == (2, 50)
    assert ids[0].tolist() == [259, 100, 98, 117, 260, *[261] * 45]
    assert ids[1].tolist() == [259, 111, 196, 170, 260, *[261] * 45]


def test_sentences_have_ends():
    assert BEGIN.tolist() == [259, 257, 260, *[261] * 47]
    assert END.tolist() == [259, 258, 260, *[261] * 47]


@pytest.mark.parametrize("length", [47, 48, 49, 50, 100, 10_000])
def test_long_words_are_cut_after_48_bytes(length):
    (ids,) = words_to_characters(["x" * length])
    kept = min(length, 48)
    assert ids[1 : kept + 1].tolist() == [ord("x") + 1] * kept
    assert ids[kept + 1] == 260
    assert (ids[kept + 2 :] == 261).all()


def test_no_words_are_no_rows():
    assert words_to_characters([]).shape == (0, 50)
    assert words_to_characters([""])[0, :3].tolist() == [259, 260, 261]


@given(st.lists(st.text(st.characters(), max_size=60), max_size=8))
def test_any_text_is_read_as_the_original_reads_it(words):
    ids = words_to_characters(words)
    assert ids.tolist() == [one_by_one(word) for word in words]
    assert ((ids > 0) & (ids < CHARACTERS)).all()


def test_half_a_character_is_a_question_mark():
    assert np.array_equal(words_to_characters(["a\ud800b"]), words_to_characters(["a?b"]))


@given(st.lists(st.lists(st.sampled_from("abcdé"), max_size=5), max_size=5))
def test_distinct_words_and_their_numbers_are_the_sentences(sentences):
    words, numbers = distinct_words(sentences)
    assert len(set(words)) == len(words)
    assert [words[n] for n in numbers] == [word for sentence in sentences for word in sentence]
