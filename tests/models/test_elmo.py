"""ELMo against torch's own LSTM, against plain NumPy, and against what its paper promises."""

import numpy as np
import pytest
import torch
from torch import nn

from headstart.errors import SettingsError
from headstart.models.elmo import Elmo, ElmoConfig, Highway, State
from headstart.tokenize.characters import BEGIN, END, words_to_characters

SIZES = {"filters": ((1, 4), (2, 6), (3, 8)), "character_width": 5, "projection": 12, "cells": 20}
WORDS = ["a", "bank", "by", "the", "river", "né", "x" * 30, "y" * 200, ""]


@pytest.fixture
def make():
    def make(**how):
        config = ElmoConfig(**{**SIZES, "dropout": 0.0, **how})
        model = Elmo(config, generator=torch.Generator().manual_seed(0)).eval()
        shake = torch.Generator().manual_seed(1)
        with torch.no_grad():  # so that no weight is zero, and no gate far from the middle
            for parameter in model.parameters():
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=shake))
            model.tokens.characters.weight[0] = 0.0
        return model

    return make


@pytest.fixture
def model(make):
    return make()


def as_batch(sentences):
    longest = max(1, *map(len, sentences))
    ids_BTC = torch.zeros(len(sentences), longest, 50, dtype=torch.long)
    mask_BT = torch.zeros(len(sentences), longest, dtype=torch.bool)
    for row, words in enumerate(sentences):
        ids_BTC[row, : len(words)] = torch.from_numpy(words_to_characters(words)).long()
        mask_BT[row, : len(words)] = True
    return ids_BTC, mask_BT


def encode(model, sentences):
    """Return every sentence's layers, each `[words, width]`."""
    with torch.no_grad():
        layers = model.encode(*as_batch(sentences))
    return [[layer[row, : len(words)] for layer in layers] for row, words in enumerate(sentences)]


def make_sentences(number, *, longest=25, seed=0):
    random = np.random.default_rng(seed)
    return [random.choice(WORDS, random.integers(0, longest)).tolist() for _ in range(number)]


# Against others


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def numpy_token(model, ids):
    """Return the token layer of one word, with all of its 50 characters."""
    weights = {
        name: each.detach().double().numpy() for name, each in model.tokens.state_dict().items()
    }
    letters = weights["characters.weight"][ids]
    highest = []
    for number, (width, _) in enumerate(model.config.filters):
        kernel = weights[f"convolutions.{number}.weight"]
        windows = [
            np.einsum("fck,kc->f", kernel, letters[at : at + width]) for at in range(50 - width + 1)
        ]
        highest.append(np.max(windows, 0) + weights[f"convolutions.{number}.bias"])
    x = np.maximum(np.concatenate(highest), 0)
    for number in range(model.config.highways):
        part = f"highways.{number}."
        gate = sigmoid(weights[part + "gate.weight"] @ x + weights[part + "gate.bias"])
        new = np.maximum(
            weights[part + "transform.weight"] @ x + weights[part + "transform.bias"], 0
        )
        x = gate * new + (1 - gate) * x
    return weights["projection.weight"] @ x + weights["projection.bias"]


def numpy_lstm(model, layer, direction, inputs):
    """Return the states of one direction of one layer, step by step."""
    lstm = model.lstms[layer].directions[direction]
    weights = {name: each.detach().double().numpy() for name, each in lstm.state_dict().items()}
    config = model.config
    h, c = np.zeros(config.projection), np.zeros(config.cells)
    states = []
    for x in inputs if direction == 0 else inputs[::-1]:
        gates = weights["read.weight"] @ x + weights["read.bias"] + weights["recur.weight"] @ h
        out, into, keep, new = np.split(gates, 4)
        c = sigmoid(keep) * c + sigmoid(into) * np.tanh(new)
        c = np.clip(c, -(config.cell_clip or np.inf), config.cell_clip or np.inf)
        h = weights["project.weight"] @ (sigmoid(out) * np.tanh(c))
        h = np.clip(h, -(config.projection_clip or np.inf), config.projection_clip or np.inf)
        states.append(h)
    return np.array(states if direction == 0 else states[::-1])


