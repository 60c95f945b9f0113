"""LSTM layers against torch's own over packed sequences, and a cell's gradients by hand."""

import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from headstart.models.recurrence import (
    cell_of,
    new_memory,
    read_both_ways,
    step_cell,
    step_cell_back,
)

LENGTHS = torch.tensor([3, 9, 1, 5, 5, 2, 8])


@pytest.fixture
def layer():
    torch.manual_seed(0)
    return torch.nn.LSTM(6, 4, bidirectional=True, batch_first=True).double()


def inputs(width=6, kind=torch.float64):
    mask_BT = torch.arange(9) < LENGTHS[:, None]
    return torch.randn(7, 9, width, dtype=kind), mask_BT


def test_it_is_torchs_lstm_over_packed_sequences_with_its_gradients(layer):
    x_BTE, mask_BT = inputs()
    x_BTE.requires_grad_()
    packed = pack_padded_sequence(x_BTE, LENGTHS, batch_first=True, enforce_sorted=False)
    padded, ends = layer(packed)
    expected = [pad_packed_sequence(padded, batch_first=True)[0]]
    expected += [torch.cat([*each], -1) for each in ends]
    found = read_both_ways(layer, x_BTE, mask_BT)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=0)
    parameters = [x_BTE, *layer.parameters()]
    for ours, theirs in zip(
        *(
            torch.autograd.grad(sum((each**3).sum() for each in outputs), parameters)
            for outputs in (found, expected)
        ),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=0)


@pytest.mark.parametrize(("width", "units"), [(6, 4), (6, 50), (200, 200)])
def test_a_sequence_is_the_same_to_the_last_bit_in_any_batch(width, units):
    torch.manual_seed(0)
    layer = torch.nn.LSTM(width, units, bidirectional=True)
    x_BTE, mask_BT = inputs(width, torch.float32)
    with torch.no_grad():
        together = read_both_ways(layer, x_BTE, mask_BT)
        noise = x_BTE.masked_fill(~mask_BT[..., None], 7.0)
        for ours, other in zip(together, read_both_ways(layer, noise, mask_BT), strict=True):
            assert torch.equal(ours, other)
        for row, length in enumerate(LENGTHS.tolist()):
            for rows in (slice(row, row + 1), slice(max(0, row - 4), row + 1)):
                longest = int(LENGTHS[rows].max())
                alone = read_both_ways(layer, x_BTE[rows, :longest], mask_BT[rows, :longest])
                assert torch.equal(alone[0][-1, :length], together[0][row, :length])
                assert torch.equal(alone[1][-1], together[1][row])
                assert torch.equal(alone[2][-1], together[2][row])


def test_a_cell_and_its_gradients():
    torch.manual_seed(0)
    gates = torch.randn(2, 20, dtype=torch.float64, requires_grad=True)
    before = torch.randn(2, 5, dtype=torch.float64, requires_grad=True)
    memory = new_memory(gates, 5)
    memory[:, :20] = gates.detach()
    state = step_cell(memory, before.detach())
    take, keep, new, show = gates.chunk(4, -1)
    after = keep.sigmoid() * before + take.sigmoid() * new.tanh()
    expected = show.sigmoid() * after.tanh()
    torch.testing.assert_close(state, expected.detach())
    torch.testing.assert_close(cell_of(memory), after.detach())
    by_state, by_cell = torch.randn(2, 2, 5, dtype=torch.float64)
    found = step_cell_back(memory, before.detach(), by_state, by_cell)
    total = (expected * by_state).sum() + (after * by_cell).sum()
    for ours, theirs in zip(found, torch.autograd.grad(total, [gates, before]), strict=True):
        torch.testing.assert_close(ours, theirs)
