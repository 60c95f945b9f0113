"""The interface of all encoders, built-in or custom: the one type that transfer relies on."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, Protocol, cast

import torch
from torch import Tensor, nn

Pooling = Literal["cls", "last", "mean"]  # what represents a whole text


class Encoder(Protocol):
    """Turns tokens into vectors, layer by layer.

    Shapes: B batch, T tokens, D width. Word vectors have one layer, CoVe two, ELMo three, GPT and
    BERT all of theirs, so one mix of layers works for all. An encoder is also an `nn.Module`.

    Attributes:
        width: Size of each vector.
    """

    width: int

    def encode(
        self, ids_BT: Tensor, mask_BT: Tensor, segments_BT: Tensor | None = None
    ) -> list[Tensor]:
        """Return every layer's vectors, bottom up, each `[B, T, width]`.

        Padding has no effect: vectors where the mask is true do not depend on tokens where it is
        false.

        Args:
            ids_BT: Token ids, 0 at padding.
            mask_BT: True at tokens, False at padding.
            segments_BT: 0 for the first text of a pair and 1 for the second, if they matter.
        """
        ...

    def layer_groups(self) -> list[nn.Module]:
        """Return the parts from bottom to top, for freezing and layer-wise learning rates."""
        ...


def is_causal(encoder: Encoder) -> bool:
    """Return whether a token's state does not depend on later tokens, as in decoders."""
    return bool(getattr(encoder, "is_causal", False))


@contextmanager
def evaluating(model: Encoder | nn.Module) -> Iterator[None]:
    """Switch a model to evaluation mode in this block, then restore the mode of each part.

    Example:
        >>> model = nn.Dropout()
        >>> with evaluating(model):
        ...     model.training
        False
        >>> model.training
        True
    """
    modes = [(part, part.training) for part in cast("nn.Module", model).modules()]
    for part, training in modes:
        if training:
            part.training = False
    try:
        yield
    finally:
        for part, training in modes:
            if part.training != training:
                part.training = training


def device_of(encoder: Encoder) -> torch.device:
    """Return an encoder's device: ids may come from any device, its states stay on this one."""
    return next(cast("nn.Module", encoder).parameters()).device
