"""ELMo pretrained by one call, saved, stopped and taken up again; and every word's vectors."""

import copy
import json
import os
import signal
import time

import numpy as np
import pytest
import torch

from headstart.errors import (
    DataError,
    FormatError,
    HeadstartError,
    InterruptedRunError,
    SettingsError,
)
from headstart.hub import elmo_pretraining
from headstart.hub.elmo import PretrainedElmo
from headstart.hub.store import load_encoder, pretrain
from headstart.storage import read_json, write_json
from headstart.tokenize.words import WordTokenizer

ROWS = {"words_per_row": 16, "rows_per_step": 4, "dropout": 0.1, "samples": 8}
SMALL = {"size": "tiny", "steps": 4, "threads": 1, "options": ROWS}
TEXTS = [
    f"The {who} likes {what}. It sees the {who}!"
    for who, what in [("cat", "milk"), ("dog", "bones"), ("mouse", "cheese"), ("bird", "seeds")]
    for _ in range(6)
] + ["Only once."]


@pytest.fixture(autouse=True)
def narrow(monkeypatch):
    """Let the tiny size be tinier."""
    sizes = {"cells": 24, "projection": 16, "filters": ((1, 8), (2, 16))}
    monkeypatch.setattr(elmo_pretraining, "SIZES", {"tiny": sizes})


@pytest.fixture(scope="module")
def elmo():
    with pytest.MonkeyPatch.context() as patch:
        sizes = {"cells": 24, "projection": 16, "filters": ((1, 8), (2, 16))}
        patch.setattr(elmo_pretraining, "SIZES", {"tiny": sizes})
        return pretrain("elmo", TEXTS, seed=3, **SMALL)


# What comes out


def test_what_is_pretrained_tells_where_it_came_from_and_can_be_made_again(elmo, tmp_path):
    assert isinstance(elmo, PretrainedElmo)
    assert elmo.config["size"] == "tiny"
    assert elmo.config["words_per_row"] == 16
    assert (elmo.lineage["documents"], elmo.lineage["seed"], elmo.lineage["steps"]) == (25, 3, 4)
    assert elmo.lineage["validation"].keys() >= {"forward_perplexity", "backward_perplexity"}
    assert not elmo.model.training
    assert pretrain("elmo", TEXTS, seed=3, **SMALL).fingerprint == elmo.fingerprint
    assert pretrain("elmo", TEXTS, seed=4, **SMALL).fingerprint != elmo.fingerprint
    loaded = load_encoder(elmo.save(tmp_path / "elmo"))
    assert type(loaded) is PretrainedElmo
    assert loaded.fingerprint == elmo.fingerprint
    assert loaded.lineage == json.loads(json.dumps(elmo.lineage))
    assert loaded.tokenizer.vocabulary == elmo.tokenizer.vocabulary
    assert "# elmo" in (tmp_path / "elmo/README.md").read_text()
    words = [["The", "cat"]]
    np.testing.assert_array_equal(loaded.word_states(words)[0], elmo.word_states(words)[0])


def test_words_to_predict_are_the_frequent_ones_in_order(elmo):
    vocabulary = elmo.tokenizer.vocabulary
    assert vocabulary[:2] == ["[PAD]", "[UNK]"]
    assert set(vocabulary[2:4]) == {"!", "."}  # as frequent as sentences
    assert "cheese" in vocabulary
    assert "Only" not in vocabulary  # which came once
    assert elmo.model.config.vocabulary_size == len(vocabulary)
    few = pretrain("elmo", TEXTS, **{**SMALL, "options": {**ROWS, "vocabulary_size": 5}})
    assert few.tokenizer.vocabulary == vocabulary[:5]


def test_a_tokenizer_is_learnt_or_given(tmp_path):
    own = WordTokenizer.from_vocabulary(["it", "the", "milk"], lowercase=True)
    own.save(tmp_path / "tokenizer.json")
    for given in (own, tmp_path / "tokenizer.json"):
        made = pretrain("elmo", TEXTS, tokenizer=given, **SMALL)
        assert made.tokenizer.ids == own.ids
        assert made.tokenizer.lowercase
    assert pretrain("elmo", TEXTS, tokenizer="whitespace", **SMALL).tokenizer.split == "whitespace"
    with pytest.raises(SettingsError, match="tokenizer of an ELMo must be words, whitespace"):
        pretrain("elmo", TEXTS, tokenizer="bpe", **SMALL)


