"""The softmax over a vocabulary, without ever holding all its scores.

Shapes: N predictions, D width, V vocabulary.
"""

from typing import Any

import torch
from torch import Tensor

from headstart.models.attention import compute_dtype

_ROWS = 256  # predictions whose scores are held at once: 8 MB of 8192 words, which a cache holds


def linear_cross_entropy(
    states_ND: Tensor, weight_VD: Tensor, bias_V: Tensor | None, targets_N: Tensor
) -> Tensor:
    """Return the sum of `-log softmax(states weight' + bias)[target]` over all predictions.

    Scores are computed for some hundred predictions at a time, and their gradient at once, while
    they are in the cache: the memory of a large vocabulary's scores is never touched twice.
    Products are computed in autocast's type where it is on, the softmax in float32.
    """
    states_ND = states_ND.to(compute_dtype(states_ND))
    apply: Any = _LinearCrossEntropy.apply
    total: Tensor = apply(states_ND, weight_VD, bias_V, targets_N)
    return total


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - torch's context has no useful type
        states_ND: Tensor,
        weight_VD: Tensor,
        bias_V: Tensor | None,
        targets_N: Tensor,
    ) -> Tensor:
        by_states, by_weight = torch.empty_like(states_ND), torch.zeros_like(weight_VD)
        by_bias = None if bias_V is None else torch.zeros_like(bias_V)
        weight = weight_VD.to(states_ND.dtype)
        total = torch.zeros((), dtype=torch.float32, device=states_ND.device)
        with torch.autocast(states_ND.device.type, enabled=False):
            for start in range(0, len(states_ND), _ROWS):
                rows = slice(start, start + _ROWS)
                states, targets = states_ND[rows], targets_N[rows, None]
                scores = (states @ weight.T).float()
                if bias_V is not None:
                    scores += bias_V
                highest = scores.amax(1, keepdim=True)
                slopes = scores.softmax(1)  # one pass; its highest value is exp(highest) / sum
                normalizer = highest - slopes.amax(1, keepdim=True).log()
                total += (normalizer - scores.gather(1, targets)).sum()
                slopes.scatter_add_(1, targets, torch.full_like(highest, -1.0))
                if by_bias is not None:
                    by_bias += slopes.sum(0)
                slopes = slopes.to(states.dtype)
                by_states[rows] = slopes @ weight
                by_weight += slopes.T @ states
        ctx.save_for_backward(by_states, by_weight, by_bias)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        by_states, by_weight, by_bias = ctx.saved_tensors
        by_bias = None if by_bias is None else grad * by_bias
        return grad.to(by_states.dtype) * by_states, grad * by_weight, by_bias, None
