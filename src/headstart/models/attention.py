"""Attention over packed rows, and dropout that is fast on a CPU; shared by BERT and GPT.

Vaswani et al., "Attention Is All You Need", NeurIPS 2017 (https://arxiv.org/abs/1706.03762). Rows
are packed: a row can hold several texts, which never attend to one another. Shapes: B batch (rows),
T tokens, S tokens attended to, H heads, K head width, D width.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

_ONE = 256  # values of the random byte that decides each drop


def attend(q_BHTK: Tensor, k_BHSK: Tensor, v_BHSK: Tensor, bias: Tensor | None) -> Tensor:
    """Return `softmax(q k' / sqrt(K) + bias) v` `[B, H, T, K]`.

    Each token gets a mean of the values v, weighted by how well its query q matches their keys k.

    On a CPU, plain batched products train faster in bfloat16 than the fused kernel. On a GPU the
    fused kernel is faster, and it never holds all scores in memory.
    """
    if q_BHTK.is_cuda:
        return F.scaled_dot_product_attention(q_BHTK, k_BHSK, v_BHSK, attn_mask=bias)
    scores_BHTS = (q_BHTK * q_BHTK.shape[-1] ** -0.5) @ k_BHSK.transpose(-1, -2)
    if bias is not None:
        scores_BHTS += bias
    return torch.softmax(scores_BHTS, -1, dtype=scores_BHTS.dtype) @ v_BHSK


def split_heads(x_BTD: Tensor, num_heads: int) -> Tensor:
    """Return `[B, H, T, K]`."""
    return x_BTD.unflatten(-1, (num_heads, -1)).transpose(1, 2)


def join_heads(x_BHTK: Tensor) -> Tensor:
    """Return `[B, T, H * K]`."""
    return x_BHTK.transpose(1, 2).flatten(-2)


def attention_bias(sequences_BT: Tensor, *, causal: bool, dtype: torch.dtype) -> Tensor | None:
    """Return the bias added to scores: 0 where a token may attend, minus infinity elsewhere.

    Args:
        sequences_BT: Index of the text each token belongs to, -1 at padding. A token attends only
            to tokens of its own text; padding attends to padding.
        causal: Whether a token attends only to itself and to the tokens on its left.
        dtype: Type of the scores.

    Returns:
        `[B, 1, T, T]`, or `[T, T]` if every row is one text; None if nothing is masked.
    """
    tokens = sequences_BT.shape[1]
    one_text_each = bool((sequences_BT == sequences_BT[:, :1]).all())
    if one_text_each and not causal:
        return None
    allowed = torch.ones(tokens, tokens, dtype=torch.bool, device=sequences_BT.device)
    if causal:
        allowed = allowed.tril()
    if not one_text_each:
        allowed = allowed & (sequences_BT[:, None, :, None] == sequences_BT[:, None, None, :])
    blank = torch.zeros(allowed.shape, dtype=dtype, device=sequences_BT.device)
    return blank.masked_fill_(~allowed, -torch.inf)


def compute_dtype(x: Tensor) -> torch.dtype:
    """Return the type that products of `x` are computed in: autocast's if it is enabled."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype


class LayerNorm(nn.LayerNorm):
    """LayerNorm that keeps bfloat16 on a GPU, where autocast would return float32."""

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` normalized per token, in its own type."""
        if not x.is_cuda or x.dtype == torch.float32:
            return super().forward(x)
        with torch.autocast("cuda", enabled=False):
            weight, bias = self.weight.to(x.dtype), self.bias.to(x.dtype)
            return F.layer_norm(x, self.normalized_shape, weight, bias, self.eps)


class Dropout(nn.Module):
    """Dropout whose masks cost a fifteenth of those of `F.dropout`, which is serial on a CPU.

    Each call draws a new mask. One random byte decides each number, which rounds the rate to a
    multiple of 1/256. The seed of the mask comes from torch's global random stream.

    Args:
        p: Share of the numbers that are set to zero; the others are scaled by `1 / (1 - p)`.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p
        self.dropped = min(round(p * _ONE), _ONE - 1)  # never drop everything

    def extra_repr(self) -> str:
        return f"p={self.p}"

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` with dropout applied in training mode, and `x` itself otherwise."""
        if not (self.training and self.dropped):
            return x
        if x.device.type != "cpu":
            return F.dropout(x, self.dropped / _ONE)
        return x * self._mask(x)

    def _mask(self, x: Tensor) -> Tensor:
        seed = int(torch.randint(1 << 62, ()))
        size = x.numel()
        words = np.random.Generator(np.random.SFC64(seed)).integers(
            -(1 << 63), (1 << 63) - 1, -(-size // 8), dtype=np.int64, endpoint=True
        )
        kept = words.view(np.uint8)[:size] >= self.dropped
        factor = torch.tensor(_ONE / (_ONE - self.dropped), dtype=x.dtype)
        if x.dtype == torch.bfloat16:  # numpy has no bfloat16: use bit patterns
            pattern = np.uint16(factor.view(torch.uint16))
            mask = torch.from_numpy(kept * pattern).view(torch.bfloat16)
        else:
            mask = torch.from_numpy(kept * factor.numpy())
        return mask.view(x.shape)
