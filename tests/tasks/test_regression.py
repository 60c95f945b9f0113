"""Numbers, against scikit-learn and scipy."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import r2_score, root_mean_squared_error

from headstart.errors import DataError
from headstart.tasks.linear import ridge_regression
from headstart.tasks.regression import Numbers, as_numbers, regression_scores

VALUES = np.array([10.0, 30.0, 20.0, 40.0, 25.0])


@pytest.mark.parametrize("values", [[1, 2.5], np.float32([1, 2.5]), (np.int64(1), 2.5)])
def test_numbers(values):
    assert as_numbers(values).tolist() == [1.0, 2.5]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1.0, "2"], "number 1 is '2'; give finite numbers only"),
        ([True, 2.0], "number 0 is True"),
        ([1.0, float("nan")], "number 1 is nan"),
        ([1.0, float("-inf")], "number 1 is -inf"),
        ([1.0, 10**400], "number 1 is 1000"),
        ([1.0, None], "number 1 is None"),
        ([7.0, 7.0], "all numbers are 7; there is nothing to learn"),
        (np.ones((2, 2)), r"shape \(2, 2\)"),
    ],
)
def test_what_is_no_list_of_numbers(values, message):
    with pytest.raises(DataError, match=message):
        as_numbers(values)


def test_scores_are_in_standard_deviations():
    target = Numbers(VALUES)
    assert (target.mean, target.scale, target.outputs) == (25.0, 10.0, 1)
    assert target.standardized.tolist() == [-1.5, 0.5, -0.5, 1.5, 0.0]
    scores, rows = np.array([[0.0], [1.0]]), np.array([3, 0])
    total, count = target.loss(torch.from_numpy(scores), rows)
    assert (total.item(), count.item()) == (1.5**2 + 2.5**2, 2)
    assert target.mean_loss(scores, rows) == (1.5**2 + 2.5**2) / 2
    assert target.constant(rows).tolist() == [0.0]


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=200))
def test_strata_are_parts_of_like_size_in_the_order_of_the_numbers(values):
    strata = np.array([int(part) for part in Numbers(np.array(values)).strata()])
    sizes = np.bincount(strata)
    assert len(sizes) == max(1, min(10, len(values) // 5))
    assert sizes.max() - sizes.min() <= 1
    assert (np.diff(strata[np.argsort(values, kind="stable")]) >= 0).all()


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix])
def test_ridge_regression_solves_its_equation(form):
    random = np.random.default_rng(0)
    x, values = random.normal(size=(30, 4)), random.normal(size=30)
    weight, bias = ridge_regression(form(x), values, 2.0, intercept=False)
    penalty = np.square(x).sum(1).mean() / 2.0
    expected = np.linalg.solve(x.T @ x + penalty * np.eye(4), x.T @ values)
    assert weight == pytest.approx(expected[None], rel=1e-3, abs=1e-4)
    assert bias.tolist() == [0.0]
    shifted = ridge_regression(form(x), values + 5.0, 2.0)
    assert (form(x) @ shifted[0].T + shifted[1]).mean() == pytest.approx(values.mean() + 5.0)


def test_ridge_regression_of_nothing_is_the_mean():
    weight, bias = ridge_regression(np.zeros((3, 2)), np.array([1.0, 2.0, 3.0]), 1.0)
    assert (weight.tolist(), bias.tolist()) == ([[0.0, 0.0]], [2.0])


def test_scores_are_those_of_independent_code():
    random = np.random.default_rng(0)
    values = random.integers(0, 5, 50).astype(float)
    predicted = values + random.normal(size=50)
    found = regression_scores(values, predicted)
    assert found["r2"] == pytest.approx(r2_score(values, predicted))
    assert found["pearson"] == pytest.approx(pearsonr(values, predicted)[0])
    assert found["spearman"] == pytest.approx(spearmanr(values, predicted)[0])
    assert found["rmse"] == pytest.approx(root_mean_squared_error(values, predicted))


@pytest.mark.parametrize("value", [0.1, 1 / 3, 2.3e15 / 7])
def test_constants_are_seen_whatever_their_rounding(value):
    values, others = np.full(7, value), np.arange(7.0)
    assert regression_scores(values, others) == {
        **dict.fromkeys(["r2", "pearson", "spearman"], 0.0),
        "rmse": root_mean_squared_error(values, others),
    }
    assert regression_scores(others, values)["pearson"] == 0.0


@given(st.lists(st.integers(-9, 9), min_size=2, max_size=9, unique=True), st.floats(0.1, 9))
def test_no_correlation_is_above_1(values, times):
    exact = np.array(values, float)
    for sign in (1, -1):
        found = regression_scores(exact, sign * times * exact)
        assert found["pearson"] == pytest.approx(sign)
        assert abs(found["pearson"]) <= 1.0 >= abs(found["spearman"])


def test_scores_of_what_is_too_small_to_square_are_numbers():
    tiny = np.array([0.0, 1e-200])
    assert regression_scores(tiny, tiny)["pearson"] == 0.0


def test_scores_of_constants_are_numbers():
    assert regression_scores(np.ones(3), np.ones(3))["r2"] == 1.0
    assert regression_scores(np.ones(3), np.zeros(3)) == {
        "r2": 0.0,
        "pearson": 0.0,
        "spearman": 0.0,
        "rmse": 1.0,
    }
