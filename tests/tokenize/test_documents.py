from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.errors import DataError
from headstart.tokenize import documents as documents_module
from headstart.tokenize.documents import (
    EncodedDocuments,
    encode_documents,
    hold_out,
    named,
    told_of_copies,
)
from headstart.tokenize.subwords import SubwordTokenizer

DOCUMENTS = ["The cat sat. It slept!\nThen it ran.", "", "One sentence only", "  \n "]
TOKENIZER = SubwordTokenizer.train(DOCUMENTS, vocabulary_size=300, min_count=1)


def make(sizes):
    """Make documents of so many sentences of one id each."""
    ids = np.arange(sum(sizes), dtype=np.int32)
    return EncodedDocuments(ids, np.arange(len(ids) + 1), np.cumsum([0, *sizes]))


def test_documents_are_kept_sentence_by_sentence(tmp_path):
    encoded = encode_documents(DOCUMENTS, TOKENIZER, tmp_path, by_sentence=True)
    sentences = ["The cat sat.", "It slept!", "Then it ran.", "One sentence only"]
    expected = TOKENIZER.encode_batch(sentences)
    assert len(encoded) == 2  # the blank ones are left out
    assert encoded.sentences.tolist() == expected.offsets.tolist()
    assert encoded.ids.tolist() == expected.ids.tolist()
    assert encoded.documents.tolist() == [0, 3, 4]
    assert encoded.starts.tolist() == [0, encoded.sentences[3], len(encoded.ids)]
    assert isinstance(encoded.ids, np.memmap)


def test_a_document_may_be_one_sentence(tmp_path):
    encoded = encode_documents(DOCUMENTS, TOKENIZER, tmp_path, by_sentence=False)
    assert len(encoded.sentences) == len(encoded.documents) == 3
    assert encoded.ids.tolist() == TOKENIZER.encode_batch(DOCUMENTS).ids.tolist()


SPACED = [
    "The cat sat. It slept!  Then\nit ran.\n\n",
    "他来了。她走了！",
    "\tIt rains.\r\nIt pours.",
]


@pytest.mark.parametrize("by_sentence", [True, False])
def test_pieces_of_bytes_keep_the_space_between_sentences(by_sentence, tmp_path):
    tokenizer = SubwordTokenizer.train(SPACED, kind="bpe", vocabulary_size=300, min_count=1)
    encoded = encode_documents(SPACED, tokenizer, tmp_path, by_sentence=by_sentence)
    expected = tokenizer.encode_batch(SPACED)
    assert encoded.ids.tolist() == expected.ids.tolist()
    assert encoded.starts.tolist() == expected.offsets.tolist()
    assert np.diff(encoded.documents).tolist() == ([4, 2, 2] if by_sentence else [1, 1, 1])
    goes_on = tokenizer.continues[encoded.ids[: encoded.starts[1]]]
    bounds = [*np.flatnonzero(~goes_on), len(goes_on)]  # of whole words
    words = [
        tokenizer.decode(encoded.ids[a:b].tolist()) for a, b in pairwise([0, *bounds]) if a < b
    ]
    assert [word.strip() for word in words if word.strip()] == [
        "the", "cat", "sat", ".", "it", "slept", "!", "then", "it", "ran", ".",
    ]  # fmt: skip


def test_a_few_are_named_once_each_and_whether_there_are_more_is_said():
    assert named("documents", [3] * 9) == "documents 3"
    assert named("pairs", [9, 2, 9]) == "pairs 9, 2"
    assert named("documents", range(8)) == "documents 0, 1, 2, 3, 4, 5, 6, 7"
    assert named("documents", range(9)) == "documents 0, 1, 2, 3, 4, 5, 6, 7, .."


def test_documents_without_a_token_are_refused(tmp_path):
    with pytest.raises(DataError, match="no document of the corpus contains a token"):
        encode_documents(["", " \n"], TOKENIZER, tmp_path, by_sentence=True)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=80), st.integers(0, 5))
def test_every_document_is_for_training_or_held_out(sizes, seed):
    documents = make(sizes)
    training, held_out = hold_out(documents, seed=seed)
    assert sorted([*training, *held_out]) == list(range(len(sizes)))
    assert np.array_equal(training, np.sort(training))
    if len(sizes) < 10:
        assert len(held_out) == 0
    elif len(held_out) != 1:
        assert len(held_out) > 1
        assert np.array(sizes)[held_out].sum() <= 0.02 * sum(sizes)
    again = hold_out(documents, seed=seed)
    assert all(map(np.array_equal, again, (training, held_out)))


