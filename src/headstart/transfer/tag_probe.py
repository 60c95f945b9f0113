"""Linear layers on the frozen states of words. Shapes: N words, D width, K tags."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from headstart.seeds import generator
from headstart.tasks.classification import Classes
from headstart.tasks.taggers import WordStates
from headstart.tokenize.batches import Rows, ranges
from headstart.transfer.tag_task import TagTask

_NEVER = 10.0  # how far the bias of a tag that does not occur is below the lowest other
Floats = NDArray[np.float64]
Linear = tuple[Floats, Floats]  # weight and bias


def probe(
    states: WordStates,
    task: TagTask,
    rows: Rows,
    fit: Callable[[Classes, NDArray[np.float32], Rows], Linear],
    most: int | None = None,
) -> Linear:
    """Return weight `[K, D]` and bias `[K]` of a linear layer fitted to the states of words.

    Args:
        states: The states of all words.
        task: The task, with the tag of each word.
        rows: The sentences to fit.
        fit: Fits the layer to the tags that occur, from states with a root mean square of 1.
        most: Maximum number of words to fit, sampled at random; None for all.
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
        target = Classes(compact, np.ones(len(present), np.float32))
        found, own = fit(target, scale * x, np.arange(len(at)))
        weight[present], bias[present] = scale * found, own
        bias[bias == -_NEVER] += own.min()
    return weight, bias
