"""Calibration of probabilities: the calibration error, and temperature scaling.

Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks", ICML 2017
(https://arxiv.org/abs/1706.04599): dividing all scores by a temperature changes no prediction, and
calibrates better than more elaborate methods.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

_BINS = 15  # as in the paper
_MOST = 3.0  # the largest logarithm of a temperature: a factor of twenty either way


def fit_temperature(mean_loss: Callable[[float], float], count: int) -> float:
    """Return the temperature that maximizes the likelihood of held-out texts; 1 has no effect.

    [ours] The logarithm of the temperature has a standard normal prior. Hundreds of texts outweigh
    it. Without it, the best temperature for ten texts that are all classified correctly would be 0.

    Args:
        mean_loss: Mean negative log-likelihood of the texts at a given temperature.
        count: Number of texts.
    """

    def cost(log_temperature: float) -> float:
        return count * mean_loss(math.exp(log_temperature)) + log_temperature**2 / 2

    from scipy.optimize import minimize_scalar  # late: a second of imports that prediction avoids

    found = minimize_scalar(cost, bounds=(-_MOST, _MOST), method="bounded")
    return math.exp(found.x) if found.fun < cost(0.0) else 1.0


def calibration_error(confidences_B: NDArray[np.float64], right_B: NDArray[np.bool_]) -> float:
    """Return the expected calibration error: the mean distance between confidence and accuracy.

    Predictions are grouped by confidence into 15 bins of equal width, `(0, 1/15]` to `(14/15, 1]`.
    Bins are weighted by their size (Guo et al. 2017, equation 3; Naeini et al. 2015).

    Args:
        confidences_B: The probability of each prediction.
        right_B: Whether each prediction is correct.
    """
    bins = np.clip(np.ceil(confidences_B * _BINS).astype(np.int64) - 1, 0, _BINS - 1)
    gaps = np.bincount(bins, confidences_B - right_B, minlength=_BINS)
    return float(np.abs(gaps).sum() / max(1, len(confidences_B)))