def test_another_seed_holds_out_others():
    documents = make([1] * 500)
    parts = [hold_out(documents, seed=seed)[1].tolist() for seed in (0, 1)]
    assert len(parts[0]) == len(parts[1]) == 10
    assert parts[0] != parts[1]


@pytest.mark.parametrize("seed", range(20))
def test_a_document_far_from_the_share_is_not_what_is_held_out(seed):
    book_and_notes = make([1000, *[5] * 19])
    assert 0 not in hold_out(book_and_notes, seed=seed)[1]
    all_but_one_long = make([*[2000] * 9, 1])
    (held_out,) = hold_out(all_but_one_long, seed=seed)[1]
    assert held_out != 9


@pytest.mark.parametrize("seed", range(20))
def test_a_book_among_tiny_documents_is_trained_on(seed):
    assert 0 not in hold_out(make([100_000, *[20] * 9]), seed=seed)[1]
    two_books = make([*[100_000] * 2, *[20] * 18])
    held_out = hold_out(two_books, seed=seed, least=2)[1]
    assert len(held_out) == 2
    assert min(held_out) > 1


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.sampled_from([1, 2, 20, 300, 5_000]), min_size=1, max_size=60),
    st.integers(0, 5),
    st.integers(1, 2),
)
def test_never_more_than_about_a_tenth_is_held_out(sizes, seed, least):
    held_out = hold_out(make(sizes), seed=seed, least=least)[1]
    assert np.array(sizes)[held_out].sum() <= sum(sizes) / 8
    assert len(held_out) >= least or len(sizes) < 10 * least


def with_copies(numbers, sizes):
    """Make documents of one sentence each; those of one number are the same."""
    texts = [np.arange(size) + 1000 * number for number, size in zip(numbers, sizes, strict=True)]
    offsets = np.cumsum([0, *sizes])
    ids = np.concatenate(texts).astype(np.int32)
    return EncodedDocuments(ids, offsets, np.arange(len(offsets)))


@pytest.mark.parametrize("chunk", [7, 65_536])
@pytest.mark.parametrize("seed", range(5))
def test_copies_of_what_is_held_out_are_not_trained_on(seed, chunk, monkeypatch):
    monkeypatch.setattr(documents_module, "_CHUNK", chunk)
    random = np.random.default_rng(seed)
    numbers = random.permutation(np.repeat(np.arange(200), random.integers(1, 4, 200)))
    documents = with_copies(numbers, 5 + numbers % 3)
    training, held_out = hold_out(documents, seed=seed)
    assert len(held_out) > 4
    assert not set(numbers[training]) & set(numbers[held_out])
    left_out = np.setdiff1d(np.arange(len(numbers)), [*training, *held_out])
    assert set(numbers[left_out]) <= set(numbers[held_out])
    assert told_of_copies(documents, training, held_out) == (
        f"{len(left_out)} copies of held-out documents are not trained on"
    )
    apart = with_copies(np.arange(len(numbers)), 5 + numbers % 3)  # of the same lengths
    assert set(held_out) == set(hold_out(apart, seed=seed)[1])
    assert told_of_copies(apart, *hold_out(apart, seed=seed)) == ""


@pytest.mark.parametrize("seed", range(5))
def test_what_stands_too_often_is_trained_on_and_not_held_out(seed):
    often = np.array([0] * 200 + [*range(1, 301)])
    training, held_out = hold_out(with_copies(often, [5] * 500), seed=seed)
    assert 0 not in often[held_out]
    assert len(training) + len(held_out) == 500
    two = with_copies([0, 1] * 30, [5] * 60)
    training, held_out = hold_out(two, seed=seed)
    assert (len(training), len(held_out)) == (59, 1)
    assert "the validation perplexity is too low" in told_of_copies(two, training, held_out)


def test_as_many_are_held_out_as_there_have_to_be_if_that_is_a_tenth_at_most():
    for count, expected in ((19, 0), (20, 2), (60, 2)):
        training, held_out = hold_out(make([50] * count), seed=0, least=2)
        assert (len(training), len(held_out)) == (count - expected, expected)
    assert len(hold_out(make([1] * 500), seed=0, least=2)[1]) == 10
