"""Linear models on fixed features, shared by all methods that need one."""

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
    """Fit logistic regression; return weight `[classes, features]` and bias `[classes]`.

    The shapes are the same for two classes.

    Args:
        x: The features of each text.
        labels: Class index of each text; every class occurs.
        weights: Weight of each text in the loss.
        strength: Inverse regularization strength.
        intercept: Whether to fit a bias; otherwise it is 0.
    """
    from scipy.sparse import issparse  # both late: a second of imports that prediction avoids
    from sklearn.linear_model import LogisticRegression

    # The tolerance bounds the gradient. Gradients for TF-IDF, whose rows have length 1, are far
    # smaller than those for dense features, which have a root mean square of 1.
    tolerance = 1e-4 if issparse(x) else 1e-3
    model = LogisticRegression(C=strength, max_iter=1000, tol=tolerance, fit_intercept=intercept)
    with (
        threadpool_limits(1, user_api="blas"),  # two threads are ten times slower here
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)
        model.fit(x, labels, sample_weight=weights)
    weight = np.ascontiguousarray(model.coef_, np.float64)  # as after saving and loading
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
    """Fit ridge regression; return weight `[1, features]` and bias `[1]`.

    Args:
        x: The features of each text.
        values: Target of each text, with mean 0 and variance 1.
        strength: Inverse regularization strength: the prior variance of the predictions.
        intercept: Whether to fit a bias; otherwise it is 0.
    """
    from scipy.sparse import issparse  # both late: a second of imports that prediction avoids
    from sklearn.linear_model import Ridge

    squares = x.multiply(x) if issparse(x) else np.square(x)
    penalty = max(float(squares.sum()) / x.shape[0], 1e-9) / strength
    model = Ridge(penalty, fit_intercept=intercept)
    with threadpool_limits(1, user_api="blas"):
        model.fit(x, values)
    weight = np.ascontiguousarray(model.coef_, np.float64)[None]
    return weight, np.array([model.intercept_], np.float64)
