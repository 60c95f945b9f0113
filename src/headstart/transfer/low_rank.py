"""LoRA: the update of a weight matrix as a product of two low-rank matrices.

Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022
(https://arxiv.org/abs/2106.09685): `W x + (alpha / r) B A x`. `A` is initialized at random and `B`
with zeros; everything except `A`, `B` and the head is frozen.
"""

import math

import torch
from torch import Tensor, nn

from headstart.errors import SettingsError

_ATTENTION = ("attn", "attention")  # in the name of a module or its class
_PROJECTIONS = ("query", "key", "value", "qkv", "out", "q_lin", "k_lin", "v_lin", "out_lin")
_INSIDE = (  # inside attention only; elsewhere other layers may have these names
    *("q", "k", "v", "o", "q_proj", "k_proj", "v_proj", "o_proj", "query_proj", "key_proj"),
    *("value_proj", "in_proj", "out_proj", "query_key_value", "Wqkv", "Wo"),
)


class LowRankLinear(nn.Module):
    """A frozen linear layer with a trainable low-rank update.

    Args:
        frozen: The pretrained layer.
        rank: Rank of the update.
        alpha: The update is scaled by `alpha / rank`.
        generator: Random generator for the initialization of `A`.
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
        """Merge the update into the weights and return the equivalent linear layer."""
        with torch.no_grad():
            self.frozen.weight += self.scale * (self.up @ self.down)
        return self.frozen


def adapt_attention(
    model: nn.Module, *, rank: int, alpha: float, generator: torch.Generator
) -> list[nn.Parameter]:
    """Freeze a model, add low-rank updates to its attention projections, and return the updates.

    Raises:
        SettingsError: The model has no attention projection that is a linear layer.
    """
    projections = _attention_projections(model)
    if not projections:
        raise SettingsError(
            f"the transfer 'lora' found no attention projection in a "
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
    """Merge all low-rank updates of a model into its weights."""
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
        if not isinstance(parent, nn.MultiheadAttention)  # it reads its layers' weights
        for name, child in parent.named_children()
        if isinstance(child, nn.Linear)
        and (name in _PROJECTIONS or (name in _INSIDE and parent in inside))
    ]


def _is_attention(place: str, module: nn.Module) -> bool:
    names = f"{place.rpartition('.')[2]} {type(module).__name__}".lower()
    return any(part in names for part in _ATTENTION)
