"""Learning rates and gradual unfreezing of the layers of a whole model."""

from collections.abc import Sequence
from typing import Any, cast

from torch import nn

from headstart.errors import SettingsError
from headstart.models.bert import Bert
from headstart.models.interface import Encoder


def layerwise_groups(
    encoder: Encoder, head: Sequence[nn.Module], *, learning_rate: float, layer_decay: float
) -> list[dict[str, Any]]:
    """Return optimizer groups whose learning rate decays by `layer_decay` per layer from the top.

    The head and the top layer have the full rate. Howard and Ruder 2018 (discriminative
    fine-tuning); a `layer_decay` of 1 means the same rate for all.

    Raises:
        SettingsError: A parameter of the encoder is in no layer group.
    """
    groups: list[dict[str, Any]] = [{"params": _parameters(head), "lr": learning_rate}]
    for depth, layer in enumerate(reversed(encoder.layer_groups())):
        rate = learning_rate * layer_decay**depth
        groups.append({"params": _parameters([layer]), "lr": rate})
    _check_complete(encoder, [each for group in groups for each in group["params"]])
    return [group for group in groups if group["params"]]


def _check_complete(encoder: Encoder, grouped: Sequence[nn.Parameter]) -> None:
    """Check that all parameters are trained, except those of BERT's pretraining heads."""
    heads = [encoder.pooler, encoder.mlm, encoder.nsp] if isinstance(encoder, Bert) else []
    known = {*grouped, *_parameters([head for head in heads if head is not None])}
    for name, parameter in cast("nn.Module", encoder).named_parameters():
        if parameter not in known:
            raise SettingsError(
                f"{name} of the {type(encoder).__name__} is in none of its layer_groups() and "
                "would not be trained; add its module to one, or make it a buffer if it is constant"
            )


def thaw(encoder: Encoder, step: int, *, steps_per_layer: int) -> None:
    """Unfreeze the layers that are due at a step, from the top; steps count from 1."""
    due = 1 + (step - 1) // steps_per_layer
    groups = encoder.layer_groups()
    for depth, layer in enumerate(reversed(groups)):
        layer.requires_grad_(depth < due)


def _parameters(modules: Sequence[nn.Module]) -> list[nn.Parameter]:
    return list(nn.ModuleList(modules).parameters())
