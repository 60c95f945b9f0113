"""The embedding layer that a pipeline starts with, and the proof of where it comes from."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from headstart.hub.bundle import Pretrained, Tokenizer
from headstart.hub.proof import Proof, distance, hash_tensors
from headstart.models.word_vectors import WordVectors
from headstart.seeds import derive
from headstart.tasks.pipelines import TextPipeline
from headstart.tokenize.batches import Encoded
from headstart.tokenize.words import UNKNOWN_ID


@dataclass(frozen=True)
class StartingPoint:
    """The embedding layer before training, restricted to the words of the labeled texts.

    Otherwise the optimizer would visit all 400,000 vectors at each step, to change a few.
    """

    tokenizer: Tokenizer
    encoded: Encoded  # ids are rows of `vectors`
    vectors: Tensor  # [used words, width]
    scale: float  # scales the vectors of these texts to a root mean square of 1
    truncated: int = 0
    used: Tensor | None = None  # the used words' rows in `full`
    full: Tensor | None = None  # [vocabulary, width]

    def expand(self, pipeline: TextPipeline, *, frozen: bool) -> None:
        """Give a trained pipeline the full vocabulary; vectors that were not trained stay."""
        if self.full is None or self.used is None:
            return
        full = self.full
        if not frozen:  # trained at a root mean square of 1, stored at the encoder's scale
            tuned = embedded(pipeline)
            moved = (tuned != self.scale * self.vectors).any(1)
            full = full.clone()
            full[self.used[moved]] = tuned[moved] / self.scale
        pipeline.encoder = WordVectors.from_matrix(full)
        pipeline.scale.fill_(self.scale)


def fresh_start(tokenizer: Tokenizer, encoded: Encoded, *, width: int, seed: int) -> StartingPoint:
    """Return a starting point with random vectors for all words of a tokenizer."""
    fresh = torch.Generator().manual_seed(derive(seed, "embeddings"))
    vectors = WordVectors(len(tokenizer.vocabulary), width, generator=fresh)
    return StartingPoint(tokenizer, encoded, vectors.embedding.weight.detach(), scale=1.0)


def pretrained_start(encoder: Pretrained, encoded: Encoded) -> StartingPoint:
    """Return a starting point with the encoder's vectors of the words in encoded texts."""
    full: Tensor = encoder.model.embedding.weight.detach()  # type: ignore[attr-defined]
    ids = np.concatenate([[0, UNKNOWN_ID], encoded.ids])
    used, compact = np.unique(ids, return_inverse=True)
    rows = torch.from_numpy(used)
    smaller = Encoded(compact[2:].astype(np.int32), encoded.offsets)
    vectors = full[rows]
    counts = np.bincount(smaller.ids, minlength=len(used))  # one vector per token takes GBs
    squares = vectors.square().mean(1, dtype=torch.float64).numpy()
    scale = 1.0 / max(float(np.sqrt(np.average(squares, weights=counts))), 1e-12)
    return StartingPoint(encoder.tokenizer, smaller, vectors, scale, used=rows, full=full)


def proof_before(
    encoder: Pretrained,
    start: StartingPoint,
    vectors: Tensor,
    coverage: Mapping[str, Any],
    *,
    frozen: bool,
) -> Proof:
    """Return the proof that a pipeline starts with its encoder's vectors."""
    pretrained = encoder.tensors()["embedding.weight"][start.used]
    expected = pretrained if frozen else start.scale * pretrained
    taken = bool(pretrained.any()) and torch.equal(vectors, expected)
    return Proof(
        encoder=encoder.name,
        tensors_taken=int(taken),
        tensors=1,
        **coverage,
        distance=0.0,
        frozen_before=hash_tensors([vectors]) if frozen else "",
    )


def proof_after(proof: Proof, before: Tensor, after: Tensor) -> Proof:
    """Add to the proof how far training moved the vectors, if at all."""
    return replace(
        proof,
        distance=distance([before], [after]),
        frozen_after=hash_tensors([after]) if proof.frozen_before else "",
    )


def embedded(pipeline: TextPipeline) -> Tensor:
    """Return a pipeline's word vectors `[words, width]`."""
    weight: Tensor = pipeline.encoder.embedding.weight.detach()  # type: ignore[attr-defined]
    return weight