@pytest.mark.parametrize("skip", [True, False])
@pytest.mark.parametrize("clips", [(None, None), (0.3, 0.2)])
def test_a_step_by_step_calculation_in_numpy_agrees(make, skip, clips):
    model = make(skip=skip, cell_clip=clips[0], projection_clip=clips[1], highways=2)
    for words, layers in zip(
        sentences := [WORDS[:5], WORDS[3:]], encode(model, sentences), strict=True
    ):
        ids = [BEGIN, *words_to_characters(words), END]
        x = np.array([numpy_token(model, each) for each in ids])
        np.testing.assert_allclose(layers[0], np.hstack([x, x])[1:-1], atol=1e-5)
        both = [x, x]
        for layer in range(2):
            states = [numpy_lstm(model, layer, d, both[d]) for d in range(2)]
            add = layer > 0 and skip
            both = [s + read if add else s for s, read in zip(states, both, strict=True)]
            np.testing.assert_allclose(layers[layer + 1], np.hstack(both)[1:-1], atol=1e-5)


def torch_lstm(model, direction):
    """Return torch's own LSTM with the weights of one direction's two layers."""
    config = model.config
    theirs = nn.LSTM(config.projection, config.cells, 2, proj_size=config.projection)
    with torch.no_grad():
        for number, layer in enumerate(model.lstms):
            ours = layer.directions[direction]
            for name, tensor in {
                "weight_ih": ours.read.weight,
                "weight_hh": ours.recur.weight,
                "bias_ih": ours.read.bias,
            }.items():
                out, into, keep, new = tensor.chunk(4)
                getattr(theirs, f"{name}_l{number}").copy_(torch.cat([into, keep, new, out]))
            getattr(theirs, f"bias_hh_l{number}").zero_()
            getattr(theirs, f"weight_hr_l{number}").copy_(ours.project.weight)
    return theirs


