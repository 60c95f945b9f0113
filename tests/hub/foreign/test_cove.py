"""The published MT-LSTM: a state dict of `nn.LSTM` gives the states that `nn.LSTM` gives."""

import numpy as np
import pytest
import torch

import headstart as hs
from headstart.errors import FormatError, SettingsError
from headstart.hub.foreign import huggingface

WORDS = ["the", "cat", "sat", "on", "mat"]
TEXT = [["the", "cat", "sat", "unheard-of"], ["on", "the", "mat"]]


@pytest.fixture(autouse=True)
def no_trial(monkeypatch):
    """Without the child that reads a pickle first, and takes a second: test_trial.py has it."""
    monkeypatch.setattr(huggingface, "try_reading", lambda kind, path: None)


@pytest.fixture
def lstm():
    torch.manual_seed(0)
    return torch.nn.LSTM(6, 5, num_layers=2, bidirectional=True, batch_first=True)


@pytest.fixture
def vectors(tmp_path):
    path = tmp_path / "glove.txt"
    numbers = np.random.default_rng(0).normal(size=(len(WORDS), 6)).astype(np.float32)
    rows = [f"{w} {' '.join(map(str, row))}" for w, row in zip(WORDS, numbers, strict=True)]
    path.write_text("\n".join(rows) + "\n")
    return path


def saved(tmp_path, tensors, name="MT-LSTM.pth"):
    torch.save(tensors, tmp_path / name)
    return tmp_path / name


@pytest.mark.parametrize("prefix", ["rnn.", "", "module.rnn."])
def test_published_weights_give_published_states(tmp_path, lstm, vectors, prefix):
    tensors = {f"{prefix}{name}": weight for name, weight in lstm.state_dict().items()}
    encoder = hs.load(saved(tmp_path, tensors), vectors=vectors)
    assert encoder.kind == "cove"
    assert encoder.lineage["format"] == "MT-LSTM"
    words = hs.load(vectors)
    for sentence, states in zip(TEXT, encoder.word_states(TEXT), strict=True):
        rows = [
            words.matrix[words.words.index(word)] if word in words.words else torch.zeros(6)
            for word in sentence
        ]
        with torch.no_grad():
            expected, _ = lstm(torch.stack(rows)[None])
        np.testing.assert_allclose(states[-1], expected[0], atol=1e-6)
    again = hs.load(encoder.save(tmp_path / "cove"))
    assert again.fingerprint == encoder.fingerprint
    assert again.target is None
    with pytest.raises(SettingsError, match="this CoVe has no decoder"):
        again.translate("the cat")
    few = hs.load(saved(tmp_path, tensors), vectors=vectors, vocabulary=["cat"])
    assert few.tokenizer.vocabulary[2:] == ["cat"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda weight: weight * float("nan"), "weight_hh_l1 contains NaN or infinity"),
        (lambda weight: weight.to(torch.int8), "weight_hh_l1 holds int8, expected floats"),
    ],
)
def test_weights_that_are_no_finite_floats_are_refused(tmp_path, lstm, vectors, change, message):
    tensors = lstm.state_dict()
    tensors["weight_hh_l1"] = change(tensors["weight_hh_l1"])
    with pytest.raises(FormatError, match=message):
        hs.load(saved(tmp_path, tensors), vectors=vectors)


def test_word_vectors_in_memory_serve_too(tmp_path, lstm, vectors):
    path = saved(tmp_path, lstm.state_dict())
    assert (
        hs.load(path, vectors=hs.load(vectors)).fingerprint
        == hs.load(path, vectors=vectors).fingerprint
    )


def test_the_vectors_must_be_given(tmp_path, lstm, vectors):
    path = saved(tmp_path, lstm.state_dict())
    with pytest.raises(SettingsError, match="without their word vectors; pass them too"):
        hs.load(path)
    with pytest.raises(FormatError, match=r"none\.pth: no such file"):
        hs.load(tmp_path / "none.pth", vectors=vectors)


def without(name):
    return lambda tensors: {n: t for n, t in tensors.items() if n != name}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("bias_hh_l1"), "'bias_hh_l1' is missing; an MT-LSTM has 16 tensors"),
        (without("weight_ih_l0_reverse"), "'weight_ih_l0_reverse' is missing"),
        (lambda t: {**t, "weight_hh_l1": t["weight_hh_l1"][:, :4]}, r"'weight_hh_l1' has shape"),
        (lambda t: {**t, "weight_ih_l1": t["weight_hh_l1"]}, r"shape \[20, 5\], expected \[20, 10"),
        (lambda t: {**t, "bias_ih_l2": t["bias_ih_l1"]}, "'bias_ih_l2' is not a tensor of a two-"),
        (lambda t: {**t, "linear.weight": t["bias_ih_l1"]}, "'linear.weight' is not a tensor"),
        (lambda t: [*t.values()], "expected a dictionary of tensors by name"),
    ],
)
def test_another_state_dict_is_refused(tmp_path, lstm, vectors, change, message):
    with pytest.raises(FormatError, match=message):
        hs.load(saved(tmp_path, change(lstm.state_dict())), vectors=vectors)


def test_code_is_refused_and_other_vectors_named(tmp_path, lstm, vectors):
    with pytest.raises(FormatError, match="could run code or is corrupted"):
        hs.load(saved(tmp_path, {"rnn": lstm}), vectors=vectors)
    narrow = tmp_path / "narrow.txt"
    narrow.write_text("cat 1 2\ndog 3 4\n")
    with pytest.raises(
        FormatError, match=r"needs vectors of 6 dimensions, but .* have 2; the publish"
    ):
        hs.load(saved(tmp_path, lstm.state_dict()), vectors=narrow)
