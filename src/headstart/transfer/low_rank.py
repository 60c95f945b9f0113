"""LoRA: the change of a matrix as a product of two thin ones.

Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022
(https://arxiv.org/abs/2106.09685): `W x + (alpha / r) B A x`, with `A` random and `B` zero at the
start, and everything but `A`, `B` and the head frozen.
"""

import math

import torch
from torch import Tensor, nn

from headstart.errors import SettingsError

_ATTENTION = ("attn", "attention")  # in the name of a module or its class
_PROJECTIONS = ("query", "key", "value", "qkv", "out", "q_lin", "k_lin", "v_lin", "out_lin")
_INSIDE = (  # of attention; elsewhere they may be other layers' names
    *("q", "k", "v", "o", "q_proj", "k_proj", "v_proj", "o_proj", "query_proj", "key_proj"),
    *("value_proj", "in_proj", "out_proj", "query_key_value", "Wqkv", "Wo"),
)


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
    """Freeze a model, put low-rank changes on its attention projections, and return those.

    Raises:
        SettingsError: It has no such projection that is a linear layer.
    """
    projections = _attention_projections(model)
    if not projections:
        raise SettingsError(
            f"the transfer 'lora' finds no attention projection in a "
            f"{type(getattr(model, 'transformer', model)).__name__}; use 'finetune' or 'gradual'"
        )
    model.requires_grad_(requires_grad=False)
    parameters: list[nn.Parameter] = []
    for parent, name, layer in projections:
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
    inside = {
        module
        for place, attention in model.named_modules()
        if _is_attention(place, attention)
        for module in attention.modules()
    }
    return [
        (parent, name, child)
        for parent in model.modules()
        for name, child in parent.named_children()
        if isinstance(child, nn.Linear)
        and (name in _PROJECTIONS or (name in _INSIDE and parent in inside))
    ]


def _is_attention(place: str, module: nn.Module) -> bool:
    names = f"{place.rpartition('.')[2]} {type(module).__name__}".lower()
    return any(part in names for part in _ATTENTION)
