"""What a method is fitted to, and what fitting returns."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar

import numpy as np

from headstart.data.overlap import numbered, text_key
from headstart.data.splits import validation_part
from headstart.hub.bundle import Pretrained
from headstart.hub.proof import Proof
from headstart.models.elmo import Elmo
from headstart.tasks.pairs import Pairs, num_sides
from headstart.tasks.targets import Scores, Target
from headstart.tokenize.batches import Encoded, Rows
from headstart.tokenize.pairs import rows_of_sides
from headstart.transfer.fitted import Kept
from headstart.transfer.stopping import HasLoss, Validation

Model = TypeVar("Model", bound=Kept, covariant=True)
Found = TypeVar("Found", bound=HasLoss, covariant=True)


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a method is fitted to.

    Attributes:
        texts: The labelled texts; of pairs, all the first ones and then all the second ones.
        target: What is predicted of each, or of each pair.
        seed: Decides the validation part, the order, and fresh weights.
        max_tokens: How much of a text is read.
        pairs: None for single texts.
    """

    texts: Sequence[str]
    target: Target
    seed: int
    max_tokens: int
    pairs: Pairs = None

    def __len__(self) -> int:
        return len(self.texts) // num_sides(self.pairs)

    def text_rows(self, rows: Rows) -> Rows:
        """Return where in `texts` the sides of some examples stand."""
        return rows_of_sides(rows, len(self), sides=num_sides(self.pairs))

    @cached_property
    def different(self) -> Rows:
        """The number of each text, or pair, the same for those that are the same."""
        keys = list(map(text_key, self.texts))
        if self.pairs is None:
            return numbered(keys)
        pairs = zip(keys[: len(self)], keys[len(self) :], strict=True)
        return numbered(
            tuple(sorted(pair)) if self.pairs == "symmetric" else pair for pair in pairs
        )

    def parts(self, *, seed: int | None = None) -> tuple[Rows, Rows]:
        """Return the rows to fit and the rows to choose by; the same for every method.

        No text, or pair, is in both, where there are enough (`validation_part`).
        """
        strata = self.target.strata(np.unique(self.different, return_index=True)[1])
        return validation_part(strata, self.different, seed=self.seed if seed is None else seed)

    def validate(self, scores: Scores, held_out: Rows) -> Validation:
        """Return what a model said of the validation part, `scores`, with its loss."""
        return Validation(self.target.mean_loss(scores, held_out), scores, held_out)


@dataclass(frozen=True, kw_only=True)
class Fit(Generic[Model, Found]):
    """A fitted model and what its fitting showed.

    Attributes:
        model: The model, fitted to all the labels.
        validation: What the model that was fitted without the validation part said of it.
        chosen: What the validation part chose.
        truncated: Texts cut at `max_tokens`.
        proof: What the model owes to its encoder; None where it has none.
    """

    model: Model
    validation: Found
    chosen: dict[str, Any]
    truncated: int = 0
    proof: Proof | None = None


def coverage(encoder: Pretrained, texts: Sequence[str], encoded: Encoded) -> dict[str, Any]:
    """Say how much of the texts' vocabulary the encoder knows.

    Args:
        encoder: The encoder.
        texts: The texts.
        encoded: What its `ids` returned of them.
    """
    tokenizer = encoder.tokenizer
    if isinstance(encoder.model, Elmo):  # whatever words it predicts, it reads all that there are
        words = len({word for text in texts for word in tokenizer.words(text)})
        share = float(words > 0)
        return {"words_covered": words, "words": words, "tokens_covered": share, "unknown": ()}
    known = encoded.ids != tokenizer.unknown_id
    missing: dict[str, int] = {}
    for row in np.unique(np.searchsorted(encoded.offsets, np.flatnonzero(~known), "right") - 1):
        for word, identity in zip(tokenizer.words(texts[row]), encoded[row], strict=True):
            if identity == tokenizer.unknown_id:
                missing[word] = missing.get(word, 0) + 1
    covered = len(np.unique(encoded.ids[known]))
    return {
        "words_covered": covered,
        "words": covered + len(missing),
        "tokens_covered": float(known.mean()) if len(known) else 0.0,
        "unknown": tuple(sorted(missing, key=lambda word: (-missing[word], word))[:8]),
    }
