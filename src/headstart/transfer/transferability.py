"""Transferability estimates: how well frozen features suit a task, without training a model.

LogME: how likely the labels are under a Bayesian linear model of the features. H-score: the spread
between the classes relative to that of all features. The probe: the accuracy of logistic regression
on held-out texts.

Each estimate comes with each text's influence on it: N times the estimate minus N - 1 times the
estimate without the text (jackknife pseudo-values, Tukey 1958; for LogME the log probability of
the text's label given all others). Averaging the influences over a bootstrap sample of texts shows
how the estimate varies with the texts, so all bootstraps of all features, paired by text, are one
matrix product. Recomputing the estimate for each sample would take a thousand times as long. It
would also mislead where there are fewer texts than features: a text drawn twice confirms itself.

Shapes: N texts, D width, R rank of the features, C classes, T ratios.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from headstart.seeds import generator
from headstart.tasks.linear import logistic_regression

Array = NDArray[np.float64]
Labels = NDArray[np.int64]

_FOLDS = 5
_STRENGTH = 1.0  # of the probe, within the range that the method `probe` tries
_RATIOS = np.logspace(-10, 6, 49)  # of the noise's variance to the prior's, see `_most_evident`
_MOST_ITERATIONS = 100
_CLOSE = 1e-7
_TINY = np.finfo(np.float64).tiny


class Estimate(NamedTuple):
    """An estimate, and the centered influence of each text on it `[N]`."""

    value: float
    influence_N: Array


class Axes(NamedTuple):
    """Features as coordinates of texts on orthogonal axes, which are unaffected by rotations.

    Attributes:
        u_NR: Left singular vectors.
        squares_R: Squares of the singular values, none of them 0.
        width: Number of features D.
    """

    u_NR: Array
    squares_R: Array
    width: int


def decompose(x_ND: Array, *, center: bool = False) -> Axes:
    """Return the axes of features, without axes that are only rounding errors.

    Args:
        x_ND: The features.
        center: Whether to subtract the mean of the texts first.
    """
    rounding = (x_ND**2).sum() * max(x_ND.shape) * np.finfo(np.float64).eps
    if center:
        x_ND = x_ND - x_ND.mean(0)
    if x_ND.shape[0] <= x_ND.shape[1]:
        squares, u = np.linalg.eigh(x_ND @ x_ND.T)
    else:
        squares, v = np.linalg.eigh(x_ND.T @ x_ND)
        u = x_ND @ v / np.sqrt(squares.clip(_TINY))
    real = squares > rounding
    return Axes(u[:, real], squares[real], x_ND.shape[1])


def transferability(x_ND: Array, labels_N: Labels, *, seed: int) -> dict[str, Estimate]:
    """Return the estimates `logme`, `h_score` and `probe` of features.

    Args:
        x_ND: The features.
        labels_N: Class indices from 0; each class has a text.
        seed: Seed of the probe's folds, which do not depend on the features.
    """
    centered = decompose(x_ND, center=True)
    return {
        "logme": log_evidence(decompose(x_ND), labels_N),
        "h_score": h_score(centered, labels_N),
        "probe": probe_accuracy(centered, labels_N, seed=seed),
    }


def log_evidence(axes: Axes, labels_N: Labels) -> Estimate:
    """Return LogME: the maximum log evidence per text, averaged over one-vs-rest labels.

    You, Liu, Wang and Long, "LogME: Practical Assessment of Pre-trained Models for Transfer
    Learning", ICML 2021 (https://arxiv.org/abs/2102.11005), with the fixed-point iteration of You,
    Liu, Zhang, Wang, Jordan and Long, "Ranking and Tuning Pre-trained Models", JMLR 2022. [ours]
    The iteration starts from the best point of a grid, and the ratio of variances stays within the
    grid, because the evidence has no maximum if the labels are a linear function of the features.
    """
    u_NR, num_texts = axes.u_NR, len(labels_N)
    targets_NC = np.eye(labels_N.max() + 1)[labels_N]
    z_CR = targets_NC.T @ u_NR
    rest_C = (targets_NC.sum(0) - (z_CR**2).sum(1)).clip(0)  # of the labels, unexplained
    kept_CR = _most_evident(axes.squares_R, z_CR, rest_C, num_texts)
    variance_C = (((1 - kept_CR) * z_CR**2).sum(1) + rest_C) / num_texts  # of the noise: 1 / beta
    value = _evidence(kept_CR, variance_C, num_texts).mean()

    error_NC = targets_NC - u_NR @ (kept_CR * z_CR).T
    free_NC = (1 - u_NR**2 @ kept_CR.T).clip(_CLOSE)
    # Given all other texts, a label has mean y - error / free and variance v / free.
    added_N = (np.log(free_NC / variance_C) - error_NC**2 / (free_NC * variance_C)).mean(1) / 2
    return Estimate(float(value), added_N - added_N.mean())


def _most_evident(squares_R: Array, z_CR: Array, rest_C: Array, num_texts: int) -> Array:
    """Return the share of each axis that ridge regression keeps at the highest evidence `[C, R]`.

    Shares are `s / (s + t)`, where t is the ratio of the noise variance to the prior variance.
    """
    if not len(squares_R):
        return np.zeros(z_CR.shape)
    ratios_T = squares_R.mean() * _RATIOS
    kept_TR = squares_R / (squares_R + ratios_T[:, None])
    variance_TC = ((1 - kept_TR) @ (z_CR**2).T + rest_C) / num_texts
    ratio_C = ratios_T[_evidence(kept_TR[:, None], variance_TC, num_texts).argmax(0)]
    for _ in range(_MOST_ITERATIONS):
        kept_CR = squares_R / (squares_R + ratio_C[:, None])
        error_C = (((1 - kept_CR) * z_CR) ** 2).sum(1) + rest_C
        length_C = ((kept_CR * z_CR) ** 2 / squares_R).sum(1)  # squared, of the mean weights
        free_C = (1 - kept_CR).sum(1) + num_texts - len(squares_R)
        next_C = kept_CR.sum(1) * error_C / (free_C * length_C).clip(_TINY)
        next_C = next_C.clip(ratios_T[0], ratios_T[-1])
        close = np.abs(np.log(next_C / ratio_C)).max() < _CLOSE
        ratio_C = next_C
        if close:
            break
    return squares_R / (squares_R + ratio_C[:, None])


def _evidence(kept_XR: Array, variance_X: Array, num_texts: int) -> Array:
    """Return the log evidence per text, given the shares kept and the noise variance."""
    likelihood = -(np.log(2 * np.pi * variance_X) + 1) / 2
    return likelihood + np.log1p(-kept_XR).sum(-1) / (2 * num_texts)


def h_score(centered: Axes, labels_N: Labels, *, shrinkage: float | None = None) -> Estimate:
    """Return the H-score: the trace of the class means' covariance over that of the features.

    Bao, Li, Huang, Zhang, Zheng, Zamir and Guibas, "An Information-Theoretic Approach to
    Transferability in Task Transfer Learning", ICIP 2019, with the shrunk covariance of Ibrahim,
    Ponomareva and Mazumder, "Newer is not always better", 2021 (https://arxiv.org/abs/2110.06893).
    It is computed in an equivalent form, from the shares of the classes that ridge regression
    explains, and lies between 0 and the number of classes minus one.

    Args:
        centered: The axes of features whose mean is 0.
        labels_N: Class indices from 0; each class has a text.
        shrinkage: How far the covariance is shrunk to a multiple of the identity, from 0 to 1; the
            estimate of Ledoit and Wolf if None.
    """
    u_NR, squares_R, width = centered
    num_texts = len(labels_N)
    share, shares_N = _ledoit_wolf(centered)
    if shrinkage is not None:
        share, shares_N = shrinkage, np.full(num_texts, shrinkage)
    ball = squares_R.sum() / width
    mixed_R = (1 - share) * squares_R + share * ball
    kept_R = (1 - share) * squares_R / mixed_R
    targets_NC = np.eye(labels_N.max() + 1)[labels_N]
    counts_C = targets_NC.sum(0)
    z_CR = targets_NC.T @ u_NR
    explained_R = (z_CR**2 / counts_C[:, None]).sum(0)
    value = kept_R @ explained_R

    error_NC = targets_NC - counts_C / num_texts - u_NR @ (kept_R * z_CR).T
    free_N = (1 - 1 / num_texts - u_NR**2 @ kept_R).clip(_CLOSE)
    cost_C = counts_C * (1 - counts_C / num_texts) - z_CR**2 @ kept_R  # of the regression
    others_NC = counts_C - targets_NC
    without_NC = (cost_C - error_NC**2 / free_N[:, None]) / others_NC.clip(1)
    without_N = (others_NC > 0).sum(1) - 1 - without_NC.sum(1)
    without_N += (share - shares_N) * (squares_R * ball / mixed_R**2 @ explained_R)
    added_N = -(num_texts - 1) * without_N
    return Estimate(float(value), added_N - added_N.mean())


def _ledoit_wolf(centered: Axes) -> tuple[float, Array]:
    """Return the shrinkage of Ledoit and Wolf (2004), and the shrinkage without each text `[N]`."""
    u_NR, squares_R, width = centered
    num_texts = len(u_NR)
    others = max(num_texts - 1, 1)
    lengths_N = u_NR**2 @ squares_R  # squared
    # Without a text, the mean moves away from it, which changes the distances of all others.
    moved_NN = lengths_N[:, None] + 2 * (u_NR * squares_R) @ u_NR.T / others
    moved_NN += lengths_N / others**2
    np.fill_diagonal(moved_NN, 0)
    lost_N = lengths_N * num_texts / others
    sizes_N = (squares_R**2).sum() - 2 * num_texts / others * (u_NR**2 @ squares_R**2) + lost_N**2
    without_N = _shrinkage(
        sizes_N, squares_R.sum() - lost_N, (moved_NN**2).sum(0), num_texts=others, width=width
    )
    whole = _shrinkage(
        (squares_R**2).sum(keepdims=True),
        squares_R.sum(keepdims=True),
        (lengths_N**2).sum(keepdims=True),
        num_texts=num_texts,
        width=width,
    )
    return float(whole[0]), without_N


def _shrinkage(
    sizes_X: Array, traces_X: Array, fourths_X: Array, *, num_texts: int, width: int
) -> Array:
    """Return the shrinkage, from sums over centered texts `x`.

    Args:
        sizes_X: Squared norm of the sum of `x x^T`.
        traces_X: Trace of the sum of `x x^T`.
        fourths_X: Sum of `|x|^4`.
        num_texts: Number of texts.
        width: Number of features of each text.
    """
    apart_X = sizes_X - traces_X**2 / width  # 0 for a multiple of the identity
    noise_X = fourths_X - sizes_X / num_texts
    return np.divide(noise_X, apart_X, out=np.zeros_like(apart_X), where=apart_X > 0).clip(0, 1)


def probe_accuracy(centered: Axes, labels_N: Labels, *, seed: int) -> Estimate:
    """Return the cross-validated accuracy of logistic regression on centered, scaled features.

    Args:
        centered: The axes of features whose mean is 0.
        labels_N: Class indices from 0; each class has a text.
        seed: Seed of the folds, which do not depend on the features.
    """
    u_NR, squares_R, width = centered
    # Scaled to a mean square of 1, with the same relative distances in fewer dimensions.
    x_NR = np.sqrt(len(labels_N) * width * squares_R / squares_R.sum()) * u_NR
    folds_N = _deal(labels_N, seed)
    right_N = np.zeros(len(labels_N))
    for fold in range(_FOLDS):
        fit, held_out = folds_N != fold, folds_N == fold
        right_N[held_out] = _answers(x_NR[fit], labels_N[fit], x_NR[held_out]) == labels_N[held_out]
    return Estimate(float(right_N.mean()), right_N - right_N.mean())


def _deal(labels_N: Labels, seed: int) -> Labels:
    """Return the fold of each text, with each class spread evenly over the folds."""
    shuffled = generator(seed, "folds").permutation(len(labels_N))
    by_class = shuffled[np.argsort(labels_N[shuffled], kind="stable")]
    folds_N = np.empty_like(labels_N)
    folds_N[by_class] = np.arange(len(labels_N)) % _FOLDS
    return folds_N


def _answers(x_NR: Array, labels_N: Labels, asked_MR: Array) -> Labels:
    """Fit logistic regression to some texts and return its predictions for others `[M]`.

    If the features do not vary, predict the most frequent class.
    """
    classes, known_N = np.unique(labels_N, return_inverse=True)
    if len(classes) == 1 or not x_NR.shape[1]:
        return np.full(len(asked_MR), classes[np.bincount(known_N).argmax()])
    equal_N = np.ones(len(known_N), np.float32)
    weight_CR, bias_C = logistic_regression(x_NR, known_N, equal_N, _STRENGTH)
    answers_M: Labels = classes[(asked_MR @ weight_CR.T + bias_C).argmax(1)]
    return answers_M
