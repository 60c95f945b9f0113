"""The pairs that BERT learns from: where they come from, and how they fill rows."""

from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from headstart.models.bert import Bert, BertConfig
from headstart.pretrain.masked_lm import (
    Examples,
    MaskedLm,
    Objective,
    make_examples,
    pack_examples,
    surround,
)
from headstart.tokenize.documents import EncodedDocuments

CLS, SEP = 2, 3


def examples_of(documents, *, tokens=32, pairs=True, seed=0):
    random = np.random.default_rng(seed)
    everything = np.arange(len(documents))
    return make_examples(documents, everything, tokens=tokens, pairs=pairs, random=random)


def document_of(documents, places):
    return np.searchsorted(documents.starts, places, "right") - 1


@pytest.fixture(scope="module")
def many(make_documents):
    documents = make_documents(3000)
    return documents, examples_of(documents, tokens=48)


def test_half_of_the_pairs_are_true(many):
    _, examples = many
    assert len(examples.random) > 5000
    assert binomtest(int(examples.random.sum()), len(examples.random), 0.5).pvalue > 1e-4


def test_a_true_second_segment_is_what_follows_the_first(many):
    documents, examples = many
    true = ~examples.random
    assert np.array_equal(examples.first[true, 1], examples.second[true, 0])
    last = examples.second[true, 1] - 1
    assert np.array_equal(document_of(documents, last), examples.document[true])


def test_a_random_second_segment_is_of_another_document(many):
    documents, examples = many
    drawn = examples.random
    for place in (examples.second[drawn, 0], examples.second[drawn, 1] - 1):
        assert (document_of(documents, place) != examples.document[drawn]).all()
    others = document_of(documents, examples.second[drawn, 0])
    assert len(np.unique(others)) > 1500  # of 3,000


def test_segments_begin_with_a_sentence_and_are_not_empty(many):
    documents, examples = many
    at_a_sentence = np.isin(examples.first[:, 0], documents.sentences)
    assert at_a_sentence.mean() > 0.8  # the others go on with a sentence longer than an example
    assert np.isin(examples.second[examples.random, 0], documents.sentences).all()
    for part in (examples.first, examples.second):
        assert (np.diff(part)[:, 0] > 0).all()
    first = document_of(documents, examples.first[:, 0])
    assert np.array_equal(first, document_of(documents, examples.first[:, 1] - 1))
    assert np.array_equal(first, examples.document)


@pytest.mark.parametrize("pairs", [True, False])
def test_all_of_the_corpus_is_read_in_a_pass(many, pairs):
    documents, _ = many
    examples = examples_of(documents, tokens=48, pairs=pairs)
    read = np.zeros(len(documents.ids), bool)
    stretches = [examples.first, examples.second[~examples.random]] if pairs else [examples.first]
    for start, end in np.concatenate(stretches):
        read[start:end] = True
    assert read.all()
    assert (np.unique(examples.document) == np.arange(len(documents))).all()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.integers(1, 60), min_size=1, max_size=6), min_size=2, max_size=8),
    st.integers(8, 40),
    st.booleans(),
    st.integers(0, 9),
)
def test_every_example_fits(make_encoded, documents, tokens, pairs, seed):
    examples = examples_of(make_encoded(documents), tokens=tokens, pairs=pairs, seed=seed)
    assert len(examples.document)
    assert examples.lengths.max() <= tokens
    assert examples.lengths.min() > 3 * pairs + 2 * (not pairs)
    if not pairs:
        assert not examples.second.any()
        assert not examples.random.any()


def test_a_sentence_longer_than_an_example_leaves_room_for_a_second_segment(make_encoded):
    documents = make_encoded([[300] * 4] * 60)
    examples = examples_of(documents, tokens=128)
    for drawn in (False, True):
        second = np.diff(examples.second[examples.random == drawn])[:, 0]
        assert len(second) > 300
        assert np.median(second) > 40
    short = make_encoded([[124] * 4] * 60)  # which are not longer, and are not cut
    examples = examples_of(short, tokens=128)
    assert np.isin(examples.first[:, 0], short.sentences).mean() > 0.6


def test_some_examples_are_shorter_on_purpose(make_documents):
    documents = make_documents(2000, sentences=(12, 13))
    lengths = examples_of(documents, tokens=32).lengths
    firsts = lengths[np.unique(examples_of(documents, tokens=32).document, return_index=True)[1]]
    assert 0.06 < (firsts < 31).mean() < 0.14


@pytest.fixture(scope="module")
def make_encoded():
    """Make documents of sentences of so many ids."""

    def make(documents):
        lengths = [length for sentences in documents for length in sentences]
        return EncodedDocuments(
            np.arange(sum(lengths), dtype=np.int32),
            np.concatenate([[0], np.cumsum(lengths)]),
            np.concatenate([[0], np.cumsum([len(sentences) for sentences in documents])]),
        )

    return make


# Special tokens and segments


def test_special_tokens_stand_around_both_segments():
    ids = np.arange(10, 30, dtype=np.int32)
    examples = Examples(
        np.array([[0, 3], [5, 6]]), np.array([[3, 5], [0, 0]]), np.array([0, 0], bool), np.zeros(2)
    )
    encoded, second = surround(ids, examples, CLS, SEP)
    assert encoded[0].tolist() == [CLS, 10, 11, 12, SEP, 13, 14, SEP]
    assert encoded[1].tolist() == [CLS, 15, SEP]
    assert encoded.lengths.tolist() == examples.lengths.tolist() == [8, 3]
    assert second.tolist() == [5, 3]


@pytest.fixture(scope="module")
def objective(make_documents, for_bert):
    """One on texts as they are: sentences of some twenty pieces, ten to a document."""
    documents = make_documents(1000, sentences=(2, 20), tokens=(5, 40))
    config = BertConfig(
        vocabulary_size=95, width=8, layers=1, heads=1, feed_forward=8, positions=128
    )
    settings = MaskedLm(rows_per_step=16, rows_at_once=5)
    return Objective(Bert(config), documents, for_bert, settings, seed=0)


def test_every_packed_example_is_a_pair_with_its_segments(objective):
    for batch in next(objective.batches(1)):
        packed = batch.packed
        of_text, ids = packed.sequences_BT.ravel(), packed.ids_BT.ravel()
        segments = batch.segments_BT.ravel()
        for number in range(len(packed.first_N)):
            at = np.flatnonzero(of_text == number)
            assert ids[at[0]] == CLS
            seps = np.flatnonzero(ids[at] == SEP)
            assert len(seps) == 2
            assert seps[1] == len(at) - 1
            assert not segments[at[: seps[0] + 1]].any()
            assert segments[at[seps[0] + 1 :]].all()
        assert not segments[of_text < 0].any()


def test_rows_are_nearly_full(objective):
    steps = int(1 / objective.epochs(1))
    for _ in islice(objective.batches(1), steps):
        pass
    assert objective.report()["positions_filled"] >= 0.97


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(3, 32), min_size=1, max_size=200), st.integers(0, 9))
def test_every_example_is_in_one_row(lengths, seed):
    lengths = np.array(lengths)
    rows = pack_examples(lengths, 32, np.random.default_rng(seed))
    assert sorted(np.concatenate(rows)) == list(range(len(lengths)))
    assert max(lengths[row].sum() for row in rows) <= 32
