"""How good a fitted model is on labelled data it has not seen."""

from dataclasses import dataclass

import numpy as np
from sklearn.metrics import precision_recall_fscore_support

from headstart.data.labelled import Dataset, check_known_labels
from headstart.progress import SILENT, Progress
from headstart.serve.predictor import Classifier, predict
from headstart.tasks.classification import macro_f1


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
        classes: The scores of each class that the model knows, in its order.
    """

    rows: int
    accuracy: float
    macro_f1: float
    classes: tuple[ClassScores, ...]


def evaluate(
    model: Classifier, dataset: Dataset, *, batch_size: int = 1024, progress: Progress = SILENT
) -> Evaluation:
    """Score a model on labelled texts.

    Raises:
        DataError: A label is none of the model's classes; names the line.
    """
    labels = [str(label) for label in model.classes_]
    check_known_labels(dataset, labels)
    batches = (
        dataset.texts[start : start + batch_size] for start in range(0, len(dataset), batch_size)
    )
    predicted: list[str] = []
    with progress.stage(f"predicting {dataset.source}", len(dataset), "texts") as advance:
        for predictions in predict(model, batches):
            predicted += [prediction.label for prediction in predictions]
            advance(len(predictions))
    columns = precision_recall_fscore_support(
        dataset.labels, predicted, labels=labels, zero_division=0.0
    )
    rows = zip(labels, *(column.tolist() for column in columns), strict=True)
    return Evaluation(
        rows=len(dataset),
        accuracy=float(np.mean(np.array(predicted) == np.array(dataset.labels))),
        macro_f1=macro_f1(dataset.labels, predicted),
        classes=tuple(ClassScores(*row) for row in rows),
    )
