"""Regression, one number per text: target, loss and scores.

Shapes: B texts, D width, C = 1 outputs.
"""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headstart.data.in_memory import unwrapped
from headstart.errors import DataError
from headstart.settings import plain
from headstart.tasks.linear import ridge_regression
from headstart.tasks.targets import Scores
from headstart.tokenize.batches import Rows

Values = NDArray[np.float64]
_MOST_STRATA = 10
_TEXTS_A_STRATUM = 5
_LARGEST = 1e100  # its square is still finite


@dataclass(frozen=True)
class Numbers:
    """One number per text: squared error of standardized numbers.

    Attributes:
        values: The number of each text `[texts]`; not all are equal.
    """

    values: Values

    @property
    def outputs(self) -> int:
        return 1

    @cached_property
    def mean(self) -> float:
        """The value that a score of 0 stands for."""
        return float(self.values.mean())

    @cached_property
    def scale(self) -> float:
        """The standard deviation of the values, by which one unit of score changes the value."""
        return float(self.values.std())

    @cached_property
    def standardized(self) -> Values:
        """The correct scores `[texts]`."""
        return (self.values - self.mean) / self.scale

    def strata(self, different: Rows | None = None) -> list[str]:
        """Stratify texts by the decile of their number; with few texts, by fewer quantiles."""
        num_texts = len(self.values) if different is None else len(different)
        parts = max(1, min(_MOST_STRATA, num_texts // _TEXTS_A_STRATUM))
        ranks = np.argsort(np.argsort(self.values, kind="stable"), kind="stable")
        return [str(part) for part in ranks * parts // len(ranks)]

    def loss(self, scores_BC: Tensor, rows_B: Rows) -> tuple[Tensor, Tensor]:
        """Return the squared error as `(sum, texts)`."""
        right_B = torch.from_numpy(self.standardized[rows_B].astype(np.float32))
        return (scores_BC[:, 0] - right_B).square().sum(), torch.tensor(float(len(rows_B)))

    def mean_loss(self, scores_BC: Scores, rows_B: Rows) -> float:
        return float(np.square(scores_BC[:, 0] - self.standardized[rows_B]).mean())

    def constant(self, rows_B: Rows, *, weighted: bool = False) -> Values:
        del weighted  # there are no weights
        return self.standardized[rows_B].mean(keepdims=True)

    def linear(
        self,
        x_BD: Any,  # noqa: ANN401 - an array or a sparse matrix
        rows_B: Rows,
        strength: float,
        *,
        intercept: bool = True,
    ) -> tuple[Values, Values]:
        """Return the weight and bias of ridge regression."""
        return ridge_regression(x_BD, self.standardized[rows_B], strength, intercept=intercept)


def as_numbers(values: Collection[Any]) -> Values:
    """Return the numbers as an array.

    Raises:
        DataError: A value is not a finite number, or all are equal.
    """
    if getattr(values, "ndim", 1) != 1:
        raise DataError(f"numbers must be one column, got an array of shape {values.shape}")  # type: ignore[attr-defined]
    numbers = [plain(value) for value in unwrapped(values)]
    for position, value in enumerate(numbers):
        if type(value) not in (int, float) or not abs(value) < _LARGEST:
            raise DataError(f"number {position} is {value!r}; give finite numbers only")
    found = np.array(numbers, np.float64)
    if found.size and found.std() <= 1e-12 * np.abs(found).max():
        raise DataError(f"all numbers are {found[0]:g}; there is nothing to learn")
    return found


def regression_scores(values: Values, predicted: Values) -> dict[str, float]:
    """Return R^2, Pearson's and Spearman's correlation, and the root mean squared error.

    R^2 is computed as in scikit-learn: always predicting the mean gives 0. If either side is
    constant, the correlations are undefined and reported as 0.
    """
    from scipy.stats import rankdata  # late: a second of imports that prediction avoids

    errors, spread = np.square(values - predicted).sum(), np.square(values - values.mean()).sum()
    varies = spread and not _is_constant(values)
    r2 = 1.0 - errors / spread if varies else float(errors == 0)
    return {
        "r2": float(r2),
        "pearson": _correlation(values, predicted),
        "spearman": _correlation(rankdata(values), rankdata(predicted)),
        "rmse": float(np.sqrt(errors / len(values))),
    }


def _correlation(first: Values, second: Values) -> float:
    if _is_constant(first) or _is_constant(second):
        return 0.0
    first, second = first - first.mean(), second - second.mean()
    sizes = float(np.linalg.norm(first) * np.linalg.norm(second))
    return min(1.0, max(-1.0, float(first @ second) / sizes)) if sizes else 0.0


def _is_constant(values: Values) -> bool:
    """Return whether all values are equal; minus their rounded mean, they need not be exactly 0."""
    return bool(np.ptp(values) == 0)
