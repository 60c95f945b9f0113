import numpy as np
import pyarrow as pa
import pytest
import torch
from sklearn.metrics import log_loss as sklearn_log_loss

from headstart.errors import DataError
from headstart.tasks.classification import (
    Classes,
    class_weights,
    encode_labels,
    log_loss,
    macro_f1,
    probabilities,
)


def test_labels_of_any_sortable_type():
    classes, labels = encode_labels([True, False, True])
    assert classes.tolist() == [False, True]
    assert labels.tolist() == [1, 0, 1]
    assert encode_labels(["b", "01", "1"])[0].tolist() == ["01", "1", "b"]


@pytest.mark.parametrize("labels", [[], ["a", "a"], [["a"], ["b"]]])
def test_labels_that_cannot_be_learnt(labels):
    with pytest.raises(DataError):
        encode_labels(labels)
    with pytest.raises(DataError, match="ordered"):
        encode_labels(np.array(["a", 1], dtype=object))


@pytest.mark.parametrize("name", ["NAType", "NaTType"])
def test_what_pandas_has_for_a_missing_label_is_named(name):
    missing = type(name, (), {"__repr__": lambda _: "<NA>", "__eq__": None, "__lt__": None})()
    with pytest.raises(DataError, match="label 1 is <NA>; give every text a label"):
        encode_labels(np.array(["a", missing, "b"], object))


def test_a_column_of_arrow_is_read():
    classes, labels = encode_labels(pa.chunked_array([["b", "a"], ["b"]]))
    assert (classes.tolist(), labels.tolist()) == (["a", "b"], [1, 0, 1])
    with pytest.raises(DataError, match="label 2 is None"):
        encode_labels(pa.array([1, 2, None]))


def test_text_of_any_length_is_text():
    classes, labels = encode_labels(np.array(["bb", "a"], np.dtypes.StringDType()))
    assert (classes.dtype, classes.tolist(), labels.tolist()) == ("<U2", ["a", "bb"], [1, 0])


def test_a_table_of_labels_is_refused():
    with pytest.raises(DataError, match=r"shape \(2, 1\)$"):
        encode_labels(np.array([["a"], ["b"]]))
    with pytest.raises(DataError, match=r"shape \(2, 2\); give the names of a text's labels"):
        encode_labels(np.eye(2))


def test_class_weights():
    classes, labels = encode_labels(["a", "b", "b", "b"])
    assert class_weights(None, classes, labels).tolist() == [1, 1]
    assert class_weights("balanced", classes, labels).tolist() == pytest.approx([2, 2 / 3])
    assert class_weights({"a": 5}, classes, labels).tolist() == [5, 1]
    for wrong in ({"c": 1}, "heavy"):
        with pytest.raises(DataError, match="class_weight"):
            class_weights(wrong, classes, labels)


def test_loss_and_log_loss_agree_with_independent_code():
    scores = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
    labels = np.array([0, 1, 2, 2, 1, 0, 0])
    weights = np.array([1, 2, 3], np.float32)
    target, rows = Classes(labels, weights), np.arange(7)
    total, count = target.loss(torch.from_numpy(scores), rows)
    expected = sklearn_log_loss(labels, probabilities(scores), sample_weight=weights[labels])
    assert log_loss(probabilities(scores), labels, weights) == pytest.approx(expected)
    assert target.mean_loss(scores, rows) == log_loss(probabilities(scores), labels, weights)
    assert (total / count).item() == pytest.approx(expected, rel=1e-5)


def test_a_model_that_reads_nothing_says_how_often_each_class_is_right():
    target = Classes(np.array([0, 1, 1, 1, 0]), np.ones(2, np.float32))
    shares = probabilities(target.constant(np.arange(4))[None])
    assert shares == pytest.approx(np.array([[0.25, 0.75]]))


def test_macro_f1_counts_a_class_never_predicted():
    assert macro_f1(["a", "a", "b", "b"], ["a", "a", "a", "a"]) == pytest.approx(1 / 3)