def test_a_corpus_of_one_sentence_is_enough_and_one_without_words_is_not():
    encoder = pretrain("elmo", ["A sentence of six words only."], **SMALL)
    assert encoder.lineage["validation"] is None
    assert encoder.word_states([["A", "word"]])[0].shape == (3, 2, 32)
    with pytest.raises(DataError):
        pretrain("elmo", ["", "  "], **SMALL)


def test_words_are_read_as_the_words_of_texts_are():
    how = {**SMALL, "options": {**ROWS, "lowercase": True}}
    small = pretrain("elmo", TEXTS, **how)
    (states,) = small.word_states([["The", "Cat", "’s"]])
    np.testing.assert_array_equal(states, small.word_states([["the", "cat", "'s"]])[0])
    encoded, _ = small.inputs(["The Cat’s"], 9)
    with torch.no_grad():
        ids = torch.from_numpy(encoded.ids)[None].long()
        layers = small.model.encode(ids, torch.ones(1, 3, dtype=torch.bool))
    np.testing.assert_array_equal(states, torch.stack(layers)[:, 0].numpy())


def test_what_is_no_list_of_sentences_is_refused(elmo):
    with pytest.raises(
        DataError, match="sentence 0 is of type str, not a list of words: 'the cat'"
    ):
        elmo.word_states(["the cat"])
    with pytest.raises(DataError, match="sentence 0 is of type str"):
        elmo.word_states(["the", "cat"])


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"size": "huge"}, "unknown size 'huge'; choose from tiny"),
        ({"options": {"word_per_row": 3}}, "no setting 'word_per_row'; did you mean"),
        ({"options": {"vocabulary_size": 2}}, "vocabulary_size must be a whole number from 3"),
        ({"options": {"dropout": 1.0}}, "dropout must be in"),
        ({"min_count": 2}, "min_count is for word2vec, glove, cove, not for elmo"),
        (
            {
                "tokenizer": WordTokenizer.from_vocabulary(["it"], lowercase=True),
                "options": {"lowercase": "maybe"},
            },
            "lowercase is for a tokenizer learned here; remove it or tokenizer",
        ),
    ],
)
def test_impossible_settings_are_refused(how, message):
    with pytest.raises(SettingsError, match=message):
        pretrain("elmo", TEXTS, **{**SMALL, **how})


def test_a_run_that_was_stopped_goes_on_bit_for_bit(tmp_path, monkeypatch):
    whole = pretrain("elmo", TEXTS, **SMALL)
    loss, seen = elmo_pretraining.Objective.loss, []

    def stopping(self, batch):
        seen.append(batch)
        if len(seen) == 2:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.5)  # which counts, too
        return loss(self, batch)

    monkeypatch.setattr(elmo_pretraining.Objective, "loss", stopping)
    with pytest.raises(InterruptedRunError, match="after step 2"):
        pretrain("elmo", TEXTS, run_folder=tmp_path / "run", **SMALL)
    monkeypatch.setattr(elmo_pretraining.Objective, "loss", loss)
    again = pretrain("elmo", TEXTS, run_folder=tmp_path / "run", **SMALL)
    assert again.lineage["resumed_at"] == 2
    assert again.lineage["seconds"] > again.lineage["training_seconds"]
    assert again.fingerprint == whole.fingerprint


# What it says of words


def sentences(number=40, *, seed=0):
    random = np.random.default_rng(seed)
    words = ["The", "cat", "likes", "Zürich", "x" * 120, "猫", "milk", "."]
    return [random.choice(words, random.integers(0, 12)).tolist() for _ in range(number)]


def test_every_word_has_vectors_in_its_sentence(elmo):
    given = sentences()
    states = elmo.word_states(given)
    assert [each.shape for each in states] == [(3, len(words), 32) for words in given]
    assert all(each.dtype == np.float32 for each in states)
    assert elmo.word_states([]) == []
    assert elmo.word_states([[]])[0].shape == (3, 0, 32)
    first, second = elmo.word_states([["The", "cat"], ["milk", "cat"]])
    np.testing.assert_array_equal(first[0, 1], second[0, 1])
    assert not np.array_equal(first[1, 1], second[1, 1])


