"""How far probabilities may be believed, and one number that makes them so.

Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks", ICML 2017
(https://arxiv.org/abs/1706.04599): dividing all scores by a temperature changes no answer, and
brings confidence to accuracy better than anything more elaborate.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

_BINS = 15  # as in the paper
_MOST = 3.0  # the largest logarithm of a temperature: a factor of twenty either way


def fit_temperature(mean_loss: Callable[[float], float], count: int) -> float:
    """Return the temperature that makes held-out texts the most likely; 1 leaves all as it is.

    [ours] The logarithm of the temperature has a standard normal prior. Hundreds of texts outweigh
    it; ten that are all answered right would otherwise ask for a temperature of 0.

    Args:
        mean_loss: Mean negative log-likelihood of the texts, their scores divided by its argument.
        count: Number of texts.
    """

    def cost(log_temperature: float) -> float:
        return count * mean_loss(math.exp(log_temperature)) + log_temperature**2 / 2

    from scipy.optimize import minimize_scalar  # late: prediction does without a second of imports

    found = minimize_scalar(cost, bounds=(-_MOST, _MOST), method="bounded")
    return math.exp(found.x) if found.fun < cost(0.0) else 1.0


def calibration_error(confidences_B: NDArray[np.float64], right_B: NDArray[np.bool_]) -> float:
    """Return the expected calibration error: how far confidence is from accuracy, on average.

    Answers are grouped by confidence into 15 bins of equal width, `(0, 1/15]` to `(14/15, 1]`; the
    groups' distances count by their sizes (Guo et al. 2017, equation 3; Naeini et al. 2015).

    Args:
        confidences_B: The probability of each answer.
        right_B: Whether it is right.
    """
    bins = np.clip(np.ceil(confidences_B * _BINS).astype(np.int64) - 1, 0, _BINS - 1)
    gaps = np.bincount(bins, confidences_B - right_B, minlength=_BINS)
    return float(np.abs(gaps).sum() / max(1, len(confidences_B)))
