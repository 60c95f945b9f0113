"""Claims checked by simulation, by brute force and by properties."""

from itertools import product
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import binomtest

from headstart.compare.statistics import (
    degenerate,
    deviations,
    holm,
    interval,
    paired_difference,
    paired_test,
)
from headstart.errors import DataError

# What scatters, in units of the rest: seeds, rows, and each method's own part of both.
REGIMES = {
    "seeds": (0.5, 0.0),
    "rows": (0.0, 3.0),
    "both": (0.3, 1.5),
    "neither": (0.0, 0.0),
}
CASES = [
    (3, 200, 0.7, "seeds"),
    (3, 200, 0.9, "both"),
    (5, 100, 0.5, "rows"),
    (5, 200, 0.9, "seeds"),
    (5, 200, 0.97, "both"),
    (5, 400, 0.8, "neither"),
    (10, 150, 0.97, "neither"),
    (10, 200, 0.6, "both"),
]


def simulate(shape, score, regime, random, *, common=(0.0, 0.0), own=1.0):
    """Draw 0/1 answers of mean `score`: a latent sum of seed, row and rest passes a threshold."""
    seeds, rows = REGIMES[regime]
    latent = common[0] + common[1]
    latent = latent + own * seeds * random.standard_normal((*shape[:2], 1))
    latent = latent + own * rows * random.standard_normal((shape[0], 1, shape[2]))
    spread = np.sqrt(1 + seeds**2 + rows**2)
    return latent + random.standard_normal(shape) > NormalDist().inv_cdf(1 - score) * spread


def simulate_pair(shape, scores, regime, random):
    """Draw two methods' answers that share half the variance of seeds and rows."""
    seeds, rows = REGIMES[regime]
    half = np.sqrt(0.5)
    common = (
        half * seeds * random.standard_normal((*shape[:2], 1)),
        half * rows * random.standard_normal((shape[0], 1, shape[2])),
    )
    return [simulate(shape, score, regime, random, common=common, own=half) for score in scores]


@pytest.mark.parametrize(("num_seeds", "num_rows", "score", "regime"), CASES)
def test_intervals_cover(num_seeds, num_rows, score, regime):
    random = np.random.default_rng(1)
    answers = simulate((1000, num_seeds, num_rows), score, regime, random)
    found = interval(answers, resamples=500)
    assert 0.92 <= np.mean((found.low <= score) & (score <= found.high)) <= 0.98


@pytest.mark.parametrize(
    ("case", "least", "most"),
    [((5, 200, 0.97, "seeds"), 0.89, 0.94), ((2, 200, 0.8, "rows"), 0.96, 1.0)],
)
def test_where_intervals_are_known_to_be_off(case, least, most):
    num_seeds, num_rows, score, regime = case
    answers = simulate((1000, num_seeds, num_rows), score, regime, np.random.default_rng(1))
    found = interval(answers, resamples=500)
    assert least <= np.mean((found.low <= score) & (score <= found.high)) <= most


@pytest.mark.parametrize(("num_seeds", "num_rows", "score", "regime"), CASES)
def test_intervals_of_differences_cover(num_seeds, num_rows, score, regime):
    random = np.random.default_rng(2)
    shape = (1000, num_seeds, num_rows)
    better, worse = simulate_pair(shape, (score, score - 0.05), regime, random)
    found = paired_difference(better, worse, resamples=500)
    assert 0.92 <= np.mean((found.low <= 0.05) & (found.high >= 0.05)) <= 0.98


@pytest.mark.parametrize(("num_seeds", "num_rows", "score", "regime"), CASES)
def test_equal_methods_are_seldom_told_apart(num_seeds, num_rows, score, regime):
    random = np.random.default_rng(3)
    first, second = simulate_pair((500, num_seeds, num_rows), (score, score), regime, random)
    assert np.mean(paired_test(first, second) <= 0.05) <= 0.06


def test_unequal_methods_are_told_apart():
    random = np.random.default_rng(4)
    better, worse = simulate_pair((200, 5, 400), (0.9, 0.8), "both", random)
    assert np.mean(paired_test(better, worse) <= 0.05) >= 0.9


def test_an_interval_of_one_seed_covers_other_rows():
    answers = simulate((1000, 1, 300), 0.8, "rows", np.random.default_rng(5))
    found = interval(answers, resamples=500)
    assert 0.92 <= np.mean((found.low <= 0.8) & (found.high >= 0.8)) <= 0.98


def test_more_rows_do_not_hide_that_seeds_differ():
    answers = np.repeat([[1] * 9 + [0], [1] * 5 + [0] * 5, [1] * 7 + [0] * 3], 1000, axis=1)
    found = interval(answers)
    assert (
        found.high - found.low > 0.4
    )  # Student's t for 3 seeds: 0.7 +- 4.3 * 0.115, within [0, 1]


def test_deviations_have_the_variance_of_the_analysis():
    random = np.random.default_rng(6)
    values = (simulate((1, 200, 300), 0.7, "both", random)[0]).astype(float)
    mean, rows, seeds = values.mean(), values.mean(0), values.mean(1)
    rest = values - rows - seeds[:, None] + mean
    variance = (
        seeds.var(ddof=1) / 200 + rows.var(ddof=1) / 300 - (rest**2).sum() / 199 / 299 / 200 / 300
    )
    moved = deviations(values[None], resamples=20_000)[0]
    assert moved.mean() == pytest.approx(0, abs=4 * np.sqrt(variance / 20_000))
    assert moved.var() == pytest.approx(variance, rel=0.05)


def test_equal_means_move_together():
    values = np.random.default_rng(7).integers(0, 2, (5, 50)).astype(float)
    moved = deviations(np.stack([values, values]))
    np.testing.assert_allclose(moved[0], moved[1], atol=1e-12)


