"""Logistic regression on the frozen states of words. Shapes: N words, D width, K tags."""

import numpy as np
from numpy.typing import NDArray

from headstart.seeds import generator
from headstart.tasks.linear import logistic_regression
from headstart.tasks.taggers import WordStates
from headstart.tokenize.batches import Rows
from headstart.tokenize.windows import ranges
from headstart.transfer.tag_task import TagTask

_NEVER = 10.0  # how far below all others the score of a tag is that these words have not
Floats = NDArray[np.float64]


def probe(
    states: WordStates, task: TagTask, rows: Rows, strength: float, most: int | None = None
) -> tuple[Floats, Floats]:
    """Return weight `[K, D]` and bias `[K]` of the best linear layer on the states of words.

    Args:
        states: Of all words.
        task: Says what tag each has.
        rows: The sentences to fit.
        strength: Inverse regularization strength.
        most: No more words than this are fitted, chosen at random.
    """
    at = ranges(task.targets.offsets, rows)
    if most is not None and len(at) > most:
        at = generator(task.seed, "probe").choice(at, most, replace=False)
    labels = task.labels[at]
    present, compact = np.unique(labels, return_inverse=True)
    weight = np.zeros((len(task.tags), states.values.shape[1]))
    bias = np.full(len(task.tags), -_NEVER)
    bias[present] = 0.0
    if len(present) > 1:
        x = states.values[at]
        scale = 1.0 / max(float(np.sqrt(np.square(x).mean())), 1e-12)
        ones = np.ones(len(at), np.float32)
        found, own = logistic_regression(scale * x, compact, ones, strength)
        weight[present], bias[present] = scale * found, own
        bias[bias == -_NEVER] += own.min()
    return weight, bias
