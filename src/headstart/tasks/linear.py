"""Linear models on fixed features, as every method that needs one fits them."""

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits


def logistic_regression(
    x: Any,  # noqa: ANN401 - an array or a sparse matrix
    labels: NDArray[np.int64],
    weights: NDArray[np.float32],
    strength: float,
    *,
    intercept: bool = True,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return weight `[classes, features]` and bias `[classes]`, for two classes too.

    Args:
        x: The features of each text.
        labels: Each one's class index; every class occurs.
        weights: The loss's weight of each text.
        strength: Inverse regularization strength.
        intercept: Whether there is a bias; without one it is 0.
    """
    from scipy.sparse import issparse  # late, both: prediction does without a second of imports
    from sklearn.linear_model import LogisticRegression

    # Where it stops, as a slope: those of tf-idf, whose rows have length 1, are far smaller than
    # those of dense features, whose numbers have a root mean square of 1.
    tolerance = 1e-4 if issparse(x) else 1e-3
    model = LogisticRegression(C=strength, max_iter=1000, tol=tolerance, fit_intercept=intercept)
    with (
        threadpool_limits(1, user_api="blas"),  # so little work is ten times slower on two
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)
        model.fit(x, labels, sample_weight=weights)
    weight = np.ascontiguousarray(model.coef_, np.float64)  # as it is when it was saved and read
    bias = np.ravel(model.intercept_).astype(np.float64)
    if not intercept:
        bias = np.zeros(len(weight))
    if len(model.classes_) == 2:
        weight, bias = np.concatenate([0 * weight, weight]), np.concatenate([0 * bias, bias])
    return weight, bias


def ridge_regression(
    x: Any,  # noqa: ANN401 - an array or a sparse matrix
    values: NDArray[np.float64],
    strength: float,
    *,
    intercept: bool = True,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return weight `[1, features]` and bias `[1]`.

    Args:
        x: The features of each text.
        values: Each one's number, of mean 0 and variance 1.
        strength: Inverse regularization strength: the variance of predictions, a priori.
        intercept: Whether there is a bias; without one it is 0.
    """
    from scipy.sparse import issparse  # late, both: prediction does without a second of imports
    from sklearn.linear_model import Ridge

    squares = x.multiply(x) if issparse(x) else np.square(x)
    penalty = max(float(squares.sum()) / x.shape[0], 1e-9) / strength
    model = Ridge(penalty, fit_intercept=intercept)
    with threadpool_limits(1, user_api="blas"):
        model.fit(x, values)
    weight = np.ascontiguousarray(model.coef_, np.float64)[None]
    return weight, np.array([model.intercept_], np.float64)
