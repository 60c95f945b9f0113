"""LoRA: the change of a matrix as a product of two thin ones.

Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022
(https://arxiv.org/abs/2106.09685): `W x + (alpha / r) B A x`, with `A` random and `B` zero at the
start, and everything but `A`, `B` and the head frozen.
"""

import math

import torch
from torch import Tensor, nn

_ATTENTION = ("query", "key", "value", "qkv", "out", "q_lin", "k_lin", "v_lin", "out_lin")


class LowRankLinear(nn.Module):
    """A frozen linear layer with a trainable change of low rank.

    Args:
        frozen: The layer as it was pretrained.
        rank: Width of the thin matrices.
        alpha: The change is scaled by `alpha / rank`.
        generator: Where `A` comes from.
    """

    def __init__(
        self, frozen: nn.Linear, *, rank: int, alpha: float, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.frozen = frozen.requires_grad_(requires_grad=False)
        self.scale = alpha / rank
        bound = math.sqrt(3.0 / frozen.in_features)
        drawn = torch.rand(rank, frozen.in_features, generator=generator).to(frozen.weight.device)
        self.down = nn.Parameter((2 * drawn - 1) * bound)
        self.up = nn.Parameter(drawn.new_zeros(frozen.out_features, rank))

    def forward(self, x: Tensor) -> Tensor:
        changed: Tensor = self.frozen(x) + self.scale * ((x @ self.down.T) @ self.up.T)
        return changed

    def merged(self) -> nn.Linear:
        """Return the plain layer that computes the same."""
        with torch.no_grad():
            self.frozen.weight += self.scale * (self.up @ self.down)
        return self.frozen


def adapt_attention(
    model: nn.Module, *, rank: int, alpha: float, generator: torch.Generator
) -> list[nn.Parameter]:
    """Freeze a model, put low-rank changes on its attention projections, and return those."""
    model.requires_grad_(requires_grad=False)
    parameters: list[nn.Parameter] = []
    for parent, name, layer in _attention_projections(model):
        adapted = LowRankLinear(layer, rank=rank, alpha=alpha, generator=generator)
        setattr(parent, name, adapted)
        parameters += [adapted.down, adapted.up]
    return parameters


def merge(model: nn.Module) -> None:
    """Make every low-rank change part of the matrix it changes."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, LowRankLinear):
                setattr(parent, name, child.merged())


def _attention_projections(model: nn.Module) -> list[tuple[nn.Module, str, nn.Linear]]:
    return [
        (parent, name, child)
        for parent in model.modules()
        for name, child in parent.named_children()
        if isinstance(child, nn.Linear) and name in _ATTENTION
    ]
