"""Several labels a text, against independent code and plain loops."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.metrics import f1_score, precision_recall_fscore_support

from headstart.data.splits import validation_part
from headstart.errors import DataError
from headstart.tasks.multilabel import (
    LabelSets,
    choose_thresholds,
    encode_label_sets,
    holds_label_sets,
    label_probabilities,
    label_set_scores,
    label_weights,
    micro_f1,
    scores_by_label,
)


def test_label_sets_become_a_matrix():
    classes, matrix = encode_label_sets([["b", "a"], [], {"c"}, ("a", "a"), np.array(["c", "b"])])
    assert classes.tolist() == ["a", "b", "c"]
    assert matrix.astype(int).tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 1], [1, 0, 0], [0, 1, 1]]
    assert encode_label_sets([[2], [1]])[0].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["a", "b"], False),
        ([["a"], []], True),
        ([set(), "a"], True),
        (np.array([["a"], ["b"]]), False),
    ],
)
def test_whether_texts_have_several_labels(labels, expected):
    assert holds_label_sets(labels) == expected


@pytest.mark.parametrize(
    ("label_sets", "message"),
    [
        ([["a"], "b"], "label 1 is 'b'; give every text a list of labels"),
        ([["a"], ["a"]], r"all texts have the same labels, \['a'\]"),
        ([[], []], "all texts have no label"),
        ([["a"], [1]], "one type"),
        ([["a"], [None]], "one type"),
        (
            [[1], [1, 0, 0]],
            "label 1 has 0 twice; give the names of a text's labels, not a row",
        ),
        ([[], np.array([1.0, 0.0, 1.0])], r"label 1 has 1\.0 twice"),
        ([[True, True]], "label 0 has True twice"),
    ],
)
def test_label_sets_that_cannot_be_learnt(label_sets, message):
    with pytest.raises(DataError, match=message):
        encode_label_sets(label_sets)


MATRIX = np.array([[1, 0], [1, 1], [0, 0], [1, 0]], bool)


def test_weights():
    classes = np.array(["a", "b"])
    assert label_weights(None, classes, MATRIX).tolist() == [1, 1]
    assert label_weights({"b": 5}, classes, MATRIX).tolist() == [1, 5]
    assert label_weights("balanced", classes, MATRIX).tolist() == pytest.approx([1 / 3, 3])
    with pytest.raises(DataError, match="class_weight names 'c'"):
        label_weights({"c": 5}, classes, MATRIX)


def test_the_loss_is_that_of_a_plain_loop():
    scores = np.random.default_rng(0).normal(size=(4, 2)).astype(np.float32)
    weights, rows = np.array([2.0, 3.0], np.float32), np.array([3, 1])
    target = LabelSets(MATRIX, weights)
    expected = 0.0
    for row, values in zip(rows, label_probabilities(scores[:2]), strict=True):
        for label, share in enumerate(values):
            expected -= weights[label] * np.log(share) if MATRIX[row, label] else np.log(1 - share)
    total, count = target.loss(torch.from_numpy(scores[:2]), rows)
    assert (total.item(), count.item()) == (pytest.approx(expected, rel=1e-5), 2)
    assert target.mean_loss(scores[:2], rows) == pytest.approx(expected / 2)


def test_the_validation_part_has_every_label_that_it_can_have():
    matrix = np.zeros((10, 3), bool)
    matrix[:, 0], matrix[:5, 1], matrix[0, 2] = True, True, True
    matrix[9] = False
    strata = LabelSets(matrix, np.ones(3, np.float32)).strata()
    assert strata == ["2", "1", "1", "1", "1", "0", "0", "0", "0", "-1"]


def test_frequent_labels_are_in_both_parts_where_many_texts_have_one_of_their_own():
    has = np.arange(200) % 2 == 0
    matrix = np.c_[has, ~has, np.diag(has)[:, has]]
    fitted, validated = validation_part(LabelSets(matrix, np.ones(102)).strata(), seed=0)
    assert matrix[validated, 0].mean() == pytest.approx(matrix[fitted, 0].mean(), abs=0.05)
    thrice = np.repeat(matrix, 3, 0)
    strata = LabelSets(thrice, np.ones(102)).strata(np.arange(0, 600, 3))
    assert strata[::3] == strata[1::3] == LabelSets(matrix, np.ones(102)).strata()
    times = np.where(has, 1, 10)
    first = np.cumsum(times) - times
    strata = LabelSets(np.repeat(matrix, times, 0), np.ones(102)).strata(first)
    assert [strata[row] for row in first] == LabelSets(matrix, np.ones(102)).strata()


def test_a_model_that_reads_nothing_says_how_many_have_each_label():
    target = LabelSets(MATRIX, np.ones(2, np.float32))
    shares = label_probabilities(target.constant(np.arange(4)))
    assert shares == pytest.approx(np.array([3.5 / 5, 1.5 / 5]))


@pytest.mark.parametrize("intercept", [True, False])
def test_the_linear_model_separates_each_label(intercept):
    x = np.where(MATRIX, 1.0, -1.0)
    target = LabelSets(MATRIX, np.ones(2, np.float32))
    weight, bias = target.linear(x, np.arange(4), 100.0, intercept=intercept)
    assert (x @ weight.T + bias > 0).tolist() == MATRIX.tolist()
    assert intercept or not bias.any()


def test_of_a_label_that_all_rows_have_only_the_share_is_known():
    target = LabelSets(MATRIX, np.ones(2, np.float32))
    weight, bias = target.linear(np.eye(2), np.array([0, 3]), 1.0)
    assert not weight.any()
    assert label_probabilities(bias) == pytest.approx(np.array([2.5 / 3, 0.5 / 3]))


@settings(deadline=None, max_examples=100)
def f1(having, said):  # scikit-learn's takes a hundred times as long
    return 2 * (having & said).sum() / max(1, having.sum() + said.sum())


@given(
    arrays.arrays(np.float64, st.integers(1, 40), elements=st.floats(0, 1)),
    st.randoms(use_true_random=False),
)
def test_no_threshold_is_better_than_the_one_chosen(shares, random):
    having = np.array([random.random() < 0.5 for _ in shares])
    (chosen,) = choose_thresholds(shares[:, None], having[:, None])
    if having.sum() < 5:
        assert chosen == 0.5
        return
    scores = {
        threshold: f1(having, shares >= threshold)
        for threshold in {chosen, 0.5, *shares.tolist(), 0.0, 1.1}
    }
    assert scores[chosen] == pytest.approx(max(scores.values()))


def test_of_thresholds_as_good_the_nearest_to_a_half_is_taken():
    shares = np.array([0.1, 0.2, 0.9, 0.91, 0.92, 0.93, 0.94])[:, None]
    assert choose_thresholds(shares, shares > 0.5).tolist() == [0.5]
    assert choose_thresholds(shares / 10, shares > 0.5) == pytest.approx([0.055])


@given(arrays.arrays(bool, st.tuples(st.just(2), st.integers(1, 20), st.integers(1, 4))))
def test_scores_are_those_of_independent_code(answers):
    matrix, predicted = answers
    columns = zip(*scores_by_label(matrix, predicted), strict=True)
    for having, given_, found in zip(matrix.T, predicted.T, columns, strict=True):
        expected = precision_recall_fscore_support(
            having, given_, average="binary", zero_division=0, labels=[True]
        )
        assert found == pytest.approx(expected[:3])
    scores = label_set_scores(matrix, predicted)
    assert scores["micro_f1"] == pytest.approx(
        f1_score(matrix.ravel(), predicted.ravel(), zero_division=0)
    )


def test_scores():
    predicted = np.array([[1, 0], [1, 0], [0, 1], [1, 0]], bool)
    assert label_set_scores(MATRIX, predicted) == pytest.approx(
        {"micro_f1": 6 / 8, "macro_f1": 0.5, "subset_accuracy": 0.5}
    )
    sets = [[["a"], ["a", "b"], [], ["a"]], [["a"], ["a"], ["b"], ["a"]]]
    assert micro_f1(*sets, np.ones(4)) == 6 / 8
    assert micro_f1(*sets, [1, 0, 0, 0]) == 1.0
    assert micro_f1([[]], [[]], [1]) == 0.0


@pytest.mark.parametrize("wrong", ["ab", 1, [1, 0, 0]])
def test_what_is_no_list_of_labels_is_not_scored(wrong):
    with pytest.raises(DataError, match=r"label 1 (is|has)"):
        micro_f1([["a"], wrong], [["a"], ["a", "b"]], np.ones(2))