def test_nothing_is_dropped_of_a_model_that_was_left_in_training(elmo):
    own = elmo.with_model(copy.deepcopy(elmo.model).train())  # it drops a tenth
    assert all(map(np.array_equal, own.word_states(sentences()), elmo.word_states(sentences())))


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_a_sentence_has_the_same_bits_in_any_batch_and_order(elmo, batch_size):
    given = sentences()
    expected = elmo.word_states(given)
    order = np.random.default_rng(1).permutation(len(given))
    found = elmo.word_states([given[row] for row in order], batch_size=batch_size)
    for row, states in zip(order, found, strict=True):
        np.testing.assert_array_equal(states, expected[row])


def test_memory_is_carried_only_when_asked_for(elmo):
    given = [["milk"] * number for number in range(1, 7)]  # the shortest first
    fresh = elmo.word_states(given, batch_size=2)
    carried = elmo.word_states(given, batch_size=2, stateful=True)
    for row, (one, other) in enumerate(zip(fresh, carried, strict=True)):
        np.testing.assert_array_equal(one[0], other[0])
        assert np.array_equal(one[1], other[1]) == (row < 2)
    other = elmo.word_states(given, batch_size=3, stateful=True)
    assert not np.array_equal(other[2][1], carried[2][1])


def test_a_text_is_read_as_the_characters_of_its_words(elmo):
    encoded, cut = elmo.inputs(["The cat likes milk.", "", "cat"], 3)
    assert cut == 1
    assert encoded.lengths.tolist() == [3, 0, 1]
    assert encoded.ids.shape == (4, 50)
    np.testing.assert_array_equal(encoded[0][1], encoded[2][0])
    np.testing.assert_array_equal(encoded.select([2, 0]).ids[0], encoded[2][0])


def test_a_batch_of_no_sentences_is_refused(elmo):
    with pytest.raises(SettingsError, match="batch_size must be a whole number above 0, got 0"):
        elmo.word_states([["a"]], batch_size=0)


# Folders that are damaged


def rewrite(folder, change):
    """Change the configuration of a folder, and its manifest so that only this is wrong."""
    about = read_json(folder / "config.json")
    change(about)
    write_json(folder / "config.json", about)
    manifest = read_json(folder / "manifest.json")
    del manifest["sha256"]["config.json"]
    write_json(folder / "manifest.json", manifest)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("cells", 25, "project.weight has shape 16x24, expected 16x25"),
        ("layers", 3, r"the tensor lstms.2.directions.0.* is missing"),
        ("layers", 1, r"the tensor lstms.1.directions.0.* does not belong to an ELMo"),
        ("filters", None, "contains no valid sizes of an ELMo"),
        ("filters", [[1, 2, 3]], "contains no valid sizes of an ELMo"),
        ("cells", "many", "cells must be a whole number above 0, got 'many'"),
        ("vocabulary_size", 999, "the model predicts 999 words, but the tokenizer has only"),
    ],
)
def test_a_folder_whose_parts_disagree_is_refused(elmo, tmp_path, name, value, message):
    folder = elmo.save(tmp_path / "elmo")
    rewrite(folder, lambda about: about["config"].update({name: value}))
    with pytest.raises(FormatError, match=message) as caught:
        load_encoder(folder)
    assert str(folder) in str(caught.value)


def test_a_folder_that_is_none_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(HeadstartError, match="empty"):
        load_encoder(tmp_path / "empty")


def test_gradients_reach_every_part(elmo):
    encoded, _ = elmo.inputs(TEXTS[:3], 9)
    mask = torch.ones(3, 9, dtype=torch.bool)
    ids = torch.from_numpy(encoded.ids).long().reshape(3, 9, 50)
    layers = elmo.model.encode(ids, mask)
    groups = [list(group.parameters()) for group in elmo.model.layer_groups()]
    used = torch.autograd.grad(
        sum(layer.square().sum() for layer in layers), [p for group in groups for p in group]
    )
    assert all(gradient.abs().sum() > 0 for gradient in used)
