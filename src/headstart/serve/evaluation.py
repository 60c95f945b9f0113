"""Evaluation of a fitted model on labeled data."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_fscore_support

from headstart.data.labelled import Labelled, check_known_labels
from headstart.data.unseen_labels import UnseenLabels
from headstart.progress import SILENT, Progress
from headstart.serve.predictor import Classifier
from headstart.serve.unknown import UnknownTexts
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
        precision: Share of the rows predicted as this class that belong to it.
        recall: Share of the rows of this class that are predicted as such.
        f1: The harmonic mean of precision and recall.
        rows: Number of rows of this class.
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
        rows: Number of rows in the dataset.
        accuracy: Share of the rows that the model predicts correctly.
        macro_f1: Unweighted mean of the F1 of every class in the dataset or the predictions, as in
            scikit-learn. A class that the model does not know has an F1 of 0.
        calibration_error: How far the predicted probabilities are from the accuracy.
        classes: The scores of each class of the model, in its order, then of the classes of the
            dataset that the model does not know.
        unseen_rows: Rows of such unknown classes; each counts as an error.
    """

    rows: int
    accuracy: float
    macro_f1: float
    calibration_error: float
    classes: tuple[ClassScores, ...]
    unseen_rows: int = 0


@dataclass(frozen=True)
class LabelSetEvaluation:
    """The scores of a model that predicts several labels per text.

    Attributes:
        rows: Number of rows in the dataset.
        micro_f1: F1 over all labels of all rows together.
        macro_f1: Unweighted mean of the labels' F1. A label that the model does not know has an F1
            of 0.
        subset_accuracy: Share of the rows whose predicted labels are exactly the true ones.
        calibration_error: How far the labels' probabilities are from their observed frequencies.
        classes: The scores of each label of the model, in its order, then of the labels of the
            dataset that the model does not know; their probability is 0.
        unseen_rows: Rows with such an unknown label.
    """

    rows: int
    micro_f1: float
    macro_f1: float
    subset_accuracy: float
    calibration_error: float
    classes: tuple[ClassScores, ...]
    unseen_rows: int = 0


@dataclass(frozen=True)
class NumberEvaluation:
    """The scores of a model that predicts numbers.

    Attributes:
        rows: Number of rows in the dataset.
        r2: Share of the variance that is explained; 0 for a model that always predicts the mean.
        pearson: Pearson correlation.
        spearman: Rank correlation.
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
    unseen_labels: UnseenLabels = "refuse",
    batch_size: int = 1024,
    progress: Progress = SILENT,
) -> Evaluation:
    """Score a model on labeled texts or pairs.

    Args:
        model: The model.
        dataset: The texts or pairs.
        unseen_labels: Whether labels that the model does not know raise an error, or count as
            errors of the model with a note to `progress`.
        batch_size: Rows to predict at once.
        progress: Receives progress reports.

    Raises:
        DataError: A label is not one of the model's classes and `unseen_labels` is `refuse`; the
            message names the line.
    """
    known = [str(label) for label in model.classes_]
    for note in check_known_labels(dataset, known, unseen_labels):
        progress.note(note)
    shares = _in_batches(model, model.predict_proba, dataset, batch_size, progress)
    predicted = np.array(known)[shares.argmax(1)]
    right = predicted == np.array(dataset.labels)
    unseen = set(dataset.labels) - set(known)
    labels = [*known, *sorted(unseen)]
    scores = precision_recall_fscore_support(
        dataset.labels, predicted, labels=labels, zero_division=0.0
    )
    return Evaluation(
        rows=len(dataset),
        accuracy=float(right.mean()),
        macro_f1=macro_f1(dataset.labels, predicted),
        calibration_error=calibration_error(shares.max(1), right),
        classes=_class_scores(labels, scores),
        unseen_rows=sum(label in unseen for label in dataset.labels),
    )


def evaluate_label_sets(
    model: TextClassifier,
    dataset: Labelled[str, list[str]],
    *,
    unseen_labels: UnseenLabels = "refuse",
    batch_size: int = 1024,
    progress: Progress = SILENT,
) -> LabelSetEvaluation:
    """Score a model that predicts several labels per text.

    The arguments are those of `evaluate`.

    Raises:
        DataError: A label is not one of the model's and `unseen_labels` is `refuse`; the message
            names the line.
    """
    known = [str(label) for label in model.classes_]
    for note in check_known_labels(dataset, known, unseen_labels):
        progress.note(note)
    shares = _in_batches(model, model.predict_proba, dataset, batch_size, progress)
    predicted = shares >= model.thresholds_
    unseen = sorted(set(chain.from_iterable(dataset.labels)) - set(known))
    shares, predicted = (np.pad(each, ((0, 0), (0, len(unseen)))) for each in (shares, predicted))
    labels = [*known, *unseen]
    columns = {label: column for column, label in enumerate(labels)}
    matrix = np.zeros(shares.shape, bool)
    for row, given in enumerate(dataset.labels):
        matrix[row, [columns[label] for label in given]] = True
    return LabelSetEvaluation(
        rows=len(dataset),
        **label_set_scores(matrix, predicted),
        calibration_error=calibration_error(shares.ravel(), matrix.ravel()),
        classes=_class_scores(labels, (*scores_by_label(matrix, predicted), matrix.sum(0))),
        unseen_rows=int(matrix[:, len(known) :].any(1).sum()),
    )


def evaluate_numbers(
    model: TextRegressor,
    dataset: Labelled[Any, float],
    *,
    batch_size: int = 1024,
    progress: Progress = SILENT,
) -> NumberEvaluation:
    """Score a model that predicts numbers on texts or pairs labeled with numbers."""
    predicted = _in_batches(model, model.predict, dataset, batch_size, progress)
    scores = regression_scores(np.array(dataset.labels, np.float64), predicted)
    return NumberEvaluation(rows=len(dataset), **scores)


def _in_batches(
    model: Classifier | TextRegressor,
    answer: Callable[[Sequence[Any]], NDArray[Any]],
    dataset: Labelled[Any, Any],
    batch_size: int,
    progress: Progress,
) -> NDArray[Any]:
    found, unknown = [], UnknownTexts(model)
    with progress.stage(f"predicting {dataset.source}", len(dataset), "texts") as advance:
        for start in range(0, len(dataset), batch_size):
            texts = dataset.texts[start : start + batch_size]
            unknown.count(texts)
            found.append(answer(texts))
            advance(len(texts))
    for note in unknown.notes():
        progress.note(f"{dataset.source}: {note}")
    return np.concatenate(found)


def _class_scores(
    labels: Sequence[str], columns: Sequence[NDArray[Any]]
) -> tuple[ClassScores, ...]:
    *scores, counts = (column.tolist() for column in columns)
    counts = map(int, counts)  # scikit-learn returns floats if no label is predicted correctly
    rows = zip(labels, *scores, counts, strict=True)
    return tuple(ClassScores(*row) for row in rows)
