"""When to stop: the one rule by which every neural method finds its number of steps."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from headstart.progress import Progress
from headstart.transfer.methods import Training


@dataclass(frozen=True)
class Validation:
    """What a model scored on the validation part.

    Attributes:
        accuracy: Share of right answers.
        loss: Mean negative log probability of the right answer.
        classes: Different answers given; a model that gives one has learned nothing.
    """

    accuracy: float
    loss: float
    classes: int


def search_steps(
    steps: Iterator[int],
    validate: Callable[[], Validation],
    training: Training,
    *,
    every: int,
    least_gain: float = 0.0,
    progress: Progress,
) -> tuple[int, Validation]:
    """Train until the validation part has seen no lower loss for a while.

    Args:
        steps: Trains, yielding the number of each step; the caller limits it to `max_steps`.
        validate: Scores what was trained so far.
        training: How long to wait.
        every: Steps between two looks.
        least_gain: A loss must fall by this much, in all, to count as lower.
        progress: Where progress goes.

    Returns:
        The step with the lowest loss, and the scores there.
    """
    best_step, best = 0, Validation(0.0, math.inf, 0)
    last_gain, reference = 0, math.inf
    with progress.stage("finding the number of steps", training.max_steps, "steps") as advance:
        for step in steps:
            advance(1)
            if step % every and step < training.max_steps:
                continue
            now = validate()
            if now.loss < best.loss:
                best_step, best = step, now
            if now.loss < reference - least_gain:
                last_gain, reference = step, now.loss
            elif step - last_gain >= training.patience * every:
                break
    return best_step, best
