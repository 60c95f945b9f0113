"""A number a text: values to a target, loss and scores."""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headstart.errors import DataError
from headstart.tasks.linear import ridge_regression
from headstart.tasks.targets import Scores
from headstart.tokenize.batches import Rows

Values = NDArray[np.float64]
_MOST_STRATA = 10
_TEXTS_A_STRATUM = 5
_LARGEST = 1e100  # whose square is a number still


@dataclass(frozen=True)
class Numbers:
    """One number is right: squared error, in standard deviations of the numbers.

    Attributes:
        values: Each text's number `[texts]`; not all are the same.
    """

    values: Values

    @property
    def outputs(self) -> int:
        return 1

    @cached_property
    def mean(self) -> float:
        """The value of a score of 0."""
        return float(self.values.mean())

    @cached_property
    def scale(self) -> float:
        """How much more the value of a score of 1 is: one standard deviation."""
        return float(self.values.std())

    @cached_property
    def standardized(self) -> Values:
        """The scores that would be right `[texts]`."""
        return (self.values - self.mean) / self.scale

    def strata(self, different: Rows | None = None) -> list[str]:
        """Name each text's tenth of the numbers, in their order; with few texts, fewer parts."""
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
        del weighted  # no text has a weight
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
        DataError: One is no finite number, or all are the same.
    """
    if getattr(values, "ndim", 1) != 1:
        raise DataError(f"numbers must be one column, got an array of shape {values.shape}")  # type: ignore[attr-defined]
    numbers = [value.item() if isinstance(value, np.generic) else value for value in values]
    for position, value in enumerate(numbers):
        if type(value) not in (int, float) or not abs(value) < _LARGEST:
            raise DataError(f"number {position} is {value!r}; give finite numbers only")
    found = np.array(numbers, np.float64)
    if found.size and found.std() <= 1e-12 * np.abs(found).max():
        raise DataError(f"all numbers are {found[0]:g}; there is nothing to learn")
    return found


def regression_scores(values: Values, predicted: Values) -> dict[str, float]:
    """Return R^2, Pearson's and Spearman's correlation, and the root mean squared error.

    R^2 is scikit-learn's: 0 for one who always answers with the mean. Where either side is
    constant no correlation is defined, and 0 stands for it.
    """
    from scipy.stats import rankdata  # late: prediction does without a second of imports

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
    """Say whether all values are equal: less their mean, which is rounded, they need not be 0."""
    return bool(np.ptp(values) == 0)
