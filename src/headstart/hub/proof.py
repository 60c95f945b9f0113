"""Proof that transfer happened: what was taken over, how far it moved, what stayed as it was."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor

from headstart.errors import DataError, TransferError


@dataclass(frozen=True, kw_only=True)
class Proof:
    """What one fitted model owes to its encoder. It is printed and stored with the model.

    Attributes:
        encoder: The encoder's kind and fingerprint.
        tensors_taken: Tensors of the model that equal the pretrained ones when training starts,
            and are not all zero.
        tensors: Tensors of the encoder.
        words_covered: Distinct words of the labelled texts that the encoder knows.
        words: Distinct words of the labelled texts.
        tokens_covered: Share of the running words that the encoder knows.
        unknown: Some of the frequent words it does not know.
        distance: How far training moved the encoder's weights (of the words in the labelled texts):
            the norm of the change over the norm of the pretrained weights; 0 when frozen.
        frozen_before: Hash of what must stay frozen, before training; empty if nothing must.
        frozen_after: The same after training; empty before it.
    """

    encoder: str
    tensors_taken: int
    tensors: int
    words_covered: int
    words: int
    tokens_covered: float
    unknown: tuple[str, ...]
    distance: float
    frozen_before: str = ""
    frozen_after: str = ""

    @classmethod
    def of_all(
        cls,
        encoder: str,
        tensors: Mapping[str, Tensor],
        known: Mapping[str, Any],
        *,
        frozen: bool = True,
    ) -> Self:
        """Return the proof of a model that starts with all of an encoder.

        Args:
            encoder: Its kind and fingerprint.
            tensors: Its tensors.
            known: What it knows of the labelled texts: the fields of words and tokens.
            frozen: Whether it must stay as it is.
        """
        return cls(
            encoder=encoder,
            tensors_taken=sum(bool(tensor.any()) for tensor in tensors.values()),
            tensors=len(tensors),
            **known,
            distance=0.0,
            frozen_before=hash_tensors(tensors.values()) if frozen else "",
        )

    def after(self, before: Mapping[str, Tensor], now: Mapping[str, Tensor]) -> Self:
        """Say how far training moved the encoder's tensors, or what the frozen ones are now."""
        trained = [now[name] for name in before]
        if self.frozen_before:
            return replace(self, frozen_after=hash_tensors(trained))
        return replace(self, distance=distance(before.values(), trained))

    def check(self) -> None:
        """Check the proof.

        Raises:
            TransferError: Nothing was taken over, or a frozen part changed.
            DataError: The encoder knows no word of the labelled texts.
        """
        if not self.tensors_taken:
            raise TransferError(
                f"no tensor of {self.encoder} was taken over: the model would train from scratch"
            )
        if not self.words_covered:
            raise DataError(
                f"{self.encoder} knows none of the {self.words} words in the labelled texts; "
                "is it of another language, or cased differently?"
            )
        if self.frozen_after and self.frozen_after != self.frozen_before:
            raise TransferError(f"the frozen {self.encoder} changed during training")

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self) | {"unknown": list(self.unknown)}

    def __str__(self) -> str:
        lines = [
            f"encoder        {self.encoder}",
            f"tensors taken  {self.tensors_taken} of {self.tensors}",
            f"vocabulary     {self.words_covered:,} of {self.words:,} words "
            f"({self.words_covered / max(1, self.words):.1%}), {self.tokens_covered:.1%} of tokens",
        ]
        if self.unknown:
            lines.append(f"not known      {', '.join(self.unknown)}")
        if self.frozen_before:
            lines.append(f"frozen part    {self.frozen_before}, unchanged by training")
        else:
            lines.append(f"moved by       {self.distance:.1%} of the pretrained weights' norm")
        return "\n".join(lines)


def hash_tensors(tensors: Iterable[Tensor]) -> str:
    """Return 16 hexadecimal digits that change when any bit of any tensor does."""
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(repr((tensor.dtype, tuple(tensor.shape))).encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]


def distance(before: Iterable[Tensor], after: Iterable[Tensor]) -> float:
    """Return the L2 norm of the change over the L2 norm of `before`."""
    pairs = list(zip(before, after, strict=True))
    moved = sum(float((new - old).square().sum()) for old, new in pairs)
    start = sum(float(old.square().sum()) for old, _ in pairs)
    return (moved / start) ** 0.5 if start else 0.0
