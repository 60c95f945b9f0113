"""Single-label classification: class indices, class weights, loss and scores.

Shapes: B texts, D width, C classes.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.nn import functional as F

from headstart.data.in_memory import unwrapped
from headstart.errors import DataError
from headstart.tasks.calibration import calibration_error
from headstart.tasks.linear import logistic_regression
from headstart.tasks.targets import Scores
from headstart.tokenize.batches import Rows

ClassWeight = str | Mapping[Any, float] | None
NAMES = "give the names of a text's labels, not a row of zeros and ones"
_MISSING = {"NAType", "NaTType"}  # of pandas, which is not imported here


@dataclass(frozen=True)
class Classes:
    """Exactly one class per text: softmax and cross-entropy.

    Attributes:
        labels: Class index of each text `[texts]`; every class occurs.
        weights: Weight of each class in the loss `[classes]`.
    """

    labels: NDArray[np.int64]
    weights: NDArray[np.float32]

    @property
    def outputs(self) -> int:
        return len(self.weights)

    def strata(self, different: Rows | None = None) -> list[str]:
        del different  # duplicates do not change the strata
        return [str(label) for label in self.labels]

    def loss(self, scores_BC: Tensor, rows_B: Rows) -> tuple[Tensor, Tensor]:
        """Return the weighted cross-entropy as `(sum, sum of weights)`."""
        labels_B, weights_C = torch.from_numpy(self.labels[rows_B]), torch.from_numpy(self.weights)
        total = F.cross_entropy(scores_BC, labels_B, weight=weights_C, reduction="sum")
        return total, weights_C[labels_B].sum()

    def mean_loss(self, scores_BC: Scores, rows_B: Rows) -> float:
        return log_loss(probabilities(scores_BC), self.labels[rows_B], self.weights)

    def constant(self, rows_B: Rows, *, weighted: bool = False) -> NDArray[np.float64]:
        """Return the logarithm of each class's share."""
        counts = np.bincount(self.labels[rows_B], minlength=self.outputs)
        counted = counts * (self.weights.astype(np.float64) if weighted else 1.0)
        shares: NDArray[np.float64] = np.log(counted / counted.sum())
        return shares

    def calibration_error(self, probabilities_BC: NDArray[np.float64], rows_B: Rows) -> float:
        """Return the expected calibration error of the most probable classes."""
        right_B = probabilities_BC.argmax(1) == self.labels[rows_B]
        return calibration_error(probabilities_BC.max(1), right_B)

    def linear(
        self,
        x_BD: Any,  # noqa: ANN401 - an array or a sparse matrix
        rows_B: Rows,
        strength: float,
        *,
        intercept: bool = True,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the weight and bias of multinomial logistic regression."""
        labels_B = self.labels[rows_B]
        return logistic_regression(
            x_BD, labels_B, self.weights[labels_B], strength, intercept=intercept
        )


def encode_labels(labels: Collection[Any]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return the sorted classes and the class index of each label.

    Raises:
        DataError: There are fewer than two classes, or the labels cannot be sorted.
    """
    classes, indices = index_labels(labels)
    if len(classes) < 2:
        found = f"only {classes.tolist()[0]!r}" if len(classes) else "none"
        raise DataError(f"a classifier needs at least two classes, the labels have {found}")
    return classes, indices


def index_labels(labels: Collection[Any]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return the distinct labels, sorted, and the index of each label among them.

    Raises:
        DataError: A label is missing or not finite, or the labels cannot be sorted.
    """
    labels = unwrapped(labels)
    values = np.asarray(labels)
    if values.ndim != 1:
        many = f"; {NAMES}" if values.ndim == 2 and values.shape[1] > 1 else ""
        raise DataError(f"labels must be one per text, got an array of shape {values.shape}{many}")
    for position, label in enumerate(labels):
        not_finite = isinstance(label, float | np.floating) and not np.isfinite(label)
        if label is None or not_finite or type(label).__name__ in _MISSING:
            raise DataError(f"label {position} is {label}; give every text a label of one type")
    if values.dtype.kind == "T":  # numpy's variable-length text, which saved models cannot hold
        values = np.array(values.tolist())
    try:
        classes, indices = np.unique(values, return_inverse=True)
    except TypeError:
        raise DataError("labels of different types cannot be ordered; use one type") from None
    for position, (given, kept) in enumerate(zip(labels, classes[indices], strict=True)):
        if given != kept:  # numpy turned a list of text and numbers into text
            raise DataError(f"label {position} is {given!r}; give every text a label of one type")
    return classes, indices.astype(np.int64)


def class_weights(
    weight: ClassWeight, classes: NDArray[Any], labels: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Return the weight of each class in the loss: all 1, `"balanced"`, or taken from a dict.

    Raises:
        DataError: The weights are invalid, or name a class that does not occur.
    """
    if weight == "balanced":
        counts = np.bincount(labels, minlength=len(classes))
        return np.asarray(len(labels) / (len(classes) * counts), np.float32)
    return check_weights(weight, classes)


def check_weights(weight: ClassWeight, classes: NDArray[Any]) -> NDArray[np.float32]:
    """Return the weight of each class: all 1, or taken from a dict.

    Raises:
        DataError: The weights are invalid, or name a class that does not occur.
    """
    if weight is None:
        return np.ones(len(classes), np.float32)
    if not isinstance(weight, Mapping):
        raise DataError(f"class_weight must be None, 'balanced' or a dict, got {weight!r}")
    indices = {label: index for index, label in enumerate(classes.tolist())}
    if unknown := [label for label in weight if label not in indices]:
        raise DataError(f"class_weight names {unknown[0]!r}, which is not one of the labels")
    if wrong := [value for value in weight.values() if not 0 < value < np.inf]:
        raise DataError(f"class_weight must be above 0, got {wrong[0]!r}")
    by_index = np.ones(len(classes), np.float32)
    for label, value in weight.items():
        by_index[indices[label]] = value
    return by_index


def probabilities(scores_BC: Scores) -> NDArray[np.float64]:
    """Return the softmax over classes; each row sums to one."""
    scores = scores_BC.astype(np.float64)
    powers = np.exp(scores - scores.max(1, keepdims=True))
    shares: NDArray[np.float64] = powers / powers.sum(1, keepdims=True)
    return shares


def log_loss(
    probabilities_BC: NDArray[np.float64],
    labels_B: NDArray[np.int64],
    weights_C: NDArray[np.float32],
) -> float:
    """Return the weighted mean of `-log p(label)`."""
    chosen = np.clip(probabilities_BC[np.arange(len(labels_B)), labels_B], 1e-12, 1.0)
    return float(np.average(-np.log(chosen), weights=weights_C[labels_B]))


def macro_f1(labels: ArrayLike, predicted: ArrayLike) -> float:
    """Return the unweighted mean of the F1 of all classes; it is 0 for a class never predicted."""
    from sklearn.metrics import f1_score  # late: a second of imports that prediction avoids

    return float(f1_score(labels, predicted, average="macro", zero_division=0))
