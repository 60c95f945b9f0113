"""Proof that transfer happened: which weights were copied, how far they moved, what stayed."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor

from headstart.errors import DataError, TransferError


@dataclass(frozen=True, kw_only=True)
class Proof:
    """What a fitted model took from its encoder; printed, and stored with the model.

    Attributes:
        encoder: The encoder's kind and fingerprint.
        tensors_taken: Number of the model's tensors that equal the pretrained ones at the start of
            training and are not all zero.
        tensors: Number of the encoder's tensors.
        words_covered: Number of distinct words of the labeled texts that the encoder knows.
        words: Number of distinct words of the labeled texts.
        tokens_covered: Share of all word occurrences that the encoder knows.
        unknown: Some of the frequent words it does not know.
        distance: How far training moved the encoder's weights (for word vectors: those of the words
            in the labeled texts), as the norm of the change over the norm of the pretrained
            weights; 0 when frozen.
        frozen_before: Hash of the frozen part before training; empty if nothing is frozen.
        frozen_after: Hash of the frozen part after training; empty before.
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
        """Return the proof of a model that starts with the whole encoder.

        Args:
            encoder: The encoder's kind and fingerprint.
            tensors: The encoder's tensors.
            known: Its coverage of the labeled texts: the fields about words and tokens.
            frozen: Whether training must not change it.
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
        """Return the proof with the distance that training moved, or the frozen part's new hash."""
        trained = [now[name] for name in before]
        if self.frozen_before:
            return replace(self, frozen_after=hash_tensors(trained))
        return replace(self, distance=distance(before.values(), trained))

    def check(self) -> None:
        """Check the proof.

        Raises:
            TransferError: No weights were taken from the encoder, or a frozen part changed.
            DataError: The encoder knows no word of the labeled texts.
        """
        if not self.tensors_taken:
            raise TransferError(
                f"no tensor of {self.encoder} was copied: the model would train from scratch"
            )
        if not self.words_covered:
            raise DataError(
                f"{self.encoder} knows none of the {self.words} words in the labeled texts; "
                "does it use another language or another casing?"
            )
        if self.frozen_after and self.frozen_after != self.frozen_before:
            raise TransferError(f"the frozen {self.encoder} changed during training")

    def as_dict(self) -> dict[str, Any]:
        """Return the proof as plain values for JSON."""
        return asdict(self) | {"unknown": list(self.unknown)}

    def __str__(self) -> str:
        lines = [
            f"encoder        {self.encoder}",
            f"tensors taken  {self.tensors_taken} of {self.tensors}",
            f"vocabulary     {self.words_covered:,} of {self.words:,} words "
            f"({self.words_covered / max(1, self.words):.1%}), {self.tokens_covered:.1%} of tokens",
        ]
        if self.unknown:
            lines.append(f"unknown        {', '.join(self.unknown)}")
        if self.frozen_before:
            lines.append(f"frozen part    {self.frozen_before}, unchanged by training")
        else:
            lines.append(f"moved by       {self.distance:.1%} of the pretrained weights' norm")
        return "\n".join(lines)


def hash_tensors(tensors: Iterable[Tensor]) -> str:
    """Return a hash of all bits of the tensors, as 16 hexadecimal digits."""
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
