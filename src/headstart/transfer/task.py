"""The task that a method is fitted to, and the result of fitting."""

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
        texts: The labeled texts; for pairs, all first texts followed by all second texts.
        target: What to predict for each text or pair.
        seed: Seed of the validation set, the order of examples, and random weights.
        max_tokens: Maximum number of tokens per text, or per pair encoded together.
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
        """Return the indices in `texts` of both sides of the examples in `rows`."""
        return rows_of_sides(rows, len(self), sides=num_sides(self.pairs))

    @cached_property
    def different(self) -> Rows:
        """A number for each text or pair; duplicates have the same number."""
        keys = list(map(text_key, self.texts))
        if self.pairs is None:
            return numbered(keys)
        pairs = zip(keys[: len(self)], keys[len(self) :], strict=True)
        return numbered(
            tuple(sorted(pair)) if self.pairs == "symmetric" else pair for pair in pairs
        )

    def parts(self, *, seed: int | None = None) -> tuple[Rows, Rows]:
        """Return the training and the validation rows, the same for every method.

        If there are enough texts or pairs, none is in both (see `validation_part`).
        """
        strata = self.target.strata(np.unique(self.different, return_index=True)[1])
        return validation_part(strata, self.different, seed=self.seed if seed is None else seed)

    def validate(self, scores: Scores, held_out: Rows) -> Validation:
        """Return a model's scores on the validation set together with its loss."""
        return Validation(self.target.mean_loss(scores, held_out), scores, held_out)


@dataclass(frozen=True, kw_only=True)
class Fit(Generic[Model, Found]):
    """A fitted model and the results of fitting it.

    Attributes:
        model: The model, fitted to all labels.
        validation: Scores on the validation set, from the model fitted without it.
        chosen: Settings chosen on the validation set.
        truncated: Number of texts truncated at `max_tokens`.
        proof: What was transferred from the encoder; None for methods that transfer nothing.
    """

    model: Model
    validation: Found
    chosen: dict[str, Any]
    truncated: int = 0
    proof: Proof | None = None


def coverage(encoder: Pretrained, texts: Sequence[str], encoded: Encoded) -> dict[str, Any]:
    """Return how much of the texts' vocabulary the encoder knows, as fields of a `Proof`.

    Args:
        encoder: The encoder.
        texts: The texts.
        encoded: The result of the encoder's `ids` for the texts.
    """
    tokenizer = encoder.tokenizer
    if isinstance(encoder.model, Elmo):  # it encodes any word, even one it cannot predict
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
