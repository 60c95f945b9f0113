"""Multilabel classification, any number of labels per text: matrix, loss, thresholds, scores.

Shapes: B texts, D width, C labels.
"""

from collections.abc import Collection, Iterable, Set
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
from headstart.tasks.classification import NAMES, ClassWeight, check_weights, index_labels
from headstart.tasks.linear import logistic_regression
from headstart.tasks.targets import Scores
from headstart.tokenize.batches import Rows

Matrix = NDArray[np.bool_]
_LEAST_POSITIVES = 5  # with fewer texts that have a label, chance would choose its threshold
_HALF = 0.5
_MANY_TEXTS = 0.2  # the share of the validation set


@dataclass(frozen=True)
class LabelSets:
    """Any number of labels per text: a sigmoid and binary cross-entropy for each label.

    Attributes:
        matrix: Which labels each text has `[texts, labels]`.
        weights: Weight of texts with the label relative to texts without it `[labels]`.
    """

    matrix: Matrix
    weights: NDArray[np.float32]

    @property
    def outputs(self) -> int:
        return self.matrix.shape[1]

    def strata(self, different: Rows | None = None) -> list[str]:
        """Stratify texts by their rarest label, so that both sides have every label if possible.

        A text with a label that no other text has is always on the training side. If there are
        many such texts, the validation side would lack their other labels, so these are used as
        their strata instead.
        """
        counted = self.matrix if different is None else self.matrix[different]
        counts, num_texts = counted.sum(0), len(self.matrix)
        if counted[:, counts == 1].any(1).mean() > _MANY_TEXTS:
            counts = np.where(counts == 1, num_texts + 1, counts)
        counts = np.where(self.matrix, counts, num_texts + 2)
        rarest = np.where(self.matrix.any(1), counts.argmin(1), -1)
        return [str(label) for label in rarest]

    def loss(self, scores_BC: Tensor, rows_B: Rows) -> tuple[Tensor, Tensor]:
        """Return the weighted binary cross-entropy, summed over labels, as `(sum, texts)`."""
        total = F.binary_cross_entropy_with_logits(
            scores_BC,
            torch.from_numpy(self.matrix[rows_B].astype(np.float32)),
            pos_weight=torch.from_numpy(self.weights),
            reduction="sum",
        )
        return total, torch.tensor(float(len(rows_B)))

    def mean_loss(self, scores_BC: Scores, rows_B: Rows) -> float:
        scores = scores_BC.astype(np.float64)
        without, having = np.logaddexp(0.0, scores), self.weights * np.logaddexp(0.0, -scores)
        return float(np.where(self.matrix[rows_B], having, without).sum(1).mean())

    def constant(self, rows_B: Rows, *, weighted: bool = False) -> NDArray[np.float64]:
        """Return the logit of each label's share, with half a text added on either side."""
        having = self.matrix[rows_B].sum(0) + _HALF
        logits: NDArray[np.float64] = np.log(having) - np.log(len(rows_B) + 2 * _HALF - having)
        return logits + np.log(self.weights) if weighted else logits

    def calibration_error(self, probabilities_BC: NDArray[np.float64], rows_B: Rows) -> float:
        """Return the expected calibration error of the probabilities of all labels."""
        return calibration_error(probabilities_BC.ravel(), self.matrix[rows_B].ravel())

    def linear(
        self,
        x_BD: Any,  # noqa: ANN401 - an array or a sparse matrix
        rows_B: Rows,
        strength: float,
        *,
        intercept: bool = True,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the weight and bias of a logistic regression for each label.

        For a label that all or none of these texts have, the weight is 0, and the bias, if any,
        comes from its share.
        """
        bias = self.constant(rows_B) if intercept else np.zeros(self.outputs)
        weight = np.zeros((self.outputs, x_BD.shape[1]))
        for label, having in enumerate(self.matrix[rows_B].T):
            if having.any() and not having.all():
                counts = np.where(having, self.weights[label], np.float32(1.0))
                both = logistic_regression(
                    x_BD, having.astype(np.int64), counts, strength, intercept=intercept
                )
                weight[label], bias[label] = both[0][1], both[1][1]
        return weight, bias


def holds_label_sets(labels: Collection[Any]) -> bool:
    """Return whether texts have a list or set of labels rather than one label each."""
    return getattr(labels, "ndim", 1) == 1 and any(map(_is_set, unwrapped(labels)))


def _is_set(label: object) -> bool:
    return isinstance(label, list | tuple | Set | np.ndarray)


def encode_label_sets(label_sets: Collection[Any]) -> tuple[NDArray[Any], Matrix]:
    """Return the sorted labels, and which of them each text has `[texts, labels]`.

    Raises:
        DataError: A text has no list of labels, or its list has a number twice, or all texts have
            the same labels, or the labels cannot be sorted.
    """
    label_sets = unwrapped(label_sets)
    _check_sets(label_sets)
    members = [label for each in label_sets for label in each]
    classes, columns = index_labels(members)
    matrix = np.zeros((len(label_sets), len(classes)), bool)
    matrix[np.repeat(np.arange(len(label_sets)), [len(each) for each in label_sets]), columns] = 1
    if not members or (matrix == matrix[0]).all():
        found = "have no label" if not members else f"have the same labels, {classes.tolist()}"
        raise DataError(f"all texts {found}; there is nothing to learn")
    return classes, matrix


def _check_sets(label_sets: Iterable[Any]) -> None:
    for position, each in enumerate(label_sets):
        if not _is_set(each):
            raise DataError(
                f"label {position} is {each!r}; give every text a list of labels, or every text a "
                "single label"
            )
        numbers = [label for label in each if isinstance(label, int | float | np.number | np.bool_)]
        if len(set(numbers)) < len(numbers):
            twice = max(numbers, key=numbers.count)
            raise DataError(f"label {position} has {twice} twice; {NAMES}")


def label_weights(
    weight: ClassWeight, classes: NDArray[Any], matrix: Matrix
) -> NDArray[np.float32]:
    """Return, for each label, the weight of texts with it relative to texts without it.

    All 1, or taken from a dict, or `"balanced"`: the number of texts without the label divided by
    the number with it.

    Raises:
        DataError: The weights are invalid, or name a label that no text has.
    """
    if weight == "balanced":
        having = matrix.sum(0)
        return np.maximum((len(matrix) - having) / having, 1e-3).astype(np.float32)
    return check_weights(weight, classes)


def label_probabilities(scores_BC: Scores) -> NDArray[np.float64]:
    """Return the sigmoid of each score."""
    from scipy.special import expit  # late: most models do not need it

    shares: NDArray[np.float64] = expit(scores_BC.astype(np.float64))
    return shares


def choose_thresholds(probabilities_BC: NDArray[np.float64], matrix: Matrix) -> NDArray[np.float64]:
    """Return each label's threshold, the probability from which it is predicted, by highest F1.

    The threshold of a label that fewer than five texts have is 0.5, because so few texts would
    choose by chance. Ties are resolved in favor of the threshold nearest to 0.5.
    """
    columns = zip(probabilities_BC.T, matrix.T, strict=True)
    return np.array([_best_threshold(*column) for column in columns])


def _best_threshold(probabilities_B: NDArray[np.float64], having_B: Matrix) -> float:
    if having_B.sum() < _LEAST_POSITIVES:
        return _HALF
    values = np.unique(probabilities_B)
    # If no float lies between two values, use the higher: the lower would include its own texts.
    between = np.maximum(values[:-1] + np.diff(values) / 2, np.nextafter(values[:-1], 1))
    candidates = np.array([_HALF, *between, values[0] / 2])
    ranked, having = np.sort(probabilities_B), np.sort(probabilities_B[having_B])
    given = len(ranked) - np.searchsorted(ranked, candidates)
    right = len(having) - np.searchsorted(having, candidates)
    f1 = 2 * right / (given + len(having))
    best = np.flatnonzero(f1 == f1.max())
    return float(candidates[best[np.abs(candidates[best] - _HALF).argmin()]])


def micro_f1(label_sets: Iterable[Any], predicted: Iterable[Any], weights: ArrayLike) -> float:
    """Return the micro-averaged F1 of sets of labels; 0 if there are no labels on either side.

    Args:
        label_sets: The labels of each text.
        predicted: The predicted labels of each text.
        weights: Weight of each text.

    Raises:
        DataError: A text has no list of labels, or its list has a number twice.
    """
    label_sets = list(unwrapped(label_sets))
    _check_sets(label_sets)
    pairs = [(set(having), set(given)) for having, given in zip(label_sets, predicted, strict=True)]
    right = np.dot(weights, [len(having & given) for having, given in pairs])
    total = np.dot(weights, [len(having) + len(given) for having, given in pairs])
    return float(2 * right / total) if total else 0.0


def label_set_scores(matrix: Matrix, predicted: Matrix) -> dict[str, float]:
    """Return micro- and macro-averaged F1, and the share of texts with all labels correct."""
    right, either = (matrix & predicted).sum(), matrix.sum() + predicted.sum()
    _, _, f1 = scores_by_label(matrix, predicted)
    return {
        "micro_f1": float(2 * right / either) if either else 0.0,
        "macro_f1": float(f1.mean()),
        "subset_accuracy": float((matrix == predicted).all(1).mean()),
    }


def scores_by_label(matrix: Matrix, predicted: Matrix) -> tuple[NDArray[np.float64], ...]:
    """Return precision, recall and F1 of each label `[labels]`, 0 where undefined."""
    right, having, given = (each.sum(0) for each in (matrix & predicted, matrix, predicted))
    shares = ((right, given), (right, having), (2 * right, having + given))
    return tuple(
        np.divide(part, whole, out=np.zeros(len(whole)), where=whole > 0) for part, whole in shares
    )
