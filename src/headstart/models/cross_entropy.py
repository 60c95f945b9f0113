"""Cross-entropy over a vocabulary, without holding all of its scores in memory.

Shapes: N predictions, D width, V vocabulary, K sampled words.
"""

from typing import Any

import torch
from torch import Tensor

from headstart.models.attention import compute_dtype

_ROWS = 256  # predictions scored at once: 8 MB for 8192 words, which fits in a cache
_ROWS_ON_GPU = 4096  # smaller products leave a GPU idle


def linear_cross_entropy(
    states_ND: Tensor, weight_VD: Tensor, bias_V: Tensor | None, targets_N: Tensor
) -> Tensor:
    """Return the sum of `-log softmax(states weight' + bias)[target]` over all predictions.

    Scores are computed for a few hundred predictions at a time, and their gradient right after,
    while they are in the cache: the scores of a large vocabulary never pass through memory twice.
    Products are computed in autocast's type if it is on, the softmax in float32.
    """
    states_ND, targets_N = states_ND.to(compute_dtype(states_ND)), targets_N.to(states_ND.device)
    if not torch.is_grad_enabled():
        return _sum_without_gradients(states_ND, weight_VD, bias_V, targets_N)
    apply: Any = _LinearCrossEntropy.apply
    total: Tensor = apply(states_ND, weight_VD, bias_V, targets_N)
    return total


def _sum_without_gradients(
    states_ND: Tensor, weight_VD: Tensor, bias_V: Tensor | None, targets_N: Tensor
) -> Tensor:
    weight = weight_VD.to(states_ND.dtype)
    total = torch.zeros((), dtype=torch.float32, device=states_ND.device)
    with torch.autocast(states_ND.device.type, enabled=False):
        rows = _rows(states_ND)
        for states, targets in zip(states_ND.split(rows), targets_N.split(rows), strict=True):
            scores = (states @ weight.T).float()
            if bias_V is not None:
                scores += bias_V
            total += (scores.logsumexp(1) - scores.gather(1, targets[:, None])[:, 0]).sum()
    return total


def _rows(states_ND: Tensor) -> int:
    return _ROWS_ON_GPU if states_ND.is_cuda else _ROWS


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
            at_once = _rows(states_ND)
            for start in range(0, len(states_ND), at_once):
                rows = slice(start, start + at_once)
                states, targets = states_ND[rows], targets_N[rows, None]
                scores = (states @ weight.T).float()
                if bias_V is not None:
                    scores += bias_V
                highest = scores.amax(1, keepdim=True)
                slopes = scores.softmax(1)  # one pass; its maximum is exp(highest) / sum
                normalizer = highest - slopes.amax(1, keepdim=True).log()
                total += (normalizer - scores.gather(1, targets)).sum()
                slopes.scatter_add_(1, targets, torch.full_like(highest, -1.0))
                if by_bias is not None:
                    by_bias += slopes.sum(0)
                slopes = slopes.to(states.dtype)
                by_states[rows] = slopes @ weight
                if slopes.dtype == by_weight.dtype:
                    by_weight.addmm_(slopes.T, states)  # one pass over it instead of two
                else:
                    by_weight += slopes.T @ states
        ctx.save_for_backward(by_states, by_weight, by_bias)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        by_states, by_weight, by_bias = ctx.saved_tensors
        by_bias = None if by_bias is None else grad * by_bias
        return grad.to(by_states.dtype) * by_states, grad * by_weight, by_bias, None


def sampled_cross_entropy(
    states_ND: Tensor,
    weight_VD: Tensor,
    bias_V: Tensor,
    targets_N: Tensor,
    sampled_K: Tensor,
    log_counts_K: Tensor,
) -> Tensor:
    """Return an estimate of `linear_cross_entropy` from a sample of the vocabulary.

    Bengio and Senecal, "Adaptive importance sampling to accelerate training of a neural
    probabilistic language model", 2008. The sum over the vocabulary is replaced by the target's own
    term plus those of the sampled words, each divided by its expected count in the sample: the
    estimate of the sum is unbiased.

    Args:
        states_ND: The states to predict from.
        weight_VD: Output weights of every word.
        bias_V: Output bias of every word.
        targets_N: The target words.
        sampled_K: Distinct words, the same for all predictions.
        log_counts_K: Logarithm of each sampled word's expected count.
    """
    apply: Any = _SampledCrossEntropy.apply
    total: Tensor = apply(states_ND, weight_VD, bias_V, targets_N, sampled_K, log_counts_K)
    return total


class _SampledCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - torch's context has no useful type
        states_ND: Tensor,
        weight_VD: Tensor,
        bias_V: Tensor,
        targets_N: Tensor,
        sampled_K: Tensor,
        log_counts_K: Tensor,
    ) -> Tensor:
        dtype = states_ND.dtype
        weight_KD = weight_VD[sampled_K].to(dtype)
        bias_K = bias_V[sampled_K] - log_counts_K
        place_V = torch.full((len(weight_VD),), -1, device=targets_N.device)
        place_V[sampled_K] = torch.arange(len(sampled_K), device=targets_N.device)
        by_states = torch.empty_like(states_ND)
        by_weight = torch.zeros_like(weight_VD)
        by_bias = torch.zeros_like(bias_V)
        by_sampled = torch.zeros(weight_KD.shape, device=weight_VD.device)
        by_sampled_bias = torch.zeros_like(bias_K)
        total = torch.zeros((), dtype=torch.float32, device=states_ND.device)
        with torch.autocast(states_ND.device.type, enabled=False):
            for start in range(0, len(states_ND), _ROWS):
                rows = slice(start, start + _ROWS)
                states, targets = states_ND[rows], targets_N[rows]
                wanted = weight_VD[targets]
                score = (states * wanted).sum(1, dtype=torch.float32) + bias_V[targets]
                scores = (states @ weight_KD.T).float() + bias_K
                places = place_V[targets]
                hit = (places >= 0).nonzero()[:, 0]
                scores[hit, places[hit]] = -torch.inf
                normalizer = torch.logaddexp(scores.logsumexp(1), score)
                total += (normalizer - score).sum()
                slopes = scores.sub_(normalizer[:, None]).exp_()
                slope = (score - normalizer).exp_() - 1.0
                by_sampled_bias += slopes.sum(0)
                by_bias.index_add_(0, targets, slope)
                slopes = slopes.to(dtype)
                by_states[rows] = torch.addcmul(slopes @ weight_KD, slope[:, None], wanted).to(
                    dtype
                )
                by_sampled += slopes.T @ states
                by_weight.index_add_(0, targets, slope[:, None] * states)
        by_weight.index_add_(0, sampled_K, by_sampled)
        by_bias.index_add_(0, sampled_K, by_sampled_bias)
        ctx.save_for_backward(by_states, by_weight, by_bias)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        by_states, by_weight, by_bias = ctx.saved_tensors
        return (
            grad.to(by_states.dtype) * by_states,
            grad * by_weight,
            grad * by_bias,
            None,
            None,
            None,
        )
