"""Scores are scikit-learn's, and labels nobody trained on are refused."""

from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score

from headstart.data.labelled import Dataset, Labelled
from headstart.errors import DataError
from headstart.progress import SILENT
from headstart.serve.evaluation import (
    ClassScores,
    evaluate,
    evaluate_label_sets,
    evaluate_numbers,
)
from headstart.tasks.calibration import calibration_error
from headstart.transfer.estimators import TextClassifier
from headstart.transfer.regressor import TextRegressor


class FirstLetter:
    """Calls a text by its first letter."""

    classes_ = np.array(["a", "b", "c"])

    def predict_proba(self, texts):
        return np.array(
            [[text.startswith(label) for label in self.classes_] for text in texts], float
        )


def test_scores():
    dataset = Dataset(["a1", "a2", "b1", "b2", "b3"], ["a", "b", "b", "b", "a"])
    found = evaluate(FirstLetter(), dataset, batch_size=2)
    predicted = ["a", "a", "b", "b", "b"]
    assert found.rows == 5
    assert found.accuracy == accuracy_score(dataset.labels, predicted)
    assert found.macro_f1 == f1_score(dataset.labels, predicted, average="macro")
    assert found.calibration_error == pytest.approx(2 / 5), "it is certain, and twice wrong"
    assert found.classes[0] == ClassScores("a", precision=0.5, recall=0.5, f1=0.5, rows=2)
    assert found.classes[2] == ClassScores("c", precision=0.0, recall=0.0, f1=0.0, rows=0)


def test_rows_are_whole_numbers_where_no_answer_is_right():
    found = evaluate(FirstLetter(), Dataset(["a", "b"], ["b", "a"]))
    assert [(each.rows, type(each.rows)) for each in found.classes] == [
        (1, int),
        (1, int),
        (0, int),
    ]


def test_a_label_the_model_cannot_answer():
    with pytest.raises(DataError, match="line 2: label 'z' is not in the training data"):
        evaluate(FirstLetter(), Dataset(["a", "b"], ["a", "z"]))


TEXTS = ["fish", "chips", "fish chips", "peas"] * 10
SETS = [["sea"], ["field"], ["field", "sea"], []] * 10


def test_scores_of_several_labels():
    model = TextClassifier(transfer="tfidf").fit(TEXTS, SETS)
    dataset = Labelled(["fish", "chips", "peas"], [["sea"], ["sea"], []])
    found = evaluate_label_sets(model, dataset, batch_size=2)
    assert (found.rows, found.micro_f1, found.subset_accuracy) == (3, 0.5, 2 / 3)
    assert found.macro_f1 == pytest.approx((0 + 2 / 3) / 2)
    assert found.classes == (
        ClassScores("field", precision=0.0, recall=0.0, f1=0.0, rows=0),
        ClassScores("sea", precision=1.0, recall=0.5, f1=pytest.approx(2 / 3), rows=2),
    )
    shares = model.predict_proba(dataset.texts)
    assert 0 < found.calibration_error <= np.abs(shares - [[0, 1], [0, 1], [0, 0]]).mean() + 1e-9
    with pytest.raises(DataError, match="line 2: label 'sky' is not in the training data"):
        evaluate_label_sets(model, Labelled(["fish", "bird"], [["sea"], ["sky"]]))


def test_scores_of_one_label_that_texts_have_or_not():
    model = TextClassifier(transfer="tfidf").fit(
        TEXTS, [["x"] if "fish" in t else [] for t in TEXTS]
    )
    found = evaluate_label_sets(model, Labelled(["fish", "chips", "peas"], [["x"], ["x"], []]))
    assert (found.micro_f1, found.macro_f1) == (pytest.approx(2 / 3), pytest.approx(2 / 3))
    assert [scores.label for scores in found.classes] == ["x"]


def test_scores_of_numbers():
    model = TextRegressor(transfer="tfidf").fit(TEXTS, [1.0, 2.0, 3.0, 4.0] * 10)
    found = evaluate_numbers(model, Labelled(TEXTS[:4], [10.0, 20.0, 30.0, 40.0]), batch_size=3)
    assert (found.rows, found.spearman) == (4, pytest.approx(1.0))
    assert found.pearson == pytest.approx(1.0, abs=0.01)
    assert found.rmse == pytest.approx(np.sqrt(np.mean(np.square([9, 18, 27, 36]))), rel=0.01)
    assert found.r2 < 0


def test_labels_that_training_lacked_count_as_errors_where_that_is_asked_for():
    notes = []
    progress = SimpleNamespace(note=notes.append, stage=SILENT.stage)
    dataset = Dataset(["a1", "a2", "b1", "b2", "b3"], ["a", "z", "b", "b", "y"])
    predicted = ["a", "a", "b", "b", "b"]
    found = evaluate(FirstLetter(), dataset, unseen_labels="count-as-error", progress=progress)
    assert (found.rows, found.unseen_rows) == (5, 2)
    assert found.accuracy == accuracy_score(dataset.labels, predicted) == 3 / 5
    assert found.macro_f1 == f1_score(dataset.labels, predicted, average="macro", zero_division=0)
    assert found.calibration_error == pytest.approx(2 / 5), "it is certain, and twice wrong"
    assert [scores.label for scores in found.classes] == ["a", "b", "c", "y", "z"]
    assert found.classes[4] == ClassScores("z", precision=0.0, recall=0.0, f1=0.0, rows=1)
    assert notes == [
        "data in memory line 2: label 'z' is not in the training data and counts as an error; "
        "such labels: 'y', 'z' (2 rows)"
    ]


def test_sets_of_labels_that_training_lacked_count_as_errors_where_that_is_asked_for():
    model = TextClassifier(transfer="tfidf").fit(TEXTS, SETS)
    texts, labels = ["fish", "fish chips", "peas"], [["sea"], ["field", "sky"], []]
    found = evaluate_label_sets(model, Labelled(texts, labels), unseen_labels="count-as-error")
    columns = ["field", "sea", "sky"]
    truth = np.array([[label in each for label in columns] for each in labels])
    given = np.array([[label in each for label in columns] for each in model.predict(texts)])
    assert (found.rows, found.unseen_rows) == (3, 1)
    assert found.micro_f1 == f1_score(truth, given, average="micro")
    assert found.macro_f1 == pytest.approx(f1_score(truth, given, average="macro", zero_division=0))
    assert found.subset_accuracy == accuracy_score(truth, given) <= 2 / 3
    assert found.classes[2] == ClassScores("sky", precision=0.0, recall=0.0, f1=0.0, rows=1)
    shares = np.column_stack([model.predict_proba(texts), [0, 0, 0]])
    assert found.calibration_error == calibration_error(shares.ravel(), truth.ravel())
