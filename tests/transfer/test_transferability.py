"""Each estimate is what its paper says, by another way to it; and its intervals hold what they say.

Fixed seeds; what is random about a check is how the small cases were drawn.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.stats import multivariate_normal
from sklearn.covariance import ledoit_wolf_shrinkage
from sklearn.linear_model import LogisticRegression

from headstart.transfer.transferability import (
    decompose,
    h_score,
    log_evidence,
    probe_accuracy,
    transferability,
)

SHAPES = [(30, 5, 3), (20, 40, 2), (24, 24, 4), (6, 2, 2)]


def make(num_texts, width, num_classes, *, apart=2.0, seed=0):
    """Return features and labels: each class around a center, every class with a text or more."""
    random = np.random.default_rng((seed, num_texts, width))
    labels = random.integers(0, num_classes, num_texts)
    labels[:num_classes] = range(num_classes)
    spread = np.exp(random.normal(size=width) / 2)
    centers = apart * random.normal(size=(num_classes, width)) / np.sqrt(width)
    return spread * (random.normal(size=(num_texts, width)) + centers[labels]) + 0.3, labels


def centered(x):
    return decompose(x, center=True)


def logme(x, labels):
    return log_evidence(decompose(x), labels)


def h(x, labels, **options):
    return h_score(centered(x), labels, **options)


def marginal(x, target, ratio):
    """Return the log density of a target under the model, from the density itself.

    `y = x w + e` with `w ~ N(0, 1 / alpha)` and `e ~ N(0, 1 / beta)`, and beta at its best for a
    ratio alpha / beta.
    """
    shape = np.eye(len(x)) + x @ x.T / ratio
    beta = len(x) / (target @ np.linalg.solve(shape, target))
    return multivariate_normal(cov=shape / beta).logpdf(target)


def plain_h_score(x, labels, weights, shrinkage):
    """Return the trace of `cov(f)^-1 cov(E[f | y])` of weighted texts, and nothing clever."""
    weights = weights / weights.sum()
    x = x - weights @ x
    within = (x.T * weights) @ x
    ball = np.trace(within) / x.shape[1] * np.eye(x.shape[1])
    between = np.zeros_like(within)
    for label in np.unique(labels):
        own = weights * (labels == label)
        mean = own @ x / own.sum()
        between += own.sum() * np.outer(mean, mean)
    shrunk = (1 - shrinkage) * within + shrinkage * ball
    return (1 - shrinkage) * np.trace(np.linalg.pinv(shrunk, rcond=1e-10) @ between)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("apart", [0.0, 3.0])
def test_logme_is_the_highest_evidence_there_is(shape, apart):
    x, labels = make(*shape, apart=apart)
    scale = np.linalg.norm(x) ** 2
    best = []
    for label in range(shape[2]):
        target = (labels == label).astype(float)

        def cost(logarithm, target=target):
            return -marginal(x, target, scale * np.exp(logarithm))

        tried = np.linspace(-15, 10, 101)
        start = tried[np.argmin([cost(each) for each in tried])]
        found = minimize_scalar(cost, bounds=(start - 0.5, start + 0.5), method="bounded",
                                options={"xatol": 1e-8})  # fmt: skip
        best.append(-found.fun / shape[0])
    assert logme(x, labels).value == pytest.approx(np.mean(best), abs=1e-6)


@pytest.mark.parametrize("shape", SHAPES[:2])
def test_what_a_text_adds_to_logme_is_its_log_probability_given_the_others(shape):
    x, labels = make(*shape)
    axes = decompose(x)
    found = log_evidence(axes, labels)
    # The model of each class as it was fitted; then the density of all texts less that of others.
    added = np.zeros(shape[0])
    for label in range(shape[2]):
        target = (labels == label).astype(float)
        ratios = np.linalg.norm(x) ** 2 * np.exp(np.linspace(-15, 10, 401))
        ratio = ratios[np.argmax([marginal(x, target, each) for each in ratios])]
        form = np.eye(len(x)) + x @ x.T / ratio
        covariance = form * (target @ np.linalg.solve(form, target)) / len(x)
        whole = multivariate_normal(cov=covariance).logpdf(target)
        for text in range(len(x)):
            kept = np.arange(len(x)) != text
            others = multivariate_normal(cov=covariance[np.ix_(kept, kept)]).logpdf(target[kept])
            added[text] += (whole - others) / shape[2]
    assert found.influence_N == pytest.approx(added - added.mean(), abs=0.02)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("shrinkage", [0.0, 0.3, 1.0, None])
def test_the_h_score_is_the_trace_of_its_formula(shape, shrinkage):
    x, labels = make(*shape)
    used = ledoit_wolf_shrinkage(x) if shrinkage is None else shrinkage
    expected = plain_h_score(x, labels, np.ones(len(x)), used)
    assert h(x, labels, shrinkage=shrinkage).value == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert 0 <= expected <= shape[2] - 1 + 1e-9


@pytest.mark.parametrize("shape", SHAPES[:3])
def test_what_a_text_adds_holds_what_shrinkage_is_without_it(shape):
    x, labels = make(*shape)
    share, without = ledoit_wolf_shrinkage(x), np.array(
        [ledoit_wolf_shrinkage(np.delete(x, text, 0)) for text in range(len(x))]
    )  # fmt: skip
    step = 1e-5
    slope = (
        h(x, labels, shrinkage=share + step).value - h(x, labels, shrinkage=share - step).value
    ) / (2 * step)
    added = -(len(x) - 1) * slope * (without - share)
    found = h(x, labels).influence_N - h(x, labels, shrinkage=share).influence_N
    assert found == pytest.approx(added - added.mean(), rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("shape", SHAPES[:3])
def test_what_a_text_adds_to_the_h_score_is_what_lacks_without_it(shape):
    x, labels = make(*shape)
    ball = 0.5 * (x - x.mean(0)).var() / (1 - 0.5) * len(x)  # as much is added without a text

    def regression(rows):
        """Return the H-score as the shares of the classes that ridge regression explains."""
        part = x[rows] - x[rows].mean(0)
        total = 0.0
        for label in np.unique(labels[rows]):
            target = (labels[rows] == label).astype(float)
            fitted = part @ np.linalg.solve(
                part.T @ part + ball * np.eye(x.shape[1]), part.T @ target
            )
            total += target @ fitted / target.sum()
        return total

    found = h(x, labels, shrinkage=0.5)
    everything = np.arange(len(x))
    assert found.value == pytest.approx(regression(everything))
    without = [regression(np.delete(everything, text)) for text in everything]
    added = len(x) * found.value - (len(x) - 1) * np.array(without)
    assert found.influence_N == pytest.approx(added - added.mean(), abs=1e-7)


def test_the_probe_is_cross_validated_logistic_regression():
    x, labels = make(60, 20, 3, apart=1.5)
    found = probe_accuracy(centered(x), labels, seed=0)
    right = np.round(found.influence_N + found.value)
    assert set(right) == {0, 1}
    scaled = (x - x.mean(0)) / np.sqrt(np.mean((x - x.mean(0)) ** 2))
    # Leave out each text alone: near to five folds, and computed by another program.
    alone = [
        LogisticRegression(C=1.0, max_iter=1000)
        .fit(np.delete(scaled, text, 0), np.delete(labels, text))
        .predict(scaled[[text]])[0] == labels[text]
        for text in range(60)
    ]  # fmt: skip
    assert found.value == pytest.approx(np.mean(alone), abs=0.1)


@pytest.mark.parametrize("shape", SHAPES)
def test_neither_rotation_nor_scale_nor_the_order_of_texts_matters(shape):
    x, labels = make(*shape)
    turn, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(shape[1], shape[1])))
    order = np.random.default_rng(2).permutation(shape[0])
    expected = transferability(x, labels, seed=0)
    for changed in (x @ turn, 1000 * x, x / 1000):
        for name, found in transferability(changed, labels, seed=0).items():
            assert found.value == pytest.approx(expected[name].value, abs=1e-5), name
            assert found.influence_N == pytest.approx(expected[name].influence_N, abs=1e-4), name
    for estimate in (logme, h):
        found, before = estimate(x[order], labels[order]), estimate(x, labels)
        assert found.value == pytest.approx(before.value, abs=1e-9)
        assert found.influence_N == pytest.approx(before.influence_N[order], abs=1e-6)


def test_more_tells_more():
    x, labels = make(80, 10, 3, apart=0.0)
    told = np.eye(3)[labels] + np.random.default_rng(0).normal(size=(80, 3)) / 3
    for telling in (0.3, 1.0, 3.0):
        before, after = (
            transferability(np.hstack([x, scale * told]), labels, seed=0) for scale in (0, telling)
        )
        assert all(after[name].value > before[name].value for name in after)


@settings(max_examples=60, deadline=None)
@given(
    num_texts=st.integers(2, 12),
    width=st.integers(1, 12),
    num_classes=st.integers(2, 4),
    apart=st.sampled_from([0.0, 1.0, 1e4]),
    kind=st.sampled_from(["random", "constant", "zero", "one-hot", "repeated", "tiny", "huge"]),
)
def test_every_estimate_is_a_number_whatever_the_features(
    num_texts, width, num_classes, apart, kind
):
    num_classes = min(num_texts, num_classes)
    x, labels = make(num_texts, width, num_classes, apart=apart)
    features = {
        "random": x,
        "constant": np.full_like(x, 2.5),
        "zero": np.zeros_like(x),
        "one-hot": np.eye(num_classes)[labels],
        "repeated": x[[0] * num_texts],
        "tiny": x * 1e-30,
        "huge": x * 1e30,
    }[kind]
    found = transferability(features, labels, seed=0)
    for estimate in found.values():
        assert np.isfinite(estimate.value)
        assert np.isfinite(estimate.influence_N).all()
        assert abs(estimate.influence_N.sum()) < 1e-6 * max(1, np.abs(estimate.influence_N).max())
    assert -1e-9 <= found["h_score"].value <= num_classes - 1 + 1e-6
    assert 0 <= found["probe"].value <= 1


def test_features_that_are_the_labels_could_not_be_better():
    labels = np.arange(40) % 4
    perfect = transferability(np.eye(4)[labels], labels, seed=0)
    assert 2 < perfect["h_score"].value < 3, "less what shrinkage takes"
    assert h(np.eye(4)[labels], labels, shrinkage=0.0).value == pytest.approx(3)
    assert perfect["probe"].value == 1
    worse = np.eye(4)[labels] + np.random.default_rng(0).normal(size=(40, 4)) / 10
    assert perfect["logme"].value > logme(worse, labels).value > 0


def test_features_that_are_all_alike_say_nothing():
    labels = np.arange(30) % 3
    nothing = transferability(np.full((30, 8), 0.7), labels, seed=0)
    assert nothing["h_score"] == (0, pytest.approx(np.zeros(30)))
    assert nothing["probe"].value <= 1 / 3
    guess = transferability(np.random.default_rng(0).normal(size=(30, 8)), labels, seed=0)
    assert nothing["logme"].value >= guess["logme"].value


def test_a_class_of_one_text_is_never_guessed_and_breaks_nothing():
    x, labels = make(31, 6, 3)
    labels = labels.copy()
    labels[labels == 2] = 1
    labels[0] = 2
    found = transferability(x, labels, seed=0)
    assert found["probe"].influence_N[0] == -found["probe"].value
    assert all(np.isfinite(each.influence_N).all() for each in found.values())


@pytest.mark.slow
@pytest.mark.parametrize(("num_texts", "width", "apart"), [(100, 20, 2.0), (100, 150, 3.0)])
def test_intervals_cover_what_other_texts_would_have_told(num_texts, width, apart):
    """Of 150 studies, the intervals of nine in ten hold the mean of all, be texts few or many."""
    centers = apart * np.random.default_rng(0).normal(size=(3, width)) / np.sqrt(width)
    random = np.random.default_rng(1)
    values, errors = [], []
    for _ in range(150):
        labels = random.permutation(np.arange(num_texts) % 3)
        x = random.normal(size=(num_texts, width)) + centers[labels]
        found = [logme(x, labels), h(x, labels)]
        values.append([each.value for each in found])
        errors.append([each.influence_N.std() / np.sqrt(num_texts) for each in found])
    away = np.abs(np.array(values) - np.mean(values, 0))
    covered = (away < 1.96 * np.array(errors)).mean(0)
    assert (covered > 0.88).all()
    assert (np.mean(errors, 0) < 1.5 * np.std(values, 0)).all()
