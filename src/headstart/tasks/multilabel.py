"""Several labels a text, or none: label sets to a matrix, loss, thresholds and scores."""

from collections.abc import Collection, Iterable, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.nn import functional as F

from headstart.errors import DataError
from headstart.tasks.calibration import calibration_error
from headstart.tasks.classification import NAMES, ClassWeight, check_weights, index_labels
from headstart.tasks.linear import logistic_regression
from headstart.tasks.targets import Scores
from headstart.tokenize.batches import Rows

Matrix = NDArray[np.bool_]
_LEAST_POSITIVES = 5  # texts that have a label, below which its threshold would be chance's
_HALF = 0.5
_MANY_TEXTS = 0.2  # as many as are validated on


@dataclass(frozen=True)
class LabelSets:
    """Any of several labels are right: a sigmoid and binary cross-entropy for each.

    Attributes:
        matrix: Which labels each text has `[texts, labels]`.
        weights: What a text that has the label counts beside one that has not `[labels]`.
    """

    matrix: Matrix
    weights: NDArray[np.float32]

    @property
    def outputs(self) -> int:
        return self.matrix.shape[1]

    def strata(self, different: Rows | None = None) -> list[str]:
        """Name each text's rarest label, so that every label is in both parts if it can be.

        A text with a label of its own is always in the first part. Where such texts are many, the
        second would lack their other labels: then they are named by these.
        """
        counted = self.matrix if different is None else self.matrix[different]
        counts, num_texts = counted.sum(0), len(self.matrix)
        if counted[:, counts == 1].any(1).mean() > _MANY_TEXTS:
            counts = np.where(counts == 1, num_texts + 1, counts)
        counts = np.where(self.matrix, counts, num_texts + 2)
        rarest = np.where(self.matrix.any(1), counts.argmin(1), -1)
        return [str(label) for label in rarest]

    def loss(self, scores_BC: Tensor, rows_B: Rows) -> tuple[Tensor, Tensor]:
        """Return the weighted binary cross-entropy, added up over labels, as `(sum, texts)`."""
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
        """Return the logits of the labels' shares, half a text added on either side."""
        having = self.matrix[rows_B].sum(0) + _HALF
        logits: NDArray[np.float64] = np.log(having) - np.log(len(rows_B) + 2 * _HALF - having)
        return logits + np.log(self.weights) if weighted else logits

    def calibration_error(self, probabilities_BC: NDArray[np.float64], rows_B: Rows) -> float:
        """Return how far a label's probability is from the share that has it, over all labels."""
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

        Of a label that all of these texts have, or none, only the share is known.
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
    """Say whether each text is given a list or set of labels, rather than one."""
    return getattr(labels, "ndim", 1) == 1 and any(map(_is_set, labels))


def _is_set(label: object) -> bool:
    return isinstance(label, list | tuple | Set | np.ndarray)


def encode_label_sets(label_sets: Collection[Any]) -> tuple[NDArray[Any], Matrix]:
    """Return the sorted labels, and which of them each text has `[texts, labels]`.

    Raises:
        DataError: A text has no list of labels, or has a number twice, all have the same labels, or
            they cannot be ordered.
    """
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
                f"label {position} is {each!r}; give every text a list of labels, or every one a "
                "single label"
            )
        numbers = [label for label in each if isinstance(label, int | float | np.number | np.bool_)]
        if len(set(numbers)) < len(numbers):
            twice = max(numbers, key=numbers.count)
            raise DataError(f"label {position} holds {twice} twice; {NAMES}")


def label_weights(
    weight: ClassWeight, classes: NDArray[Any], matrix: Matrix
) -> NDArray[np.float32]:
    """Return what a text that has a label counts beside one that has not, for each label.

    All 1, or as a dict says, or `"balanced"`: as many texts as have not the label, for each that
    has.

    Raises:
        DataError: The weights name no label of these, or are no weights.
    """
    if weight == "balanced":
        having = matrix.sum(0)
        return np.maximum((len(matrix) - having) / having, 1e-3).astype(np.float32)
    return check_weights(weight, classes)


def label_probabilities(scores_BC: Scores) -> NDArray[np.float64]:
    """Return the sigmoid of each score."""
    from scipy.special import expit  # late: most models have no use for it

    shares: NDArray[np.float64] = expit(scores_BC.astype(np.float64))
    return shares


def choose_thresholds(probabilities_BC: NDArray[np.float64], matrix: Matrix) -> NDArray[np.float64]:
    """Return for each label the probability from which it is given: that of the highest F1.

    A label that fewer than five of these texts have keeps 0.5: so few would choose by chance. Of
    thresholds that are as good, the one nearest to 0.5 is taken.
    """
    columns = zip(probabilities_BC.T, matrix.T, strict=True)
    return np.array([_best_threshold(*column) for column in columns])


def _best_threshold(probabilities_B: NDArray[np.float64], having_B: Matrix) -> float:
    if having_B.sum() < _LEAST_POSITIVES:
        return _HALF
    values = np.unique(probabilities_B)
    # Where there is no number between two, the higher: the lower would let its own texts in.
    between = np.maximum(values[:-1] + np.diff(values) / 2, np.nextafter(values[:-1], 1))
    candidates = np.array([_HALF, *between, values[0] / 2])
    ranked, having = np.sort(probabilities_B), np.sort(probabilities_B[having_B])
    given = len(ranked) - np.searchsorted(ranked, candidates)
    right = len(having) - np.searchsorted(having, candidates)
    f1 = 2 * right / (given + len(having))
    best = np.flatnonzero(f1 == f1.max())
    return float(candidates[best[np.abs(candidates[best] - _HALF).argmin()]])


def micro_f1(label_sets: Iterable[Any], predicted: Iterable[Any], weights: ArrayLike) -> float:
    """Return micro-averaged F1 of the labels themselves; 0 if there are none on either side.

    Args:
        label_sets: The labels each text has.
        predicted: The labels each is given.
        weights: What each text counts.

    Raises:
        DataError: A text has no list of labels, or has a number twice.
    """
    label_sets = list(label_sets)
    _check_sets(label_sets)
    pairs = [(set(having), set(given)) for having, given in zip(label_sets, predicted, strict=True)]
    right = np.dot(weights, [len(having & given) for having, given in pairs])
    total = np.dot(weights, [len(having) + len(given) for having, given in pairs])
    return float(2 * right / total) if total else 0.0


def label_set_scores(matrix: Matrix, predicted: Matrix) -> dict[str, float]:
    """Return micro- and macro-averaged F1, and the share of texts whose labels are all right."""
    right, either = (matrix & predicted).sum(), matrix.sum() + predicted.sum()
    _, _, f1 = scores_by_label(matrix, predicted)
    return {
        "micro_f1": float(2 * right / either) if either else 0.0,
        "macro_f1": float(f1.mean()),
        "subset_accuracy": float((matrix == predicted).all(1).mean()),
    }


def scores_by_label(matrix: Matrix, predicted: Matrix) -> tuple[NDArray[np.float64], ...]:
    """Return precision, recall and F1 of each label `[labels]`; 0 where one is not defined."""
    right, having, given = (each.sum(0) for each in (matrix & predicted, matrix, predicted))
    shares = ((right, given), (right, having), (2 * right, having + given))
    return tuple(
        np.divide(part, whole, out=np.zeros(len(whole)), where=whole > 0) for part, whole in shares
    )
