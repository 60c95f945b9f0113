"""LSTMs: batches of sequences of any lengths, and single steps with hand-written gradients.

Hochreiter and Schmidhuber, "Long Short-Term Memory", 1997. The cell, its gates and their order
(input, forget, candidate, output) are those of `torch.nn.LSTM`.

Shapes: B sequences, T tokens, E inputs, H units, G = 4H gates, X = 6H numbers of a cell's memory,
D = 2H numbers of both directions.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

sigmoid_backward, tanh_backward = torch.ops.aten.sigmoid_backward, torch.ops.aten.tanh_backward
# Fewer rows are computed in another order, which would change the last bits of a sequence.
_LEAST_ROWS = 4
_SHUT = -1e4  # its sigmoid is 0


def read_both_ways(
    layer: torch.nn.Module, x_BTE: Tensor, mask_BT: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the states `[B, T, 2H]`, the final states `[B, 2H]` and their cells `[B, 2H]`.

    The forward direction ends at a sequence's last token, the backward direction at its first.
    Sequences are shifted so that padding comes first. There, an extra input feature closes the
    input gate: a cell stays at zero until its sequence begins, and all sequences end at the same
    step. The fast kernel for sequences of equal length thus handles all lengths, and padding has no
    effect. In float32 a sequence's states are bit-identical in any batch.

    Args:
        layer: A bidirectional `nn.LSTM` of one layer.
        x_BTE: The inputs, tokens first and then padding.
        mask_BT: True at tokens; each row has at least one.
    """
    batch, tokens = mask_BT.shape
    missing = max(0, _LEAST_ROWS - batch)
    x_BTE, mask_BT = F.pad(x_BTE, (0, 0, 0, 0, 0, missing)), F.pad(mask_BT, (0, 0, 0, missing))
    blank_BT1 = (~mask_BT)[..., None].to(x_BTE.dtype)
    x_BTE = torch.cat([x_BTE * mask_BT[..., None], blank_BT1], -1)
    places_T = torch.arange(tokens, device=mask_BT.device)
    from_BT = (places_T + mask_BT.sum(1, keepdim=True)) % tokens  # the end comes last
    right, left = (_weights(layer, end) for end in ("", "_reverse"))
    right_BTH, *ends = _run(right, _move(x_BTE, from_BT))
    left_BTH, *other_ends = _run(left, x_BTE.flip(1))
    right_BTH = _move(right_BTH, (places_T - mask_BT.sum(1, keepdim=True)) % tokens)
    states_BTD = torch.cat([right_BTH, left_BTH.flip(1)], -1)[:batch] * mask_BT[:batch, :, None]
    state_BD, cell_BD = (torch.cat(pair, -1)[:batch] for pair in zip(ends, other_ends, strict=True))
    return states_BTD, state_BD, cell_BD


def _weights(layer: torch.nn.Module, end: str) -> list[Tensor]:
    """Return a direction's weights, extended by those of the input that is 1 at padding."""
    names = (f"{name}_l0{end}" for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
    inputs_GE, recurrent_GH, *biases = (getattr(layer, name) for name in names)
    shut_G1 = inputs_GE.new_zeros(len(inputs_GE), 1)
    shut_G1[: len(inputs_GE) // 4] = _SHUT
    return [torch.cat([inputs_GE, shut_G1], 1), recurrent_GH, *biases]


def _run(weights: list[Tensor], x_BTE: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    none_1BH = x_BTE.new_zeros(1, len(x_BTE), weights[1].shape[1])
    states_BTH, state_1BH, cell_1BH = torch.lstm(
        x_BTE,
        (none_1BH, none_1BH),
        weights,
        has_biases=True,
        num_layers=1,
        dropout=0.0,
        train=torch.is_grad_enabled(),
        bidirectional=False,
        batch_first=True,
    )
    return states_BTH, state_1BH[0], cell_1BH[0]


def _move(x_BTE: Tensor, from_BT: Tensor) -> Tensor:
    """Return each row's tokens reordered; selecting whole rows is faster than gather."""
    batch, tokens = from_BT.shape
    rows = from_BT + tokens * torch.arange(batch, device=from_BT.device)[:, None]
    return x_BTE.flatten(0, 1).index_select(0, rows.flatten()).unflatten(0, (batch, tokens))


def new_memory(inputs: Tensor, units: int) -> Tensor:
    """Allocate the intermediate values of a cell for inputs `[.., G]`: `[.., X]`, X = 6H.

    Each row holds the four gates, the cell, and its hyperbolic tangent. Everything except products
    is computed in at least float32, since cells accumulate over a sequence.
    """
    kind = torch.promote_types(inputs.dtype, torch.float32)
    return inputs.new_empty(*inputs.shape[:-1], 6 * units, dtype=kind)


def cell_of(memory_BX: Tensor) -> Tensor:
    """Return the cells `[.., H]`."""
    units = memory_BX.shape[-1] // 6
    return memory_BX[..., 4 * units : 5 * units]


def step_cell(memory_BX: Tensor, cell_BH: Tensor) -> Tensor:
    """Advance a cell by one step; return the next hidden state.

    Args:
        memory_BX: Holds the gates' pre-activations; gates, cell and tanh are written in place.
        cell_BH: The previous cell.
    """
    units = cell_BH.shape[-1]
    gates_BG = memory_BX[..., : 4 * units]
    take_BH, keep_BH, new_BH, show_BH, next_BH, shown_BH = memory_BX.chunk(6, -1)
    new_BH.mul_(2)  # tanh(x) = 2 sigmoid(2x) - 1, three times as fast as torch's on a CPU
    gates_BG.sigmoid_()
    new_BH.mul_(2).sub_(1)
    torch.mul(keep_BH, cell_BH, out=next_BH)
    next_BH.addcmul_(take_BH, new_BH)
    torch.mul(next_BH, 2, out=shown_BH)
    shown_BH.sigmoid_().mul_(2).sub_(1)
    return show_BH * shown_BH


def step_cell_back(
    memory_BX: Tensor, cell_BH: Tensor, by_state_BH: Tensor, by_cell_BH: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the gradients of the gates' pre-activations `[.., G]` and of the previous cell.

    Args:
        memory_BX: As `step_cell` left it.
        cell_BH: The previous cell.
        by_state_BH: The gradient of the hidden state.
        by_cell_BH: The gradient of the next cell, except for the part through the hidden state.
    """
    take_BH, keep_BH, new_BH, show_BH, _, shown_BH = memory_BX.chunk(6, -1)
    by_cell_BH = by_cell_BH + tanh_backward(by_state_BH * show_BH, shown_BH)
    by_gates_BG = torch.cat(
        [
            sigmoid_backward(by_cell_BH * new_BH, take_BH),
            sigmoid_backward(by_cell_BH * cell_BH, keep_BH),
            tanh_backward(by_cell_BH * take_BH, new_BH),
            sigmoid_backward(by_state_BH * shown_BH, show_BH),
        ],
        -1,
    )
    return by_gates_BG, by_cell_BH * keep_BH
