"""How good a fitted model is on labelled data it has not seen."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_fscore_support

from headstart.data.label_sets import check_known_label_sets
from headstart.data.labelled import Labelled, check_known_labels
from headstart.progress import SILENT, Progress
from headstart.serve.predictor import Classifier
from headstart.tasks.calibration import calibration_error
from headstart.tasks.classification import macro_f1
from headstart.tasks.multilabel import label_set_scores, scores_by_label
from headstart.tasks.regression import regression_scores
from headstart.transfer.estimators import TextClassifier
from headstart.transfer.regressor import TextRegressor


@dataclass(frozen=True)
class ClassScores:
    """The scores of one class.

    Attributes:
        label: The class.
        precision: Share of the rows called so that are so.
        recall: Share of the rows that are so that are called so.
        f1: The harmonic mean of the two.
        rows: Rows that are so.
    """

    label: str
    precision: float
    recall: float
    f1: float
    rows: int


@dataclass(frozen=True)
class Evaluation:
    """The scores of a model on a dataset.

    Attributes:
        rows: Rows of the dataset.
        accuracy: Share of them that the model labels right.
        macro_f1: Unweighted mean of the classes' F1.
        calibration_error: How far the probability of the answers is from their accuracy.
        classes: The scores of each class that the model knows, in its order.
    """

    rows: int
    accuracy: float
    macro_f1: float
    calibration_error: float
    classes: tuple[ClassScores, ...]


@dataclass(frozen=True)
class LabelSetEvaluation:
    """The scores of a model that gives several labels.

    Attributes:
        rows: Rows of the dataset.
        micro_f1: F1 of all labels of all rows together.
        macro_f1: Unweighted mean of the labels' F1.
        subset_accuracy: Share of the rows whose labels are all right, and no more.
        calibration_error: How far the labels' probabilities are from the shares that have them.
        classes: The scores of each label that the model knows, in its order.
    """

    rows: int
    micro_f1: float
    macro_f1: float
    subset_accuracy: float
    calibration_error: float
    classes: tuple[ClassScores, ...]


@dataclass(frozen=True)
class NumberEvaluation:
    """The scores of a model that gives numbers.

    Attributes:
        rows: Rows of the dataset.
        r2: Share of the variance that is explained; 0 for one who always answers with the mean.
        pearson: Correlation.
        spearman: Correlation of ranks.
        rmse: Root mean squared error.
    """

    rows: int
    r2: float
    pearson: float
    spearman: float
    rmse: float


def evaluate(
    model: Classifier,
    dataset: Labelled[Any, str],
    *,
    batch_size: int = 1024,
    progress: Progress = SILENT,
) -> Evaluation:
    """Score a model on labelled texts, or pairs of them.

    Raises:
        DataError: A label is none of the model's classes; names the line.
    """
    labels = [str(label) for label in model.classes_]
    check_known_labels(dataset, labels)
    shares = _in_batches(model.predict_proba, dataset, batch_size, progress)
    predicted = np.array(labels)[shares.argmax(1)]
    right = predicted == np.array(dataset.labels)
    scores = precision_recall_fscore_support(
        dataset.labels, predicted, labels=labels, zero_division=0.0
    )
    return Evaluation(
        rows=len(dataset),
        accuracy=float(right.mean()),
        macro_f1=macro_f1(dataset.labels, predicted),
        calibration_error=calibration_error(shares.max(1), right),
        classes=_class_scores(labels, scores),
    )


def evaluate_label_sets(
    model: TextClassifier,
    dataset: Labelled[str, list[str]],
    *,
    batch_size: int = 1024,
    progress: Progress = SILENT,
) -> LabelSetEvaluation:
    """Score a model that gives several labels on texts that have several.

    Raises:
        DataError: A label is none of the model's; names the line.
    """
    labels = [str(label) for label in model.classes_]
    check_known_label_sets(dataset, labels)
    shares = _in_batches(model.predict_proba, dataset, batch_size, progress)
    columns = {label: column for column, label in enumerate(labels)}
    matrix = np.zeros(shares.shape, bool)
    for row, given in enumerate(dataset.labels):
        matrix[row, [columns[label] for label in given]] = True
    predicted = shares >= model.thresholds_
    return LabelSetEvaluation(
        rows=len(dataset),
        **label_set_scores(matrix, predicted),
        calibration_error=calibration_error(shares.ravel(), matrix.ravel()),
        classes=_class_scores(labels, (*scores_by_label(matrix, predicted), matrix.sum(0))),
    )


def evaluate_numbers(
    model: TextRegressor,
    dataset: Labelled[Any, float],
    *,
    batch_size: int = 1024,
    progress: Progress = SILENT,
) -> NumberEvaluation:
    """Score a model that gives numbers on texts, or pairs of them, that have some."""
    predicted = _in_batches(model.predict, dataset, batch_size, progress)
    scores = regression_scores(np.array(dataset.labels, np.float64), predicted)
    return NumberEvaluation(rows=len(dataset), **scores)


def _in_batches(
    answer: Callable[[Sequence[Any]], NDArray[Any]],
    dataset: Labelled[Any, Any],
    batch_size: int,
    progress: Progress,
) -> NDArray[Any]:
    found = []
    with progress.stage(f"predicting {dataset.source}", len(dataset), "texts") as advance:
        for start in range(0, len(dataset), batch_size):
            texts = dataset.texts[start : start + batch_size]
            found.append(answer(texts))
            advance(len(texts))
    return np.concatenate(found)


def _class_scores(
    labels: Sequence[str], columns: Sequence[NDArray[Any]]
) -> tuple[ClassScores, ...]:
    rows = zip(labels, *(column.tolist() for column in columns), strict=True)
    return tuple(ClassScores(*row) for row in rows)
