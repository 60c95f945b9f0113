"""What a method is fitted to, and what fitting returns."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.data.splits import validation_part
from headstart.hub.bundle import Pretrained
from headstart.hub.proof import Proof
from headstart.models.elmo import Elmo
from headstart.tasks.classification import log_loss
from headstart.transfer.fitted import Fitted
from headstart.transfer.stopping import Validation

Labels = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a method is fitted to.

    Attributes:
        texts: The labelled texts.
        labels: Each one's class index `[texts]`.
        weights: The loss's weight of each class `[classes]`.
        seed: Decides the validation part, the order, and fresh weights.
        max_tokens: How much of a text is read.
    """

    texts: Sequence[str]
    labels: Labels
    weights: NDArray[np.float32]
    seed: int
    max_tokens: int

    def parts(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the rows to fit and the rows to choose by; the same for every method."""
        return validation_part([str(label) for label in self.labels], seed=self.seed)


@dataclass(frozen=True, kw_only=True)
class Fit:
    """A fitted model and what its fitting showed.

    Attributes:
        model: The model, fitted to all the labels.
        validation: Scores of the model that was fitted without the validation part.
        chosen: What the validation part chose.
        truncated: Texts cut at `max_tokens`.
        proof: What the model owes to its encoder; None where it has none.
    """

    model: Fitted
    validation: Validation
    chosen: dict[str, Any]
    truncated: int = 0
    proof: Proof | None = None


def validation_scores(
    predicted: NDArray[np.float64], task: Task, held_out: NDArray[np.int64]
) -> Validation:
    """Score probabilities `[held out, classes]` of the validation part."""
    labels = task.labels[held_out]
    answers = predicted.argmax(1)
    accuracy = float((answers == labels).mean())
    loss = log_loss(predicted, labels, task.weights)
    return Validation(accuracy, loss, len(np.unique(answers)))


def coverage(encoder: Pretrained, texts: Sequence[str]) -> dict[str, Any]:
    """Say how much of the texts' vocabulary the encoder knows."""
    tokenizer = encoder.tokenizer
    if isinstance(encoder.model, Elmo):  # whatever words it predicts, it reads all that there are
        words = len({word for text in texts for word in tokenizer.words(text)})
        share = float(words > 0)
        return {"words_covered": words, "words": words, "tokens_covered": share, "unknown": ()}
    encoded = tokenizer.encode_batch(texts)
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
