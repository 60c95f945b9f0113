"""What every encoder offers, ours or anybody's: the one type that transfer is written against."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, Protocol, cast

import torch
from torch import Tensor, nn

Pooling = Literal["cls", "last", "mean"]  # what stands for a whole text


class Encoder(Protocol):
    """Turns tokens into vectors, layer by layer.

    Shapes: B batch, T tokens, D width. Word vectors have one layer, CoVe two, ELMo three, GPT and
    BERT all of theirs; so one mix of layers serves them all. An encoder is also an `nn.Module`.

    Attributes:
        width: Numbers in each vector.
    """

    width: int

    def encode(
        self, ids_BT: Tensor, mask_BT: Tensor, segments_BT: Tensor | None = None
    ) -> list[Tensor]:
        """Return every layer's vectors, bottom up, each `[B, T, width]`.

        Padding changes nothing: vectors where the mask is true depend on no token where it is not.

        Args:
            ids_BT: Token ids, 0 where there is padding.
            mask_BT: True where there is a token.
            segments_BT: 0 for the first text and 1 for the second of a pair, where that matters.
        """
        ...

    def layer_groups(self) -> list[nn.Module]:
        """Return the parts in the order of depth, for freezing and layer-wise learning rates."""
        ...


def is_causal(encoder: Encoder) -> bool:
    """Return whether a token's state knows nothing of the tokens after it, as in decoders."""
    return bool(getattr(encoder, "is_causal", False))


@contextmanager
def evaluating(model: Encoder | nn.Module) -> Iterator[None]:
    """Drop nothing of what a model says meanwhile, and leave its mode as its user set it.

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
    """Return where an encoder computes: it takes ids from anywhere, and leaves its states there."""
    return next(cast("nn.Module", encoder).parameters()).device
