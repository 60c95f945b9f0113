"""When to stop: the one rule by which every neural method finds its number of steps."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar

from headstart.progress import Progress
from headstart.tasks.targets import Scores
from headstart.tokenize.batches import Rows
from headstart.transfer.methods import Training

LEAST_GAIN = 1e-3  # nats of validation loss; without it a solved task is trained on for ever
LEAST_PASSES = 3  # over the labels, as in the paper of BERT; the rate falls to zero meanwhile
_MOST_PASSES = 50


@dataclass(frozen=True)
class Validation:
    """What a model said of the validation part.

    Attributes:
        loss: The mean loss.
        scores: The scores `[held out, outputs]`.
        rows: The held-out rows of the task.
    """

    loss: float
    scores: Scores
    rows: Rows


class HasLoss(Protocol):
    """What a look at the validation part shows: a loss, and more."""

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
    """Train until the validation part has seen no lower loss for a while.

    Args:
        steps: Trains, yielding the number of each step; the caller limits it to `max_steps`.
        validate: Asks what was trained so far.
        training: How long to wait.
        every: Steps between two looks.
        least_gain: A loss must fall by this much, in all, to go on; the lowest one is found all the
            same.
        progress: Where progress goes.

    Returns:
        The step with the lowest loss, and what was said there.
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
    """Look no more than twice in a pass over the labels: a look reads the validation part."""
    return max(training.evaluate_every, num_rows // training.batch_size // 2)


def least_passes(training: Training, labels: int, passes: int = LEAST_PASSES) -> int:
    """Return the steps of the fewest passes over the labels, as far as the most steps allow.

    With thousands of labels the search, at a rate that does not fall, finds its lowest loss within
    the first pass; with a rate that does fall, two more are worth a point and more on SST-2. One
    whole pass is made however few steps there may be: no label is left unseen.
    """
    one, asked = (-(-each * labels // training.batch_size) for each in (1, passes))
    return max(one, min(training.max_steps, asked))


def most_steps(training: Training, labels: int) -> int:
    """Return the steps of the most passes over the labels that a whole model may take.

    Of few labels the validation part is a few texts, and what is said of one that is misread can
    get better by a little for hundreds of steps after all labels are known by heart. Twenty passes
    are known to be enough (Mosbach, Andriushchenko and Klakow, "On the Stability of Fine-tuning
    BERT", ICLR 2021, https://arxiv.org/abs/2006.04884).
    """
    passes = -(-_MOST_PASSES * labels // training.batch_size)
    return min(training.max_steps, max(training.min_steps, passes))
