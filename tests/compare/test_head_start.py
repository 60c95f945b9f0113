"""Head starts on curves whose answer is known, and the sentence on the cover."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.isotonic import IsotonicRegression

from headstart.compare.head_start import (
    HeadStart,
    Multiple,
    head_starts,
    headline,
    isotonic,
    quoted_labels,
)
from headstart.errors import DataError

BUDGETS = (10, 100, 1000)


def answers(*scores, num_rows=100, num_seeds=3):
    """Every seed answers the first rows correctly: the curve has exactly these scores."""
    right = np.round(np.array(scores) * num_rows)
    return np.tile((np.arange(num_rows) < right[:, None])[:, None, :], (1, num_seeds, 1))


def random_curves(*curves, num_seeds=5, num_rows=300, seed=0):
    random = np.random.default_rng(seed)
    hardness = random.random(num_rows)
    return [
        (0.5 * hardness + 0.5 * random.random((len(curve), num_seeds, num_rows)))
        < np.array(curve)[:, None, None]
        for curve in curves
    ]


def test_read_off_on_the_logarithmic_axis():
    scratch, method = answers(0.2, 0.4, 0.6), answers(0.3, 0.5, 0.6)
    first, second, last = head_starts(method, scratch, BUDGETS)
    assert first.factor.value == pytest.approx(10**0.5)
    assert second.factor.value == pytest.approx(10**0.5)
    assert last.factor == Multiple(pytest.approx(1))


def test_bounds_beyond_the_curve_of_scratch():
    first, second, last = head_starts(answers(0.7, 0.7, 0.8), answers(0.2, 0.4, 0.6), BUDGETS)
    assert [each.factor for each in (first, second, last)] == [
        Multiple(100, ">"), Multiple(10, ">"), Multiple(1, ">")
    ]  # fmt: skip
    worse = head_starts(answers(0.1, 0.1, 0.1), answers(0.2, 0.4, 0.6), BUDGETS)
    assert [str(each.factor) for each in worse] == ["< 1.0", "< 0.10", "< 0.01"]


@pytest.mark.parametrize("scores", [(0.2, 0.4, 0.6), (0.5, 0.5, 0.5), (0.6, 0.3, 0.4)])
def test_scratch_has_no_head_start_on_itself(scores):
    curve = answers(*scores)
    for start in head_starts(curve, curve, BUDGETS):
        assert start.factor == start.low == start.high == Multiple(pytest.approx(1))


def test_a_method_as_good_as_scratch_is_not_claimed_to_be_better():
    covered = 0
    for seed in range(100):
        method, scratch = random_curves((0.3, 0.5, 0.7), (0.3, 0.5, 0.7), seed=seed)
        start = head_starts(method, scratch, BUDGETS, resamples=300)[1]
        covered += start.low.value <= 1 <= start.high.value
    assert covered >= 90


def test_the_interval_covers_the_true_head_start():
    covered = 0
    for seed in range(100):
        method, scratch = random_curves((0.5, 0.7, 0.8), (0.3, 0.5, 0.7), seed=seed)
        start = head_starts(method, scratch, BUDGETS, resamples=300)[0]
        covered += start.low.value <= 10 <= start.high.value
    assert 89 <= covered <= 99


def test_one_budget_and_one_seed():
    (start,) = head_starts(answers(0.7, num_seeds=1), answers(0.2, num_seeds=1), [50])
    assert start == HeadStart(50, Multiple(1, ">"), Multiple(1, ">"), Multiple(1, ">"))
    assert str(start) == "> 1.0x"


@settings(max_examples=40, deadline=None)
@given(arrays(np.float64, st.integers(1, 7), elements=st.floats(0, 1)))
def test_isotonic_is_the_regression(scores):
    expected = IsotonicRegression().fit_transform(np.arange(len(scores)), scores)
    np.testing.assert_allclose(isotonic(scores), expected, atol=1e-9)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_factors_stay_within_the_label_axis(seed):
    random = np.random.default_rng(seed)
    method, scratch = (random.random((3, 2, 20)) < random.random((3, 1, 1)) for _ in range(2))
    for start in head_starts(method, scratch, BUDGETS, resamples=50):
        lowest, highest = BUDGETS[0] / start.labels, BUDGETS[-1] / start.labels
        for each in (start.factor, start.low, start.high):
            assert lowest * 0.999 <= each.value <= highest * 1.001
        assert start.low.value <= start.high.value


def test_written_out():
    start = HeadStart(50, Multiple(8.23), Multiple(5.1), Multiple(20, ">"))
    assert str(start) == "8.2x [5.1, > 20]"


@pytest.mark.parametrize(
    ("budgets", "message"),
    [
        ((10, 100), r"expected \[2, seeds, rows\]"),
        ((10, 100, 100), "be increasing"),
        ((0, 1, 2), "at least 1"),
    ],
)
def test_budgets_must_fit(budgets, message):
    with pytest.raises(DataError, match=message):
        head_starts(answers(0.1, 0.2, 0.3), answers(0.1, 0.2, 0.3), budgets)


def row(method, labels=50, mean=0.8, **own):
    start = {"head_start": 8.2, "head_start_low": 5.1, "head_start_high": 12.0}
    bounds = dict.fromkeys(("head_start_bound", "head_start_low_bound", "head_start_high_bound"))
    claim = {"vs_scratch": 0.2, "p": 0.01, "validation": mean, "validation_loss": 1.0}
    return {"method": method, "labels": labels, "mean": mean, **start, **bounds, **claim, **own}


NO_START = {"head_start": None, "head_start_low": None, "vs_scratch": None, "p": None}


def test_the_sentence_a_manager_reads_first():
    found = headline([row("scratch", mean=0.6, **NO_START), row("glove:finetune")])
    assert found["sentence"] == (
        "With 50 labels, glove:finetune scores as well as training from scratch with about 410: "
        "a head start of 8.2x (95% confidence interval: 5.1x to 12x)."
    )
    assert (found["method"], found["labels"], found["factor"]) == ("glove:finetune", 50, 8.2)


def test_a_bound_is_said_to_be_one():
    bounds = {"head_start": 20, "head_start_bound": ">", "head_start_high": 20}
    found = headline(
        [row("scratch", **NO_START), row("glove:probe", **bounds, head_start_high_bound=">")]
    )
    assert "scores higher than training from scratch with 1,000" in found["sentence"]
    assert "more than 20x (95% confidence interval: 5.1x to more than 20x)" in found["sentence"]


def test_a_bound_that_a_score_of_the_table_contradicts_is_not_claimed():
    bound = {"head_start": 20, "head_start_bound": ">", "head_start_low_bound": ">"}
    falling = [row("glove:probe", labels=25, mean=0.95), row("glove:probe", mean=0.8, **bound)]
    for scratch, claimed in ((0.79, True), (0.8, False), (0.81, False)):
        reference = [row("scratch", mean=0.6, **NO_START), row("scratch", 1000, scratch)]
        found = headline([*reference, *falling])
        assert (found["factor"] is not None) is claimed
        said = (
            "glove:probe, the pretrained method selected by validation score, scores 0.800 (lower"
        )
        said = f"no head start can be claimed: {said} than with fewer labels)"
        assert (said in found["sentence"]) is not claimed


def test_a_bound_that_scratch_contradicts_before_it_falls_is_not_claimed():
    bound = {"head_start": 20, "head_start_bound": ">", "head_start_low_bound": ">"}
    reference = [row("scratch", mean=0.6, **NO_START), row("scratch", 1000, 0.7)]
    ahead = row("glove:probe", mean=0.8, **bound)
    assert headline([*reference, row("scratch", 250, 0.79), ahead])["factor"] == 20
    found = headline([*reference, row("scratch", 250, 0.81), ahead])
    assert found["factor"] is None
    assert (
        "no head start can be claimed: glove:probe, the pretrained method selected by validation "
        "score, scores 0.800; training from scratch scores 0.600, and 0.810 with 250. With 1,000"
    ) in found["sentence"]


def test_validation_chooses_the_method_and_nothing_the_label_count():
    rows = [
        row("scratch", **NO_START),
        row("glove:probe", head_start_low=9.0, validation=0.7),
        row("glove:frozen", head_start_low=4.0, validation=0.8),
        row("glove:frozen", labels=25, head_start_low=12.0, validation=0.9),
        row("glove:frozen", labels=500, head_start_low=4.5, validation=0.8),
    ]
    found = headline(rows)
    assert (found["method"], found["labels"]) == ("glove:frozen", 50)


def test_validation_chooses_where_all_that_are_quoted_were_run_with_the_most_labels():
    few = [row("glove:probe", validation=0.9), row("bert:probe", validation=0.8)]
    many = [row("glove:probe", 250, validation=0.8), row("bert:probe", 250, validation=0.9)]
    more = [row("scratch", **NO_START), row("glove:probe", 500, validation=0.95)]
    never_quoted = row("gpt:probe", 500, validation=0.99)
    assert headline([*few, *more])["method"] == "glove:probe"
    found = headline([*few, *many, *more, never_quoted])
    assert (found["method"], found["labels"]) == ("bert:probe", 50)


def test_the_quoted_interval_covers_where_the_luckiest_does_not():
    budgets = (10, 25, 50, 100, 250, 1000)
    curve = 0.1 + 0.12 * np.log(budgets)
    quoted = misses = lucky_misses = 0
    for seed in range(60):
        ahead = 0.1 + 0.12 * np.log(3 * np.array(budgets))  # a head start of 3 at every budget
        method, scratch = random_curves(np.minimum(ahead, 0.95), curve, seed=seed)
        starts = head_starts(method, scratch, budgets, resamples=300)[:-1]
        fixed = next(start for start in starts if start.labels == quoted_labels(budgets))
        lucky = max(starts, key=lambda start: start.low.value)
        quoted += 1
        misses += not fixed.low.value <= 3 <= fixed.high.value
        lucky_misses += not lucky.low.value <= 3 <= lucky.high.value
    assert misses / quoted <= 0.1
    assert lucky_misses > misses


@pytest.mark.parametrize(
    ("budgets", "quoted"),
    [((10, 25, 50, 100, 250, 1000), 100), ((50, 200), 50), ((10, 25, 250), 25), ((8,), 8)],
)
def test_the_quoted_label_count_depends_on_no_score(budgets, quoted):
    assert quoted_labels(budgets) == quoted


def test_a_better_baseline_is_admitted():
    rows = [row("scratch", **NO_START), row("glove:probe"), row("tfidf", mean=0.85)]
    assert headline(rows)["sentence"].endswith(
        "However, tfidf, which needs no pretraining, scores at least as well with the same labels: "
        "0.850 versus 0.800."
    )


@pytest.mark.parametrize(
    ("equal", "said"),
    [
        (["glove:probe"], "scratch and glove:probe score best: 0.800."),
        (["a:probe", "b:probe", "c:probe"], "scratch and 3 others score best: 0.800."),
    ],
)
def test_all_that_score_best_are_named(equal, said):
    lower = {**NO_START, "mean": 0.8 - 1e-12, "p": 0.9}
    rows = [row("scratch", **NO_START), *(row(method, **lower) for method in equal)]
    assert headline(rows)["sentence"].endswith(f"With 50 labels, {said}")


@pytest.mark.parametrize(
    "weak", [{"p": 0.2}, {"head_start_low": 0.9}, {"vs_scratch": -0.2},
             {"head_start_low": 2.0, "head_start_low_bound": "<"}]
)  # fmt: skip
def test_no_head_start_is_said_plainly(weak):
    found = headline([row("scratch", **NO_START), row("glove:probe", mean=0.9, **weak)])
    assert found["sentence"] == (
        "With 50 labels, no head start can be claimed: glove:probe, the pretrained method selected "
        "by validation score, scores 0.900; training from scratch scores 0.800. "
        "With 50 labels, glove:probe scores best: 0.900."
    )
    assert found["factor"] is None


@pytest.mark.parametrize(
    ("methods", "why"),
    [
        (("tfidf", "glove:probe"), "scratch is not among the methods"),
        (("scratch", "tfidf", "bert:scratch"), "no pretrained method was compared"),
    ],
)
def test_what_was_not_measured_is_said(methods, why):
    assert why in headline([row(method, **NO_START) for method in methods])["sentence"]
