"""LSTMs over sequences of many lengths, with nothing computed at padding and gradients by hand.

Hochreiter and Schmidhuber, "Long Short-Term Memory", 1997; the cell, its gates and their order
(input, forget, candidate, output) are those of `torch.nn.LSTM`. Sequences stand in the order of
falling length, so that step t has to do with the first rows only. What does not depend on the step
before is left out of the loop: the inputs' products come in, and the weights' gradients are one
product over all steps.

Shapes: R directions, N tokens of all sequences step by step, B sequences, T steps, H units, G = 4H.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

sigmoid_backward, tanh_backward = torch.ops.aten.sigmoid_backward, torch.ops.aten.tanh_backward

# Products of fewer rows are computed in another order: a sequence's last bits would tell how many
# others there were.
LEAST_ROWS = 4


@dataclass(frozen=True)
class Steps:
    """Where each token of padded sequences is read.

    Attributes:
        rows: How many sequences have a token at each step.
        place_N: The token read at each place, as an index into the flattened `[B, T]`.
        turn_N: The place of the token as far from its sequence's end as this one is from its
            start: turns the order of reading around, and back.
        last_B: The place of each sequence's last token, or of its first where that is read last.
    """

    rows: list[int]
    place_N: Tensor
    turn_N: Tensor
    last_B: Tensor

    @classmethod
    def of(cls, lengths_B: Tensor, tokens: int) -> "Steps":
        """Lay out sequences of these lengths, 1 or more, that are padded to `tokens`."""
        sorted_B, order_B = lengths_B.sort(descending=True, stable=True)
        step_N, row_N = (torch.arange(tokens, device=lengths_B.device)[:, None] < sorted_B).nonzero(
            as_tuple=True
        )
        rows_T = step_N.bincount(minlength=int(sorted_B[0]))
        begins_T = rows_T.cumsum(0) - rows_T
        turned_N = sorted_B[row_N] - 1 - step_N
        last_B = torch.empty_like(order_B)
        last_B[order_B] = begins_T[sorted_B - 1] + torch.arange(len(order_B), device=order_B.device)
        return cls(
            rows_T.tolist(),
            order_B[row_N] * tokens + step_N,
            begins_T[turned_N] + row_N,
            last_B,
        )


def run_lstm(inputs_RNG: Tensor, weight_RGH: Tensor, rows: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Return states and cells after every token, both `[R, N, H]`, from states of zeros.

    In float32 a sequence's numbers are the same to the last bit whatever others are read with it.

    Args:
        inputs_RNG: What inputs and biases add to the gates, in the order of the steps.
        weight_RGH: From the state before to the gates.
        rows: How many sequences have a token at each step, falling.
    """
    apply: Any = _Lstm.apply
    states_RNH, cells_RNH = apply(inputs_RNG, weight_RGH, list(rows))
    return states_RNH, cells_RNH


