"""Scores are scikit-learn's, and labels nobody trained on are refused."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score

from headstart.data.labelled import Dataset
from headstart.errors import DataError
from headstart.serve.evaluation import ClassScores, evaluate


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
    assert found.classes[0] == ClassScores("a", precision=0.5, recall=0.5, f1=0.5, rows=2)
    assert found.classes[2] == ClassScores("c", precision=0.0, recall=0.0, f1=0.0, rows=0)


def test_a_label_the_model_cannot_answer():
    with pytest.raises(DataError, match="line 2: label 'z' was not there in training"):
        evaluate(FirstLetter(), Dataset(["a", "b"], ["a", "z"]))
