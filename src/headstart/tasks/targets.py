"""Targets: the interface between a task and the models that are fitted to it."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from headstart.tokenize.batches import Rows

Scores = NDArray[np.floating[Any]]


class Target(Protocol):
    """The correct answers for texts, and the loss of a model's scores.

    For any task, a model returns `outputs` scores per text; only the target knows whether they are
    logits or values. Shapes: B texts of a batch, C outputs, D features.
    """

    @property
    def outputs(self) -> int:
        """Number of scores per text."""
        ...

    def strata(self, different: Rows | None = None) -> list[str]:
        """Return the name of each text's stratum: texts with similar answers share one.

        Args:
            different: One row of each distinct text, to decide what is rare; None if there are no
                duplicates.
        """
        ...

    def loss(self, scores_BC: Tensor, rows_B: Rows) -> tuple[Tensor, Tensor]:
        """Return the loss of a batch as `(sum, count)`."""
        ...

    def mean_loss(self, scores_BC: Scores, rows_B: Rows) -> float:
        """Return the mean loss of the texts in `rows_B`, by which models are chosen."""
        ...

    def constant(self, rows_B: Rows, *, weighted: bool = False) -> NDArray[np.float64]:
        """Return the best constant scores for these texts `[C]`.

        Args:
            rows_B: The texts.
            weighted: Whether to apply the weights of the loss; otherwise all texts count equally.
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
            intercept: Whether to fit a bias; otherwise it is 0.
        """
        ...
