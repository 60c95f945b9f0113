"""Early stopping: how every neural method finds its number of steps."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar

from headstart.progress import Progress
from headstart.tasks.targets import Scores
from headstart.tokenize.batches import Rows
from headstart.transfer.methods import Training

LEAST_GAIN = 1e-3  # nats of validation loss; without it, a solved task would train until max_steps
LEAST_PASSES = 3  # epochs, as in the BERT paper, while the learning rate decays to zero
_MOST_PASSES = 50


@dataclass(frozen=True)
class Validation:
    """A model's result on the validation set.

    Attributes:
        loss: Mean loss.
        scores: Scores `[held out, outputs]`.
        rows: The held-out rows of the task.
    """

    loss: float
    scores: Scores
    rows: Rows


class HasLoss(Protocol):
    """A result on the validation set that includes a loss."""

    @property
    def loss(self) -> float: ...


Found = TypeVar("Found", bound=HasLoss)


def search_steps(
    steps: Iterator[int],
    validate: Callable[[], Found],
    training: Training,
    *,
    every: int,
    least_gain: float = LEAST_GAIN,
    progress: Progress,
) -> tuple[int, Found]:
    """Train until the validation loss has not improved for a while.

    Args:
        steps: Trains the model and yields the number of each step; the caller limits it to
            `max_steps`.
        validate: Evaluates the current model on the validation set.
        training: Contains the patience.
        every: Steps between two evaluations.
        least_gain: By how much the loss must fall, in total since the last improvement, to count
            as an improvement. A smaller fall still updates the best step.
        progress: Receives progress updates.

    Returns:
        The step with the lowest loss, and its validation result.
    """
    best_step = 0
    best: Found | None = None
    last_gain, reference = 0, math.inf
    with progress.stage("finding the number of steps", training.max_steps, "steps") as advance:
        for step in steps:
            advance(1)
            if step % every and step < training.max_steps:
                continue
            now = validate()
            if best is None or now.loss < best.loss:
                best_step, best = step, now
            if now.loss < reference - least_gain:
                last_gain, reference = step, now.loss
            elif step - last_gain >= training.patience * every:
                break
    return best_step, best or validate()


def steps_between_looks(training: Training, num_rows: int) -> int:
    """Return the steps between two evaluations: at most two per epoch, as each takes time."""
    return max(training.evaluate_every, num_rows // training.batch_size // 2)


def least_passes(training: Training, labels: int, passes: int = LEAST_PASSES) -> int:
    """Return the steps of the minimum number of epochs, as far as `max_steps` allows.

    With thousands of labels, the search, whose learning rate does not decay, finds its lowest loss
    within the first epoch. With a decaying rate, two more epochs gain a point or more on SST-2. At
    least one full epoch is trained, even beyond `max_steps`, so no label stays unseen.
    """
    one, asked = (-(-each * labels // training.batch_size) for each in (1, passes))
    return max(one, min(training.max_steps, asked))


def most_steps(training: Training, labels: int) -> int:
    """Return the steps of the maximum number of epochs for a whole model.

    With few labels the validation set has only a few texts, and the loss of a misclassified one
    can keep falling slowly for hundreds of steps after the model has memorized all labels. Twenty
    epochs are known to be enough (Mosbach, Andriushchenko and Klakow, "On the Stability of
    Fine-tuning BERT", ICLR 2021, https://arxiv.org/abs/2006.04884).
    """
    passes = -(-_MOST_PASSES * labels // training.batch_size)
    return min(training.max_steps, max(training.min_steps, passes))
