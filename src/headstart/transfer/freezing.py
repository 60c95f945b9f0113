"""Which parts of a whole model move, how fast, and from when on."""

from collections.abc import Sequence
from typing import Any

from torch import nn

from headstart.models.interface import Encoder


def layerwise_groups(
    encoder: Encoder, head: Sequence[nn.Module], *, learning_rate: float, layer_decay: float
) -> list[dict[str, Any]]:
    """Return the optimizer's groups: the head's and the top layer's rate, and lower ones below.

    Howard and Ruder 2018 (discriminative fine-tuning); `layer_decay` 1 is one rate for all.
    """
    groups = [{"params": _parameters(head), "lr": learning_rate}]
    for depth, layer in enumerate(reversed(encoder.layer_groups())):
        rate = learning_rate * layer_decay**depth
        groups.append({"params": _parameters([layer]), "lr": rate})
    return [group for group in groups if group["params"]]


def thaw(encoder: Encoder, step: int, *, steps_per_layer: int) -> None:
    """Let as many layers move, from the top, as are due at a step, which counts from 1."""
    due = 1 + (step - 1) // steps_per_layer
    groups = encoder.layer_groups()
    for depth, layer in enumerate(reversed(groups)):
        layer.requires_grad_(depth < due)


def _parameters(modules: Sequence[nn.Module]) -> list[nn.Parameter]:
    return list(nn.ModuleList(modules).parameters())