@pytest.mark.filterwarnings("ignore:LSTM with projections")
def test_torchs_lstm_agrees_with_values_and_gradients(make):
    model = make(skip=False, cell_clip=None, projection_clip=None)
    x_DTBP = torch.randn(2, 7, 3, 12, requires_grad=True)
    pull = torch.randn(2, 7, 3, 12)
    ours = model.run_lstms(x_DTBP, None)[0][-1]
    (by_x,) = torch.autograd.grad((ours * pull).sum(), x_DTBP, retain_graph=True)
    for direction in range(2):
        theirs = torch_lstm(model, direction)
        states, _ = theirs(x_DTBP[direction])
        torch.testing.assert_close(ours[direction], states, atol=1e-5, rtol=1e-5)
        (expected,) = torch.autograd.grad(
            (states * pull[direction]).sum(), x_DTBP, retain_graph=True
        )
        torch.testing.assert_close(by_x[direction], expected[direction], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("clips", [(None, None), (0.2, 0.15), (0.2, None)])
def test_gradients_are_those_of_finite_differences(make, clips):
    model = make(cell_clip=clips[0], projection_clip=clips[1], projection=2, cells=3).double()
    x_DTBP = torch.randn(2, 3, 2, 2, dtype=torch.double, requires_grad=True)
    lstm = model.lstms[0]
    if clips[0]:
        assert (lstm(x_DTBP, None)[1].abs() == clips[0]).any()
    names = [name for name, _ in lstm.named_parameters()]

    def states(x, *weights):
        given = dict(zip(names, weights, strict=True))
        return torch.func.functional_call(lstm, given, (x, None))[0]

    torch.autograd.gradcheck(states, (x_DTBP, *lstm.parameters()), fast_mode=True)


def test_steps_with_and_without_gradients_are_the_same(model):
    x_DTBP = torch.randn(2, 9, 5, 12)
    with_gradients = model.run_lstms(x_DTBP, None)[0]
    with torch.no_grad():
        without = model.run_lstms(x_DTBP, None)[0]
    for one, other in zip(with_gradients, without, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)


def test_bfloat16_is_near(model):
    x_DTBP = 0.5 * torch.randn(2, 9, 5, 12)
    pull = torch.randn(2, 9, 5, 12)
    results = []
    for enabled in (False, True):
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            states = model.run_lstms(x_DTBP, None)[0][-1].float()
        (states * pull).sum().backward()
        results.append((states, model.lstms[0].directions[0].recur.weight.grad.clone()))
    for exact, near in zip(*results, strict=True):
        assert (exact - near).norm() < 0.03 * exact.norm()


# What a sentence's vectors depend on


def test_each_direction_sees_its_own_side_only(model):
    before = [WORDS[:6]]
    for at in range(6):
        after = [[*before[0][:at], "other", *before[0][at + 1 :]]]
        for old, new in zip(encode(model, before)[0][1:], encode(model, after)[0][1:], strict=True):
            right, left = (torch.stack([old, new]).unflatten(-1, (2, 12))).unbind(-2)
            changed_rightward = [not torch.equal(*right[:, t]) for t in range(6)]
            changed_leftward = [not torch.equal(*left[:, t]) for t in range(6)]
            assert changed_rightward == [t >= at for t in range(6)]
            assert changed_leftward == [t <= at for t in range(6)]


def test_a_sentence_has_the_same_bits_in_any_batch(model):
    sentences = make_sentences(45)
    together = encode(model, sentences)
    order = np.random.default_rng(1).permutation(45)
    shuffled = encode(model, [sentences[row] for row in order])
    for place, row in enumerate(order):
        alone = encode(model, [sentences[row]])[0]
        for one, other, third in zip(together[row], shuffled[place], alone, strict=True):
            assert torch.equal(one, other)
            assert torch.equal(one, third)


def test_a_batch_without_words_has_no_vectors(model):
    layers = encode(model, [[], []])[0]
    assert [tuple(layer.shape) for layer in layers] == [(0, 24)] * 3


def test_memory_is_carried_row_by_row(model):
    first, second = make_sentences(5, seed=1), make_sentences(5, seed=2)

    def read(sentences, state=None):
        ids_BTC, mask_BT = as_batch(sentences)
        with torch.no_grad():
            tokens = model.tokens(ids_BTC.flatten(0, 1)).unflatten(0, mask_BT.shape)
            return model.read(tokens, mask_BT.sum(1), state)

    _, state = read(first)
    layers, _ = read(second, state)
    fresh, _ = read(second)
    fewer, _ = read(second[:3], state)
    more, _ = read([*second, second[0]], state)
    for layer in (1, 2):
        for row, words in enumerate(second):
            if words:
                assert not torch.equal(layers[layer][row], fresh[layer][row])
        assert torch.equal(fewer[layer], layers[layer][:3, : fewer[layer].shape[1]])
        assert torch.equal(more[layer][5, : len(second[0])], fresh[layer][0, : len(second[0])])
    assert torch.equal(layers[0], fresh[0])
    assert isinstance(state, State)


def test_what_follows_a_word_changes_nothing(model):
    """A word cut short before convolution has the vector that it has at full length."""
    words = ["", "a", "four", "seven77", "x" * 14, "y" * 40, "z" * 48]
    with torch.no_grad():
        vectors = model.tokens(torch.from_numpy(words_to_characters(words)).long())
    expected = [numpy_token(model, ids) for ids in words_to_characters(words)]
    np.testing.assert_allclose(vectors, expected, atol=1e-5)


def test_a_highway_with_an_open_gate_transforms():
    highway = Highway(3)
    x = torch.randn(2, 3)
    for bias, expected in ((50.0, torch.relu(highway.transform(x))), (-50.0, x)):
        nn.init.constant_(highway.gate.bias, bias)
        torch.testing.assert_close(highway(x), expected)


def test_dropout_is_for_training(make):
    model = make(dropout=0.5, vocabulary_size=7)
    numbers = torch.zeros(2, 3, 2, dtype=torch.long)
    ids = torch.from_numpy(words_to_characters(["a"])).long()
    assert torch.equal(model(ids, numbers), model(ids, numbers))
    model.train()
    assert not torch.equal(model(ids, numbers), model(ids, numbers))


def test_without_its_softmax_it_predicts_nothing(model):
    with pytest.raises(SettingsError, match="this ELMo has no softmax"):
        model.prediction_loss(torch.zeros(1, 12), torch.zeros(1, dtype=torch.long))


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"cells": 0}, "cells must be a whole number above 0, got 0"),
        ({"highways": -1}, "highways must be a whole number from 0, got -1"),
        ({"filters": ()}, "width from 1 to 50 and a number above 0, got 0 of width 0"),
        ({"filters": ((51, 3),)}, "width from 1 to 50 and a number above 0, got 3 of width 51"),
        ({"cell_clip": 0.0}, "cell_clip must be above 0 or None, got 0.0"),
        ({"dropout": "x"}, r"dropout must be in \[0, 1\), got 'x'"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\), got 1.0"),
    ],
)
def test_impossible_sizes_are_refused(sizes, message):
    with pytest.raises(SettingsError, match=message):
        ElmoConfig(**{**SIZES, **sizes})