class _Lstm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - torch's context has no useful type
        inputs_RNG: Tensor,
        weight_RGH: Tensor,
        rows: list[int],
    ) -> tuple[Tensor, Tensor]:
        directions, _, units = weight_RGH.shape
        weight_RHG = weight_RGH.to(inputs_RNG.dtype).transpose(1, 2)
        memory_RNX = new_memory(inputs_RNG, units)
        memory_RNX[..., : 4 * units] = inputs_RNG
        states_RNH = inputs_RNG.new_empty(*inputs_RNG.shape[:2], units)
        state_RBH = states_RNH.new_zeros(directions, rows[0], units)
        cell_RBH = memory_RNX.new_zeros(directions, rows[0], units)
        at = 0
        for count in rows:
            here, at = slice(at, at + count), at + count
            memory_RBX = memory_RNX[:, here]
            memory_RBX[..., : 4 * units] += (_enough_rows(state_RBH, count) @ weight_RHG)[:, :count]
            states_RNH[:, here] = step_cell(memory_RBX, cell_RBH[:, :count])
            state_RBH, cell_RBH = states_RNH[:, here], cell_of(memory_RBX)
        ctx.rows = rows
        ctx.save_for_backward(weight_RGH, memory_RNX, states_RNH)
        return states_RNH, cell_of(memory_RNX).clone()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        weight_RGH, memory_RNX, states_RNH = ctx.saved_tensors
        by_states_RNH, by_cells_RNH = grads
        rows: list[int] = ctx.rows
        weight = weight_RGH.to(states_RNH.dtype)
        directions, gates, units = weight.shape
        by_gates_RNG = states_RNH.new_empty(*states_RNH.shape[:2], gates)
        none = memory_RNX.new_zeros(directions, rows[0], units)
        by_state_RBH, by_cell_RBH = none.clone(), none.clone()
        at = states_RNH.shape[1]
        for step in range(len(rows) - 1, -1, -1):
            count = rows[step]
            here, at = slice(at - count, at), at - count
            before = slice(at - rows[step - 1], at - rows[step - 1] + count)
            by_gates_RNG[:, here], by_cell_RBH[:, :count] = step_cell_back(
                memory_RNX[:, here],
                cell_of(memory_RNX)[:, before] if step else none,
                by_state_RBH[:, :count] + by_states_RNH[:, here],
                by_cell_RBH[:, :count] + by_cells_RNH[:, here],
            )
            by_state_RBH[:, :count] = by_gates_RNG[:, here] @ weight
        later = torch.arange(rows[0], states_RNH.shape[1], device=weight.device)
        back = torch.tensor(rows[:-1]).repeat_interleave(torch.tensor(rows[1:]))
        before_RNH = states_RNH[:, later - back.to(weight.device)]
        by_weight_RGH = by_gates_RNG[:, rows[0] :].transpose(1, 2) @ before_RNH
        return by_gates_RNG, by_weight_RGH.to(weight_RGH.dtype), None


def _enough_rows(state_RBH: Tensor, count: int) -> Tensor:
    """Return the first rows, and as many others as it takes to have `LEAST_ROWS`."""
    return pad_rows(state_RBH[:, : max(count, LEAST_ROWS)])


def pad_rows(x_ND: Tensor) -> Tensor:
    """Put rows of zeros below a matrix that has fewer than `LEAST_ROWS`."""
    missing = max(0, LEAST_ROWS - x_ND.shape[-2])
    return F.pad(x_ND, (0, 0, 0, missing)) if missing else x_ND


def new_memory(inputs: Tensor, units: int) -> Tensor:
    """Make room for what a cell goes through at inputs `[.., G]`: `[.., X]`, X = 6H.

    Four gates, the cell, and its hyperbolic tangent stand side by side in each row. So no two rows
    are worked through by one loop, whose last numbers the processor rounds in another way: where
    they lie would depend on how many rows there are. All but products is computed in float32 at
    least, since cells add up over a sequence.
    """
    kind = torch.promote_types(inputs.dtype, torch.float32)
    return inputs.new_empty(*inputs.shape[:-1], 6 * units, dtype=kind)


def cell_of(memory_BX: Tensor) -> Tensor:
    """Return the cells `[.., H]`."""
    units = memory_BX.shape[-1] // 6
    return memory_BX[..., 4 * units : 5 * units]


def step_cell(memory_BX: Tensor, cell_BH: Tensor) -> Tensor:
    """Take one step from a cell; return the next state.

    Args:
        memory_BX: What inputs and states add to the gates; the rest is filled in, in place.
        cell_BH: The cell before.
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
    """Return the gradients of what came to the gates `[.., G]`, and of the cell before.

    Args:
        memory_BX: As `step_cell` left it.
        cell_BH: The cell before.
        by_state_BH: The gradient of the state.
        by_cell_BH: That of the next cell, as far as it does not come by way of the state.
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
