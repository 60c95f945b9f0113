"""The basis of scores: how many answers each test row holds, and how many of them are right.

Legend: S seeds, R test rows; leading dimensions `...` are methods, budgets or whole simulations.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from types import EllipsisType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headstart.errors import DataError

Array = NDArray[np.float64]
Index = int | slice | EllipsisType | NDArray[Any]


@dataclass(frozen=True)
class Tallies:
    """Right answers and all answers, `[..., S, R]`: a run's score is the ratio of their sums.

    For accuracy, a row holds one answer; for token accuracy, one per token. For span F1, the
    answers are the predicted spans and the true spans, and a span that is both counts as two right
    answers: `2 true positives / (predicted + true)`. Their number can therefore differ by seed and
    by method. `as_tallies` makes and checks them.
    """

    correct: Array
    total: Array

    @classmethod
    def stack(cls, parts: Iterable["Tallies"]) -> "Tallies":
        """Return the tallies stacked along a new first dimension."""
        pairs = [(part.correct, part.total) for part in parts]
        return cls(*(np.stack(arrays) for arrays in zip(*pairs, strict=True)))

    def __getitem__(self, index: Index | tuple[Index, ...]) -> "Tallies":
        return Tallies(self.correct[index], self.total[index])

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of both."""
        return self.correct.shape

    def values(self, about: "Tallies | None" = None) -> Array:
        """Return numbers `[..., S, R]` whose means over rows are the scores, and move like them.

        With other rows, a ratio moves, to first order, like the mean of
        `score + (correct - score * total) / mean(total)` (Woodruff, 1971). If rows hold one answer
        each, these numbers are exactly the answers. A run without answers scores 0, as in
        `conlleval`.

        Args:
            about: The tallies whose scores and means replace each run's own, to linearize several
                runs about the same point.
        """
        about = about or self
        score = divide(about.correct.sum(-1), about.total.sum(-1), otherwise=0)[..., None]
        mean = about.total.mean(-1)[..., None]
        values = score + divide(self.correct - score * self.total, mean, otherwise=0)
        return values.round(12)  # equal values stay equal despite rounding errors


def as_tallies(correct: ArrayLike | Tallies, total: ArrayLike | None = None) -> Tallies:
    """Return tallies of `correct` out of `total` answers, or of 0/1 answers, one per row.

    Raises:
        DataError: The answers are not numbers `[..., seeds, rows]`, or a row has more right answers
            than answers.
    """
    if isinstance(correct, Tallies):
        return correct
    try:
        right = np.asarray(correct, dtype=np.float64)
        every = np.ones_like(right) if total is None else np.asarray(total, dtype=np.float64)
    except ValueError:
        raise DataError(
            "answers differ in their number of seeds or rows; every run needs the same"
        ) from None
    if right.ndim < 2 or 0 in right.shape:
        raise DataError(
            f"answers have shape {list(right.shape)}, expected [..., seeds, rows], all above 0"
        )
    if total is None and not np.isin(right, (0, 1)).all():
        raise DataError("answers must be 1 for a correctly classified row and 0 for any other row")
    if right.shape != every.shape:
        raise DataError(
            f"right answers have shape {list(right.shape)}, but all answers have shape "
            f"{list(every.shape)}; both need every seed and row"
        )
    if not ((right >= 0) & (right <= every) & np.isfinite(every)).all():
        raise DataError("a row's right answers must be between 0 and the number of its answers")
    return Tallies(right, every)


def divide(numerator: Array, denominator: Array, *, otherwise: float) -> Array:
    """Divide, and return `otherwise` where the denominator is 0."""
    shape = np.broadcast_shapes(np.shape(numerator), np.shape(denominator))
    result = np.full(shape, otherwise, dtype=np.float64)
    np.divide(numerator, denominator, out=result, where=np.broadcast_to(denominator > 0, shape))
    return result
