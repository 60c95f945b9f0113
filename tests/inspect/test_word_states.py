"""A vector for each occurrence: what each kind of encoder says of the word that is meant."""

import copy

import numpy as np
import pytest
import torch

from headstart.errors import SettingsError
from headstart.inspect.occurrences import Occurrence
from headstart.inspect.word_states import (
    has_vectors,
    occurrence_vectors,
    reads_context,
    what_stands_for_a_word,
)
from headstart.models.attention import Dropout
from headstart.tokenize.spans import overlapping, token_spans
from headstart.tokenize.subwords import SubwordTokenizer

SENTENCES = [
    "The bank was near the lake.",
    "By a BANK!",
    "bank",
    "A loan was on the lake near the bank.",
]


def occurrence(sentence):
    start = sentence.lower().index("bank")
    return Occurrence(sentence, start, start + 4)


@pytest.fixture
def occurrences():
    return [occurrence(sentence) for sentence in SENTENCES]


def last_layer(encoder, ids, layer=-1):
    ids_BT = torch.tensor([ids])
    with torch.no_grad():
        return encoder.model.encode(ids_BT, torch.ones_like(ids_BT).bool())[layer][0].numpy()


def close(found, expected):
    np.testing.assert_allclose(found, np.stack(expected), atol=2e-6)


def test_word_vectors_give_each_occurrence_the_same(encoders, occurrences):
    found = occurrence_vectors(encoders["glove"], occurrences)
    own = encoders["glove"].matrix[encoders["glove"].words.index("bank")]
    assert np.array_equal(found, np.tile(own, (4, 1)))


def test_elmo_gives_the_mean_of_its_layers(encoders, occurrences):
    elmo = encoders["elmo"]
    states = elmo.word_states([elmo.tokenizer.words(text) for text in SENTENCES])
    places = [1, 2, 0, 8]
    found = occurrence_vectors(elmo, occurrences)
    close(found, [each[:, at].mean(0) for each, at in zip(states, places, strict=True)])
    top = occurrence_vectors(elmo, occurrences, layer=2)
    close(top, [each[2, at] for each, at in zip(states, places, strict=True)])


def test_cove_gives_the_vector_beside_its_upper_layer(encoders, occurrences):
    cove = encoders["cove"]
    words = [cove.tokenizer.words(text) for text in SENTENCES]
    both = [
        np.concatenate([vectors, states[-1]], 1)
        for vectors, states in zip(cove.word_vectors(words), cove.word_states(words), strict=True)
    ]
    places = [1, 2, 0, 8]
    found = occurrence_vectors(cove, occurrences)
    close(found, [each[at] for each, at in zip(both, places, strict=True)])
    assert found.shape == (4, 8 + 10)
    top = occurrence_vectors(cove, occurrences, layer=-1)
    close(top, [each[at, 8:] for each, at in zip(both, places, strict=True)])


@pytest.mark.parametrize(("name", "before", "after"), [("bert", [2], [3]), ("gpt", [0], [])])
def test_of_pieces_the_mean_is_taken(encoders, occurrences, name, before, after):
    encoder = encoders[name]
    expected, lowest = [], []
    for sentence in SENTENCES:
        pieces = encoder.tokenizer.words(sentence)
        at = len(before) + pieces.index("ba")
        assert pieces[pieces.index("ba") + 1] == "##nk"
        ids = before + [encoder.tokenizer.ids[piece] for piece in pieces] + after
        expected.append(last_layer(encoder, ids)[at : at + 2].mean(0))
        lowest.append(last_layer(encoder, ids, 0)[at : at + 2].mean(0))
    close(occurrence_vectors(encoder, occurrences), expected)
    close(occurrence_vectors(encoder, occurrences, layer=0), lowest)


@pytest.mark.parametrize("name", ["bert", "gpt"])
def test_of_a_sentence_that_is_too_long_the_neighborhood_is_read(encoders, name):
    long = occurrence("the lake " * 40 + "bank" + " by a reed" * 40)
    fits = occurrence("A bank.")
    found = occurrence_vectors(encoders[name], [fits, long])
    close(found[:1], occurrence_vectors(encoders[name], [fits]))
    near = [occurrence_vectors(encoders[name], [long.narrowed(most)])[0] for most in range(60)]
    assert any(np.allclose(found[1], each, atol=2e-6) for each in near)
    assert not np.allclose(found[1], near[0], atol=1e-3)


