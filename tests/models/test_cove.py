"""CoVe's encoder and decoder against torch's LSTMs, step-by-step NumPy, and plain autograd."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from headstart.errors import SettingsError
from headstart.models.cove import Cove, CoveConfig

SIZES = {"source_vocabulary": 20, "vector_width": 6, "hidden": 4, "target_vocabulary": 15}
LENGTHS, TARGET_LENGTHS = [3, 7, 1, 6, 7], [6, 5, 5, 2, 1]


def make(*, kind=torch.float64, **settings):
    config = CoveConfig(**{**SIZES, "dropout": 0.0, **settings})
    model = Cove(config, generator=torch.Generator().manual_seed(0)).to(kind).eval()
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
        model.embedding.weight[0] = 0.0
    return model


def batch():
    torch.manual_seed(2)
    mask_BS = torch.arange(7) < torch.tensor(LENGTHS)[:, None]
    ids_BS = torch.randint(1, 20, (5, 7)) * mask_BS
    return ids_BS, mask_BS, torch.randint(0, 15, (5, 6))


# The encoder


@pytest.mark.parametrize("scale", [1.0, 2.5])
def test_the_encoder_is_torchs_two_layer_lstm_on_the_same_weights(scale):
    model = make(scale=scale)
    ids_BS, mask_BS, _ = batch()
    theirs = torch.nn.LSTM(6, 4, 2, bidirectional=True, batch_first=True).double()
    named = model.layers.state_dict().items()
    theirs.load_state_dict({n[2:].replace("_l0", f"_l{n[0]}"): weight for n, weight in named})
    packed = pack_padded_sequence(
        model.embedding(ids_BS) * scale,
        torch.tensor(LENGTHS),
        batch_first=True,
        enforce_sorted=False,
    )
    padded, ends = theirs(packed)
    reading = model.read(ids_BS, mask_BS)
    expected, _ = pad_packed_sequence(padded, batch_first=True)
    torch.testing.assert_close(reading.layers[1], expected, atol=1e-12, rtol=0)
    for ours, their_4BH in zip((reading.states_LBD, reading.cells_LBD), ends, strict=True):
        both = torch.cat([their_4BH[0::2], their_4BH[1::2]], -1)
        torch.testing.assert_close(ours, both, atol=1e-12, rtol=0)
    assert model.width == 8
    assert [layer.shape for layer in model.encode(ids_BS, mask_BS)] == [(5, 7, 8)] * 2


def test_a_sentence_is_the_same_to_the_last_bit_in_any_batch():
    model = make(kind=torch.float32, hidden=50)
    ids_BS, mask_BS, _ = batch()
    with torch.no_grad():
        together = model.encode(ids_BS, mask_BS)
        other = model.encode(ids_BS + 1 - mask_BS.long(), mask_BS)
        for row, length in enumerate(LENGTHS):
            alone = model.encode(ids_BS[row : row + 1, :length], mask_BS[row : row + 1, :length])
            for layer, single, filled in zip(together, alone, other, strict=True):
                assert torch.equal(layer[row, :length], single[0])
                assert torch.equal(layer[row, :length], filled[row, :length])


def test_a_sentence_without_words_is_one_word_of_padding():
    model = make()
    ids_BS, mask_BS, before_BT = batch()
    nothing = torch.zeros_like(ids_BS), torch.zeros_like(mask_BS)
    states = model.target_states(*nothing, before_BT, TARGET_LENGTHS)
    assert states.isfinite().all()
    assert all(layer.isfinite().all() for layer in model.encode(*nothing))


# The decoder


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def numpy_cell(weights, name, x, state, cell):
    gates = weights[f"{name}.weight_ih"] @ x + weights[f"{name}.weight_hh"] @ state
    gates += weights[f"{name}.bias_ih"] + weights[f"{name}.bias_hh"]
    take, keep, new, show = np.split(gates, 4)
    cell = sigmoid(keep) * cell + sigmoid(take) * np.tanh(new)
    return sigmoid(show) * np.tanh(cell), cell


def numpy_outputs(model, reading, row, before):
    """Calculate the decoder's outputs for one sentence, step by step; also where it looked."""
    weights = {name: w.detach().numpy() for name, w in model.decoder.named_parameters()}
    source = reading.layers[1][row, : LENGTHS[row]].detach().numpy()
    states, cells = reading.states_LBD[:, row].tolist(), reading.cells_LBD[:, row].tolist()
    (lower, upper), (lower_cell, upper_cell) = map(np.array, (states, cells))
    output, outputs, attention = np.zeros(8), [], []
    for token in before:
        x = np.concatenate([weights["tokens.weight"][token], output])
        lower, lower_cell = numpy_cell(weights, "lower", x, lower, lower_cell)
        upper, upper_cell = numpy_cell(weights, "upper", lower, upper, upper_cell)
        scores = source @ (weights["attend.weight"] @ upper)
        shares = np.exp(scores - scores.max())
        shares /= shares.sum()
        context = shares @ source
        output = np.tanh(weights["combine.weight"] @ np.concatenate([context, upper]))
        outputs.append(output)
        attention.append(shares)
    return np.array(outputs), np.array(attention)