@pytest.mark.parametrize("right", [0, 1])
def test_answers_all_alike_leave_room_for_doubt(right):
    found = interval(np.full((3, 100), right))
    assert (found.value, found.high - found.low) == (right, pytest.approx(0.044, abs=0.01))
    alike = paired_difference(np.ones((3, 100)), np.ones((3, 100)))
    assert alike.low < alike.value == 0 < alike.high
    assert paired_test(np.ones((3, 100)), np.ones((3, 100))) == 1


def test_one_seed_is_mcnemar():
    first = np.array([[1] * 9 + [0] * 2 + [1] * 20])
    second = np.array([[0] * 9 + [1] * 2 + [1] * 20])
    assert paired_test(first, second) == pytest.approx(binomtest(9, 11).pvalue)


def test_seeds_that_agree_leave_the_sign_flips_of_all_rows():
    first = np.tile([1, 1, 1, 0, 1, 1, 0, 1], (4, 1))
    second = np.tile([0, 0, 1, 1, 0, 0, 0, 0], (4, 1))
    gains = first[0] - second[0]
    flipped = [abs(np.dot(signs, gains)) for signs in product((-1, 1), repeat=len(gains))]
    expected = np.mean(np.array(flipped) >= abs(gains.sum()))
    assert paired_test(first, second) == pytest.approx(expected)


def test_seeds_that_gain_alike_on_other_rows_prove_nothing():
    first, second = np.zeros((2, 50)), np.zeros((2, 50))
    first[[0, 1], [3, 8]] = 1
    assert paired_test(first, second) == pytest.approx(0.5)
    equal = np.random.default_rng(4).random((2, 2000, 2, 50)) < 0.7
    assert np.mean(paired_test(*equal.astype(int)) <= 0.001) <= 0.002


answer_pairs = st.tuples(st.integers(1, 4), st.integers(1, 12)).flatmap(
    lambda shape: st.tuples(*[arrays(np.int8, shape, elements=st.integers(0, 1))] * 2)
)


@settings(max_examples=40, deadline=None)
@given(answer_pairs)
def test_bounds_and_symmetry(pair):
    first, second = pair
    found = interval(first, resamples=100)
    assert 0 <= found.low <= found.value <= found.high <= 1
    forth, back = paired_difference(first, second), paired_difference(second, first)
    assert -1 <= forth.low <= forth.high <= 1
    np.testing.assert_allclose(forth, (-back.value, -back.high, -back.low), atol=0.05)  # by draws
    p = paired_test(first, second)
    assert 0 < p <= 1
    assert p == pytest.approx(paired_test(second, first))


@settings(max_examples=40, deadline=None)
@given(answer_pairs, st.randoms(use_true_random=False))
def test_the_order_of_rows_and_seeds_says_nothing(pair, random):
    first, second = pair
    seeds = random.sample(range(len(first)), len(first))
    rows = random.sample(range(first.shape[1]), first.shape[1])
    shuffled = [answers[seeds][:, rows] for answers in pair]
    assert paired_test(*shuffled) == pytest.approx(paired_test(first, second))
    np.testing.assert_allclose(
        interval(first[:, rows], resamples=100), interval(first, resamples=100), atol=1e-9
    )


def test_a_stack_is_treated_as_one_by_one():
    stack = np.random.default_rng(8).integers(0, 2, (3, 2, 5, 40))
    together = interval(stack)
    assert together.low.shape == (3, 2)
    np.testing.assert_allclose(together.low[1, 1], interval(stack[1, 1]).low)
    first, second = stack[:, 0], stack[:, 1]
    np.testing.assert_allclose(paired_test(first, second)[2], paired_test(first[2], second[2]))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm(p_values):
    corrected = holm(p_values)
    for index, p in enumerate(p_values):
        # Holm by its definition: the largest step among the hypotheses rejected no later.
        earlier = [other for other in p_values if other <= p]
        steps = [
            (len(p_values) - sum(before < other for before in p_values)) * other
            for other in earlier
        ]
        assert corrected[index] == pytest.approx(min(1, max(steps)))
        assert corrected[index] >= p
    order = np.argsort(p_values)
    assert np.all(np.diff(np.array(corrected)[order]) >= 0)


def test_degenerate_runs_are_told():
    truth = ["a", "a", "b", "c"]
    assert degenerate(["b"] * 4, truth) == "predicts 'b' for every row"
    reason = degenerate(["a", "c", "c", "b"], truth)
    assert reason == "accuracy 0.250 is no better than always predicting 'a': 0.500"
    assert degenerate(["a", "a", "b", "b"], truth) is None


def test_what_tells_a_rare_class_has_learned_something():
    truth = ["a"] * 9 + ["b"]
    assert degenerate(["a"] * 8 + ["b"] * 2, truth) is None, "as many right, and macro F1 above"
    assert degenerate(["a"] * 8 + ["b", "a"], truth) is not None


def test_rows_of_one_class_show_nothing():
    assert degenerate(["a"] * 4, ["a"] * 4) is None
    assert degenerate(["a", "b"], ["a"] * 2) is None


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ([0, 1], r"shape \[2\]"),
        (np.zeros((0, 5)), "all above 0"),
        ([[0, 2]], "1 for a correctly classified row"),
        ([[0, np.nan]], "1 for a correctly classified row"),
        ([[0, 1], [1]], "differ in their number"),
    ],
)
def test_what_is_no_answers_is_refused(answers, message):
    with pytest.raises(DataError, match=message):
        interval(answers)


def test_pairs_of_different_rows_are_refused():
    with pytest.raises(DataError, match=r"same seeds and rows, got \[2, 3\] and \[2, 4\]"):
        paired_test(np.zeros((2, 3)), np.zeros((2, 4)))
