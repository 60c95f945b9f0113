import numpy as np
import pytest
import torch

from headstart.training import precision
from headstart.transfer.features import pooled_features, text_states
from headstart.transfer.fitted_taggers import word_states
from headstart.transfer.layer_features import layer_features, word_layer_features
from headstart.transfer.token_states import token_states

TEXTS = ["good1 plain2 bad3", "", "bad7", "good5 good6 plain1 plain2 plain3"] * 3


@pytest.fixture(autouse=True)
def exact(monkeypatch):
    """Numbers of full length, so that two ways to the same number give the same."""
    monkeypatch.setattr(precision, "has_fast_bf16", lambda device: False)


def test_word_vectors_have_one_layer_the_mean(encoder):
    (only,) = layer_features(encoder, TEXTS, max_tokens=9)
    assert (only.layer, only.pooling) == (0, "mean")
    expected = pooled_features(encoder, TEXTS, pooling="mean", max_tokens=9)
    assert only.features == pytest.approx(expected, abs=1e-6)
    assert not only.features[1].any()


def test_a_whole_model_has_all_its_layers_and_what_stands_for_a_text(whole):
    found = layer_features(whole, TEXTS, max_tokens=99)
    own = {"bert": "cls", "gpt": "last"}[whole.kind]
    assert [(each.layer, each.pooling) for each in found] == [
        (0, "mean"), (1, "mean"), (2, "mean"), (2, own)
    ]  # fmt: skip
    encoded, _ = whole.inputs(TEXTS, 99)
    for row in range(len(TEXTS)):
        ids = torch.from_numpy(encoded[row]).long()[None]
        with torch.no_grad():
            layers = whole.model.encode(ids, torch.ones_like(ids).bool())
        for each, layer in zip(found, layers, strict=False):
            assert each.features[row] == pytest.approx(layer[0].mean(0).numpy(), abs=1e-5)
    _, mean, first, last = np.split(text_states(whole, TEXTS, max_tokens=99), 4, axis=1)
    assert found[2].features == pytest.approx(mean, abs=1e-5)
    assert found[3].features == pytest.approx(first if own == "cls" else last, abs=1e-5)


def test_what_reads_in_context_has_the_layers_of_a_task(reader):
    found = layer_features(reader, TEXTS, max_tokens=99)
    states = token_states(reader, TEXTS, max_tokens=99)
    assert len(found) == states.values.shape[1] == (3 if reader.kind == "elmo" else 1)
    words = states.values[states.offsets[3] : states.offsets[4]].astype(np.float32)
    for at, each in enumerate(found):
        assert (each.layer, each.pooling) == (at, "mean")
        assert each.features[3] == pytest.approx(words[:, at].mean(0), abs=1e-5)
        assert not each.features[1].any()


SENTENCES = [["good1", "plain2", "bad3"], ["bad7"], ["good5"] * 40, ["plain1", "?", "plain3"]]


def test_the_top_layer_of_words_is_what_a_tagger_reads(whole):
    found = word_layer_features(whole, SENTENCES, max_tokens=16)  # the third is read in windows
    assert [(each.layer, each.pooling) for each in found] == [
        (at, "first piece") for at in range(3)
    ]
    expected = word_states(whole, SENTENCES, max_tokens=16).values
    assert found[-1].features == pytest.approx(expected, abs=1e-5)
    assert {each.features.shape for each in found} == {(47, whole.model.width)}


def test_word_vectors_and_what_reads_in_context_have_their_layers_of_words(encoder, reader):
    (only,) = word_layer_features(encoder, SENTENCES, max_tokens=99)
    assert np.array_equal(only.features, word_states(encoder, SENTENCES, max_tokens=99).values)
    found = word_layer_features(reader, SENTENCES, max_tokens=99)
    mean = np.mean([each.features for each in found], 0)
    assert mean == pytest.approx(word_states(reader, SENTENCES, max_tokens=99).values, abs=1e-5)
    assert [each.layer for each in found] == list(range(3 if reader.kind == "elmo" else 1))
