"""What BERT and GPT have in common: attention over packed rows, and dropout that is cheap on a CPU.

Vaswani et al., "Attention Is All You Need", NeurIPS 2017 (https://arxiv.org/abs/1706.03762). Rows
are packed: several texts stand in one row and never see one another. Shapes: B batch (rows),
T tokens, H heads, K numbers a head, D width.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

_ONE = 256  # a drop decision looks at one random byte


def attend(q_BHTK: Tensor, k_BHSK: Tensor, v_BHSK: Tensor, bias: Tensor | None) -> Tensor:
    """Mix the values by `softmax(q k' / sqrt(K) + bias)` `[B, H, T, K]`.

    Plain batched products train faster in bfloat16 on a CPU than the fused kernel does; on a GPU
    that kernel is the faster, and never holds all scores.
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
    """Return what is added to scores: 0 where a token may look, minus infinity where not.

    Args:
        sequences_BT: The number of the text each token belongs to, -1 at padding. A token looks at
            tokens of its own text only; padding looks at padding.
        causal: Whether a token looks only at itself and what stands to its left.
        dtype: That of the scores.

    Returns:
        `[B, 1, T, T]`, or `[T, T]` where every row is one text; None if nothing is forbidden.
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
    """Return the type in which products of `x` are computed: autocast's, where it is on."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype


class LayerNorm(nn.LayerNorm):
    """LayerNorm that leaves bfloat16 as it is on a GPU, too, where autocast makes it float32."""

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` with mean and variance of every token's numbers as learnt, in its own type."""
        if not x.is_cuda or x.dtype == torch.float32:
            return super().forward(x)
        with torch.autocast("cuda", enabled=False):
            weight, bias = self.weight.to(x.dtype), self.bias.to(x.dtype)
            return F.layer_norm(x, self.normalized_shape, weight, bias, self.eps)


class Dropout(nn.Module):
    """Dropout whose masks cost a fifteenth of `F.dropout`'s, which is serial on a CPU.

    A mask is drawn afresh each time: one random byte decides on each number, so that the share is
    rounded to a multiple of 1/256. The seed of the mask comes from torch's global stream.

    Args:
        p: Share of the numbers that become zero; the others grow by `1 / (1 - p)`.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p
        self.dropped = min(round(p * _ONE), _ONE - 1)  # never all of them

    def extra_repr(self) -> str:
        return f"p={self.p}"

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` with some of its numbers zero in training, and `x` itself otherwise."""
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
        if x.dtype == torch.bfloat16:  # numpy has none: as bit patterns
            pattern = np.uint16(factor.view(torch.uint16))
            mask = torch.from_numpy(kept * pattern).view(torch.bfloat16)
        else:
            mask = torch.from_numpy(kept * factor.numpy())
        return mask.view(x.shape)
