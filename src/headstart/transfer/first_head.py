"""The linear layer that fine-tuning of a whole model starts from."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.tasks.targets import Target
from headstart.tokenize.batches import Rows

_STRENGTHS = tuple(10 ** (-half / 2) for half in range(9))  # 1 to 1e-4
_LEFT_TO_LEARN = 0.5  # of the loss of a constant prediction


def first_head(
    target: Target, states_BD: NDArray[np.floating[Any]], rows_B: Rows, *, intercept: bool = True
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return weight `[C, D]` and bias `[C]` of a linear layer fitted to frozen states.

    The first steps of a random layer would damage the pretrained weights (Kumar et al. 2022,
    https://arxiv.org/abs/2202.10054). [ours] The layer is the least regularized one that leaves
    half of the loss to be learned. With few texts and many dimensions, a stronger layer would
    overfit them all, and no gradient would be left to train the encoder. See docs/log.md.

    Args:
        target: The target of each row.
        states_BD: The state that represents each row.
        rows_B: The rows.
        intercept: Whether to fit a bias; otherwise it is 0.
    """
    scale = 1.0 / max(float(np.sqrt(np.square(states_BD).mean())), 1e-12)
    x_BD = scale * states_BD
    unread_BC = np.tile(target.constant(rows_B, weighted=True), (len(rows_B), 1))
    least = _LEFT_TO_LEARN * target.mean_loss(unread_BC, rows_B)
    for strength in _STRENGTHS:
        weight, bias = target.linear(x_BD, rows_B, strength, intercept=intercept)
        if target.mean_loss(x_BD @ weight.T + bias, rows_B) >= least:
            break
    return scale * weight, bias
