"""Learning rates and gradual unfreezing of the layers of a whole model."""

from collections.abc import Sequence
from typing import Any

from torch import nn

from headstart.models.interface import Encoder


def layerwise_groups(
    encoder: Encoder, head: Sequence[nn.Module], *, learning_rate: float, layer_decay: float
) -> list[dict[str, Any]]:
    """Return optimizer groups whose learning rate decays by `layer_decay` per layer from the top.

    The head and the top layer have the full rate. Howard and Ruder 2018 (discriminative
    fine-tuning); a `layer_decay` of 1 means the same rate for all.
    """
    groups = [{"params": _parameters(head), "lr": learning_rate}]
    for depth, layer in enumerate(reversed(encoder.layer_groups())):
        rate = learning_rate * layer_decay**depth
        groups.append({"params": _parameters([layer]), "lr": rate})
    return [group for group in groups if group["params"]]


def thaw(encoder: Encoder, step: int, *, steps_per_layer: int) -> None:
    """Unfreeze the layers that are due at a step, from the top; steps count from 1."""
    due = 1 + (step - 1) // steps_per_layer
    groups = encoder.layer_groups()
    for depth, layer in enumerate(reversed(groups)):
        layer.requires_grad_(depth < due)


def _parameters(modules: Sequence[nn.Module]) -> list[nn.Parameter]:
    return list(nn.ModuleList(modules).parameters())