def followed(model, ids_BS, mask_BS, before_BT):
    """Return `target_states` sentence by sentence."""
    states_ND = model.target_states(ids_BS, mask_BS, before_BT, TARGET_LENGTHS)
    here_TB = torch.arange(6)[:, None] < torch.tensor(TARGET_LENGTHS)
    outputs_TBD = states_ND.new_zeros(6, 5, 8).masked_scatter(here_TB[..., None], states_ND)
    return [outputs_TBD[:length, row] for row, length in enumerate(TARGET_LENGTHS)]


def test_the_decoder_is_what_numpy_calculates_step_by_step():
    model = make()
    ids_BS, mask_BS, before_BT = batch()
    reading = model.read(ids_BS, mask_BS)
    memory = model.decoder.look_at(reading, mask_BS)
    place, steps = model.decoder.begin(memory), []
    for before_B in before_BT.T:
        scores_BV, place, attention_BS = model.decoder.step(memory, place, before_B)
        steps.append((scores_BV, place.output_PD, attention_BS))
    outputs = followed(model, ids_BS, mask_BS, before_BT)
    head = model.decoder.tokens.weight, model.decoder.token_bias
    for row, length in enumerate(TARGET_LENGTHS):
        expected, looked = numpy_outputs(model, reading, row, before_BT[row, :length].tolist())
        np.testing.assert_allclose(outputs[row].detach(), expected, atol=1e-12)
        for at in range(length):
            scores_BV, output_BD, attention_BS = steps[at]
            np.testing.assert_allclose(output_BD[row].detach(), expected[at], atol=1e-12)
            torch.testing.assert_close(scores_BV[row], F.linear(outputs[row][at], *head))
            words = LENGTHS[row]
            np.testing.assert_allclose(attention_BS[row, :words].detach(), looked[at], atol=1e-12)
            assert attention_BS[row].sum().item() == pytest.approx(1.0)
            assert not attention_BS[row, words:].any()


def test_the_gradients_are_those_of_the_plain_steps():
    model = make()
    ids_BS, mask_BS, before_BT = batch()
    memory = model.decoder.look_at(model.read(ids_BS, mask_BS), mask_BS)
    place, outputs = model.decoder.begin(memory), []
    for before_B in before_BT.T:
        _, place, _ = model.decoder.step(memory, place, before_B)
        outputs.append(place.output_PD)
    here_TB = torch.arange(6)[:, None] < torch.tensor(TARGET_LENGTHS)
    plain_ND = torch.stack(outputs)[here_TB]
    ours_ND = model.target_states(ids_BS, mask_BS, before_BT, TARGET_LENGTHS)
    torch.testing.assert_close(ours_ND, plain_ND)
    parameters = [p for name, p in model.named_parameters() if name != "decoder.token_bias"]
    found, expected = (
        torch.autograd.grad((states**3).sum() + states.sum(), parameters)
        for states in (ours_ND, plain_ND)
    )
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_what_is_dropped_is_dropped_in_the_gradients_too():
    model = make(dropout=0.5).train()
    ids_BS, mask_BS, before_BT = batch()

    def total(shift=0.0):
        torch.manual_seed(5)
        with torch.no_grad():
            model.decoder.upper.weight_ih[0, 0] += shift
        states_ND = model.target_states(ids_BS, mask_BS, before_BT, TARGET_LENGTHS)
        with torch.no_grad():
            model.decoder.upper.weight_ih[0, 0] -= shift
        return (states_ND**2).sum()

    (slope,) = torch.autograd.grad(total(), [model.decoder.upper.weight_ih])
    with torch.no_grad():
        measured = (total(1e-5) - total(-1e-5)) / 2e-5
    assert slope[0, 0].item() == pytest.approx(measured.item(), rel=1e-5)
    assert measured != 0.0


def test_padding_of_either_side_changes_nothing():
    model = make()
    ids_BS, mask_BS, before_BT = batch()
    outputs = followed(model, ids_BS, mask_BS, before_BT)
    other_ids = ids_BS.masked_fill(~mask_BS, 9)
    other_before = before_BT.clone()
    for row, length in enumerate(TARGET_LENGTHS):
        other_before[row, length:] = 3
    for ours, other in zip(outputs, followed(model, other_ids, mask_BS, other_before), strict=True):
        assert torch.equal(ours, other)
    for row, (words, tokens) in enumerate(zip(LENGTHS, TARGET_LENGTHS, strict=True)):
        alone = model.target_states(
            ids_BS[row : row + 1, :words],
            mask_BS[row : row + 1, :words],
            before_BT[row : row + 1, :tokens],
            [tokens],
        )
        torch.testing.assert_close(alone, outputs[row])


# What is refused


def test_an_encoder_without_a_decoder_translates_nothing():
    model = make(target_vocabulary=0)
    with pytest.raises(SettingsError, match="this CoVe has no decoder"):
        model.translator()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"source_vocabulary": 0}, "source_vocabulary must be a whole number from 1, got 0"),
        ({"hidden": 2.5}, "hidden must be a whole number from 1, got 2.5"),
        ({"target_vocabulary": -1}, "target_vocabulary must be a whole number from 0, got -1"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\), got 1.0"),
        ({"scale": 0.0}, "scale must be above 0, got 0.0"),
    ],
)
def test_impossible_sizes_are_refused(settings, message):
    with pytest.raises(SettingsError, match=message):
        make(**settings)
