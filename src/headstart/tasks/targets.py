"""What is predicted of texts: the one interface between a task and what is fitted to it."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from headstart.tokenize.batches import Rows

Scores = NDArray[np.floating[Any]]


class Target(Protocol):
    """The right answers for some texts, and what a model's scores lose against them.

    A model gives each text `outputs` scores, whatever is predicted; the task alone knows whether
    they are logits or values. Shapes: B texts of a batch, C outputs, D features.
    """

    @property
    def outputs(self) -> int:
        """Number of scores per text."""
        ...

    def strata(self, different: Rows | None = None) -> list[str]:
        """Return a name for each text such that texts alike in their answer have the same.

        Args:
            different: A row of each different text, by which it is told what is rare; None where
                no text stands twice.
        """
        ...

    def loss(self, scores_BC: Tensor, rows_B: Rows) -> tuple[Tensor, Tensor]:
        """Return the loss of a batch as `(sum, count)`."""
        ...

    def mean_loss(self, scores_BC: Scores, rows_B: Rows) -> float:
        """Return the loss of some of the texts, by which a model is chosen."""
        ...

    def constant(self, rows_B: Rows, *, weighted: bool = False) -> NDArray[np.float64]:
        """Return the best scores for these texts of a model that reads none `[C]`.

        Args:
            rows_B: The texts.
            weighted: Whether best is by the loss, with its weights, and not by the texts' number.
        """
        ...

    def linear(
        self,
        x_BD: Any,  # noqa: ANN401 - an array or a sparse matrix
        rows_B: Rows,
        strength: float,
        *,
        intercept: bool = True,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return weight `[C, D]` and bias `[C]` of the best linear model on fixed features.

        Args:
            x_BD: The features of these texts.
            rows_B: The texts.
            strength: Inverse regularization strength.
            intercept: Whether there is a bias; without one it is 0.
        """
        ...