def test_a_word_that_no_model_could_hold(encoders):
    word = Occurrence("on " + "bank-" * 10, 3, 53)
    with pytest.raises(SettingsError, match="is too long for the model"):
        occurrence_vectors(encoders["bert"], [word])


def test_a_layer_that_is_not_there(encoders, occurrences):
    with pytest.raises(SettingsError, match="has 3 layers, numbered from 0; there is no layer 3"):
        occurrence_vectors(encoders["elmo"], occurrences, layer=3)
    with pytest.raises(SettingsError, match="there is no layer -4"):
        occurrence_vectors(encoders["bert"], occurrences, layer=-4)


def test_the_batch_changes_nothing(encoders, occurrences):
    for encoder in encoders.values():
        together = occurrence_vectors(encoder, occurrences * 30)
        alone = np.concatenate([occurrence_vectors(encoder, [each]) for each in occurrences])
        np.testing.assert_allclose(together, np.tile(alone, (30, 1)), atol=2e-6)


def test_which_spellings_have_vectors(encoders):
    met = [occurrence("A bank."), Occurrence("A zebra.", 2, 7), Occurrence("a ☂ bank", 2, 3)]
    met.append(Occurrence("a bank-☂.", 2, 8))  # known in part
    for name, encoder in encoders.items():
        expected = [True, name == "elmo", name == "elmo", True]
        assert has_vectors(encoder, met).tolist() == expected, name


def test_what_is_said_of_each_kind(encoders):
    assert [reads_context(each) for each in encoders.values()] == [False] + [True] * 5
    said = {name: what_stands_for_a_word(each) for name, each in encoders.items()}
    assert said["glove"] == "the word's own vector: the same in every context"
    assert said["elmo"] == "the mean of ELMo's layers"
    assert "concatenated with CoVe's upper layer" in said["cove"]
    assert "mean of the word's subwords" in said["bert"]
    assert "sees only the text before the word" in said["gpt"]
    assert said["reader"] == "the last layer"


@pytest.mark.parametrize("name", ["glove", "bert", "gpt"])
def test_spans_are_of_the_text_as_it_was_given(encoders, name):
    tokenizer = encoders[name].tokenizer
    texts = ["", "The bank’s İİ Bank, don't!", "  a\tBANK "]
    spans = token_spans(tokenizer, texts)
    assert list(map(len, spans)) == tokenizer.encode_batch(texts).lengths.tolist()
    assert list(map(len, spans)) == [len(tokenizer.words(text)) for text in texts]
    covered = {
        text[start:end] for text, its in zip(texts, spans, strict=True) for start, end in its
    }
    assert {"bank", "Bank", "BANK"} <= covered or {"ba", "nk", "Ba", "BA", "NK"} <= covered


@pytest.mark.parametrize("lowercase", [True, False])
def test_byte_pairs_bring_the_space_before_them(lowercase):
    texts = ["The bank’s bänk, a bank!", "bank", "the  bank"]
    tokenizer = SubwordTokenizer.train(
        texts * 9, kind="bpe", vocabulary_size=300, lowercase=lowercase
    )
    spans = token_spans(tokenizer, texts)
    assert list(map(len, spans)) == tokenizer.encode_batch(texts).lengths.tolist()
    for text, its in zip(texts, spans, strict=True):
        start = text.index("bank")
        own = [its[token] for token in overlapping(its, start, start + 4)]
        assert own
        assert text[own[0][0] : own[-1][1]].strip() == "bank"


@pytest.mark.parametrize("kind", ["bert", "gpt", "elmo", "cove"])
def test_nothing_is_dropped_of_an_encoder_that_was_left_in_training(kind, encoders, occurrences):
    own = encoders[kind].with_model(copy.deepcopy(encoders[kind].model).train())
    for part in own.model.modules():
        if isinstance(part, Dropout):
            part.dropped = 128
    found = occurrence_vectors(own, occurrences)
    assert np.array_equal(found, occurrence_vectors(encoders[kind], occurrences))
    assert own.model.training
