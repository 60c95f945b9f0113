"""Ratios of sums, span F1 above all: by simulation, by resampling sentences and by properties."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import ndtr
from sklearn.metrics import f1_score

from headstart.compare.head_start import Multiple, head_starts
from headstart.compare.statistics import deviations, interval, paired_difference, paired_test
from headstart.compare.tallies import Tallies, as_tallies
from headstart.errors import DataError

# A made-up task of spans: how many sentences have, and how often they have so many.
SPANS = np.array([0, 1, 2, 3, 6])
SHARES = np.array([0.3, 0.3, 0.2, 0.15, 0.05])
# What scatters, in units of a probit: seeds and rows.
REGIMES = {"seeds": (0.3, 0.0), "rows": (0.0, 1.5), "both": (0.2, 1.0), "neither": (0.0, 0.0)}
CASES = [
    (1, 60, 1.0, "rows"),
    (3, 100, 1.0, "both"),
    (5, 100, 2.0, "seeds"),
    (3, 150, -1.5, "neither"),
]


def ease_of(ease, spans):
    """How sure a span is found: long sentences are hard."""
    return ease - 0.15 * (spans - SPANS @ SHARES)


def true_f1(ease, regime):
    """The F1 that infinitely many sentences would have, on average over seeds."""
    of_seeds, of_rows = REGIMES[regime]
    points, weights = np.polynomial.hermite_e.hermegauss(21)
    found = ndtr((ease_of(ease, SPANS) + of_seeds * points[:, None]) / np.hypot(1, of_rows))
    right, wrong = (found * SPANS) @ SHARES, (0.5 * (1 - found) * (SPANS + 1)) @ SHARES
    return weights / weights.sum() @ (2 * right / (SPANS @ SHARES + right + wrong))


def simulate(shape, eases, regime, random):
    """Draw methods that share the sentences, and half the variance of seeds and rows."""
    of_seeds, of_rows = np.array(REGIMES[regime]) * np.sqrt(0.5)
    spans = np.broadcast_to(random.choice(SPANS, (shape[0], 1, shape[2]), p=SHARES), shape)

    def luck():
        by_seed = of_seeds * random.standard_normal((*shape[:2], 1))
        return by_seed + of_rows * random.standard_normal((shape[0], 1, shape[2]))

    common, methods = luck(), []
    for ease in eases:
        found = ndtr(ease_of(ease, spans) + common + luck())
        right = random.binomial(spans, found)
        wrong = random.binomial(spans + 1, 0.5 * (1 - found))
        methods.append(as_tallies(2 * right, spans + right + wrong))
    return methods


@pytest.mark.parametrize(("num_seeds", "num_rows", "ease", "regime"), CASES)
def test_intervals_cover_and_equal_methods_are_seldom_told_apart(num_seeds, num_rows, ease, regime):
    shape, random = (500, num_seeds, num_rows), np.random.default_rng(1)
    first, equal, worse = simulate(shape, (ease, ease, ease - 0.2), regime, random)
    score, gain = true_f1(ease, regime), true_f1(ease, regime) - true_f1(ease - 0.2, regime)
    for found, true in (
        (interval(first, resamples=300), score),
        (paired_difference(first, worse, resamples=300), gain),
    ):
        assert found.value.mean() == pytest.approx(true, abs=0.006)
        assert 0.925 <= np.mean((found.low <= true) & (true <= found.high)) <= 0.985
    p_values = paired_test(first[:250], equal[:250])
    assert np.mean(p_values <= 0.05) <= 0.07
    assert 0.11 <= np.mean(p_values <= 0.2) <= 0.25
    assert 0.4 <= np.mean(p_values <= 0.5) <= 0.58


def test_unequal_methods_are_told_apart():
    better, worse = simulate((100, 3, 300), (1.0, 0.3), "rows", np.random.default_rng(2))
    assert np.mean(paired_test(better, worse) <= 0.05) >= 0.9


@pytest.fixture(scope="module")
def methods():
    """Two methods at three budgets on the same 400 sentences, one seed."""
    eases = (-0.5, 0.2, 0.8, 0.4, 1.0, 1.2)
    every = simulate((1, 1, 400), eases, "rows", np.random.default_rng(3))
    stacked = Tallies.stack(each[0] for each in every)
    return stacked[:3], stacked[3:]


@pytest.fixture(scope="module")
def resampled(methods):
    """The scores `[2, budgets, 4000]` of sentences drawn with replacement."""
    draws = np.random.default_rng(4).multinomial(400, np.full(400, 1 / 400), 4000).T
    return [(each.correct @ draws / (each.total @ draws))[:, 0] for each in methods]


def test_resampling_sentences_gives_the_same_intervals(methods, resampled):
    worse, better = methods
    for found, drawn in (
        (interval(better), resampled[1]),
        (paired_difference(better, worse), resampled[1] - resampled[0]),
    ):
        width = found.high - found.low
        expected = np.quantile(drawn, [0.025, 0.975], axis=-1)
        np.testing.assert_allclose(width, expected[1] - expected[0], rtol=0.08)
        np.testing.assert_allclose(found[1:], expected, atol=0.1 * width.max())


def test_resampling_sentences_moves_scores_together_likewise(methods, resampled):
    values = np.concatenate([each.values() for each in methods])
    moved, drawn = deviations(values), np.concatenate(resampled)
    np.testing.assert_allclose(values.mean((-2, -1)), drawn.mean(-1), atol=0.003)
    np.testing.assert_allclose(np.cov(moved), np.cov(drawn), rtol=0.1, atol=3e-5)


def test_resampling_sentences_gives_the_same_head_starts(methods, resampled):
    scratch, method = methods
    start = head_starts(method, scratch, (10, 100, 1000))[0]
    scores = method[0].correct.sum() / method[0].total.sum()
    curve = scratch.correct.sum((-2, -1)) / scratch.total.sum((-2, -1))

    def factor(scores, curve):
        return 10 ** np.interp(scores, curve, [0, 1, 2])

    assert start.factor.value == pytest.approx(factor(scores, curve))
    drawn = [factor(*each) for each in zip(resampled[1][0], resampled[0].T, strict=True)]
    limits = np.quantile(drawn, [0.025, 0.975])
    np.testing.assert_allclose([start.low.value, start.high.value], limits, rtol=0.08)


@pytest.mark.parametrize("seed", range(4))
def test_swapping_the_answers_to_sentences_gives_the_same_p_value(seed):
    first, second = simulate((1, 1, 10), (1.5, 0.0), "rows", np.random.default_rng(seed))
    correct, total = ([one[0, 0], two[0, 0]] for one, two in zip(
        (first.correct, first.total), (second.correct, second.total), strict=True
    ))  # fmt: skip
    pooled = np.sum(correct) / np.sum(total)
    lead = (correct[0] - correct[1]) - pooled * (total[0] - total[1])
    swapped = [abs(np.dot(signs, lead)) for signs in product((1, -1), repeat=10)]
    expected = np.mean(np.array(swapped) >= swapped[0] - 1e-9)
    assert paired_test(first, second)[0] == pytest.approx(expected, abs=0.015)


pairs = st.tuples(st.integers(1, 4), st.integers(2, 9)).flatmap(
    lambda shape: st.tuples(*[arrays(np.int64, shape, elements=st.integers(0, 4))] * 4)
)


def tallies_of(correct, more):
    return as_tallies(correct, correct + more)


@settings(max_examples=40, deadline=None)
@given(pairs)
def test_bounds_and_symmetry(numbers):
    first, second = tallies_of(*numbers[:2]), tallies_of(*numbers[2:])
    found = interval(first, resamples=100)
    assert 0 <= found.low <= found.value <= found.high <= 1
    forth, back = paired_difference(first, second), paired_difference(second, first)
    assert -1 <= forth.low <= forth.high <= 1
    np.testing.assert_allclose(forth, (-back.value, -back.high, -back.low), atol=0.05)  # by draws
    p = paired_test(first, second)
    assert 0 < p <= 1
    assert p == pytest.approx(paired_test(second, first), abs=1e-6)
    own = paired_difference(first, first)
    assert own.low <= own.value == 0 <= own.high
    assert paired_test(first, first) == 1


@settings(max_examples=40, deadline=None)
@given(pairs, st.integers(2, 9))
def test_counting_every_answer_several_times_says_nothing(numbers, times):
    pair = tallies_of(*numbers[:2]), tallies_of(*numbers[2:])
    again = [as_tallies(times * each.correct, times * each.total) for each in pair]
    np.testing.assert_allclose(again[0].values(), pair[0].values(), atol=1e-12)
    for statistic in (paired_difference, paired_test):
        np.testing.assert_allclose(statistic(*again), statistic(*pair), atol=1e-6)
    np.testing.assert_allclose(interval(again[0]), interval(pair[0]), atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(pairs)
def test_single_answers_are_answers_to_the_last_bit(numbers):
    first, second = (each % 2 for each in numbers[:2])
    one = as_tallies(first, np.ones_like(first))
    assert np.array_equal(one.values(), first)
    assert interval(one) == interval(first)
    assert paired_difference(one, second) == paired_difference(first, second)
    assert paired_test(one, second) == paired_test(first, second)


def test_a_score_is_the_mean_of_the_runs_own():
    random = np.random.default_rng(5)
    truth, guess = random.integers(0, 2, (2, 4, 60))
    right, spans = 2 * (truth & guess), truth + guess
    expected = [f1_score(*each) for each in zip(truth, guess, strict=True)]
    values = as_tallies(right, spans).values()
    np.testing.assert_allclose(values.mean(-1), expected)
    assert interval(as_tallies(right, spans)).value == pytest.approx(np.mean(expected))


def test_all_right_leaves_as_much_doubt_as_there_are_sentences_with_spans():
    spans = np.array([[2, 4, 2, 2, 0, 2]] * 2)
    few, many = (interval(as_tallies(each, each)) for each in (spans, np.tile(spans, 50)))
    with_empty = np.concatenate([spans, np.zeros((2, 500))], axis=-1)
    assert interval(as_tallies(with_empty, with_empty)) == few
    assert few.value == many.value == 1
    assert few.low < 0.7
    assert 0.97 < many.low < 1


def test_a_run_that_finds_nothing_where_nothing_is_scores_nothing():
    nothing = as_tallies(np.zeros((2, 5)), np.zeros((2, 5)))
    found = interval(nothing)
    assert found[:2] == (0, 0)
    assert found.high > 0.98
    assert paired_difference(nothing, nothing) == (0, -1, 1)
    assert paired_test(nothing, nothing) == 1


def test_methods_alike_in_every_sentence_are_not_told_apart_by_rounding():
    third, sixths = as_tallies([[1] * 30], [[3] * 30]), as_tallies([[2] * 30], [[6] * 30])
    assert paired_test(third, sixths) == 1
    found = paired_difference(third, sixths)
    assert found.low < found.value == 0 < found.high
    assert interval(third).high - interval(third).low > 0.3  # as of thirty answers


def test_a_stack_is_treated_as_one_by_one_and_rows_can_be_selected():
    first, second = simulate((3, 2, 50), (0.0, 0.5), "both", np.random.default_rng(6))
    np.testing.assert_allclose(paired_test(first, second)[2], paired_test(first[2], second[2]))
    kept = first[..., np.arange(50) % 2 > 0]
    assert kept.shape == (3, 2, 25)
    again = as_tallies(first.correct[..., 1::2], first.total[..., 1::2])
    np.testing.assert_array_equal(interval(kept), interval(again))


def test_a_curve_has_no_head_start_on_itself(methods):
    for start in head_starts(methods[0], methods[0], (10, 100, 1000), resamples=200):
        assert start.factor == start.low == start.high == Multiple(pytest.approx(1))


@pytest.mark.parametrize(
    ("correct", "total", "message"),
    [
        ([[1, 2]], [[1, 1]], "between 0 and the number of its answers"),
        ([[-1, 2]], [[1, 2]], "between 0 and the number of its answers"),
        ([[0, np.nan]], [[1, 2]], "between 0 and the number of its answers"),
        ([[0, 1]], [[1, np.inf]], "between 0 and the number of its answers"),
        ([[0, 1]], [[1, 1, 1]], r"have shape \[1, 2\], but all answers have shape \[1, 3\]"),
        ([[0, 1]], [[1], [1, 1]], "differ in their number"),
        ([0, 1], [1, 1], r"shape \[2\]"),
    ],
)
def test_what_are_no_tallies_is_refused(correct, total, message):
    with pytest.raises(DataError, match=message):
        as_tallies(correct, total)
