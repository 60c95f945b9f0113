"""Confidence intervals and paired tests over answers `[..., S, R]`.

Legend: S seeds (label subset, order, initial weights), R test rows, the same for all methods;
leading dimensions `...` are methods, budgets or whole simulations, all processed at once.

A score changes when other seeds or other test rows are drawn. With answers
`y_sr = mean + seed_s + row_r + rest_sr`, two-way analysis of variance gives an unbiased estimate of
the variance of their mean, `(MS_seeds + MS_rows - MS_rest) / (S R)`. Seeds are few, so their part
follows Student's t instead of a normal distribution. With one seed, an interval reflects the rows
only, and says nothing about other seeds. In simulations (`tests/compare/test_statistics.py`), 95%
intervals cover 92 to 98% with three or more seeds. With two seeds they are wider than necessary.
If 97% of the answers are right and only the seeds vary, a skewed case, they cover about 91%.

A row holds one answer, right (1) or wrong (0), or `Tallies` of several, as a sentence of tokens or
spans does. A score is then a ratio of sums. Its linear part (`Tallies.values`) is treated like
answers, so rows are resampled whole. Simulated intervals of span F1
(`tests/compare/test_tallies.py`) cover equally well.
"""

from collections import Counter
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.fft import next_fast_len
from scipy.special import stdtr

from headstart.compare.tallies import Array, Tallies, as_tallies, divide
from headstart.errors import DataError
from headstart.seeds import generator
from headstart.tasks.classification import macro_f1

RESAMPLES = 5000
_FLIPS = 10_000  # sign assignments to draw if they cannot all be counted


class Interval(NamedTuple):
    """A value and the limits of its confidence interval, each `[...]`."""

    value: Array
    low: Array
    high: Array


def interval(
    correct: ArrayLike | Tallies, *, level: float = 0.95, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """Return the mean score over seeds and its bootstrap interval within [0, 1].

    Near 0 and 1, the variance of a few wrong answers is misleading. Two right and two wrong ones
    are therefore added, counted in independent answers (Agresti and Coull, 1998; Korn and Graubard,
    1998).

    Raises:
        DataError: The answers are neither zeros and ones `[..., seeds, rows]` nor tallies.
    """
    tallies = as_tallies(correct)
    values = tallies.values()
    square = values.mean((-2, -1))  # the square of a 0/1 answer is the answer
    limits = _limits(values, square, tallies.total, (0, 0, 1, 1), level, resamples, seed)
    value, low, high = limits
    return Interval(value, np.clip(low, 0, value), np.clip(high, value, 1))


def paired_difference(
    correct_a: ArrayLike | Tallies,
    correct_b: ArrayLike | Tallies,
    *,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Return mean(a) - mean(b) over the same seeds and rows and its bootstrap interval in [-1, 1].

    One answer that only a got right and one that only b got right are added (Bonett and Price,
    2012). For rows with several answers, it is known how many more a got right, but not which ones.
    Fewer differing answers are then counted than there are, and the interval is slightly wider.

    Raises:
        DataError: The answers are not zeros and ones or tallies, or differ in seeds or rows.
    """
    a, b = _pair(correct_a, correct_b)
    gains = a.values() - b.values()
    square = np.abs(gains).mean((-2, -1))  # the square of a gain of -1, 0 or 1 is its size
    limits = _limits(gains, square, a.total + b.total, (-1, 1), level, resamples, seed)
    return Interval(limits.value, limits.low.clip(-1, 1), limits.high.clip(-1, 1))


def paired_test(correct_a: ArrayLike | Tallies, correct_b: ArrayLike | Tallies) -> Array:
    """Return two-sided p-values `[...]` of "a and b are equally good" over the same seeds and rows.

    Under this hypothesis, a and b could have swapped their answers to a row, which flips the sign
    of its total gain. The distribution over all 2^R assignments is counted exactly, or sampled for
    tallies (Yeh, 2000). The variance between seeds is added as Student's t with S - 1 degrees of
    freedom. With one seed, or if all seeds gain the same, this is the sign-flip test; with one seed
    of 0/1 answers, that is McNemar's test. No p-value is 0.

    Raises:
        DataError: The answers are not zeros and ones or tallies, or differ in seeds or rows.
    """
    a, b = _pair(correct_a, correct_b)
    both = Tallies((a.correct + b.correct) / 2, (a.total + b.total) / 2)  # unchanged by a swap
    gains = a.values(about=both) - b.values(about=both)
    num_seeds, num_rows = gains.shape[-2:]
    num_answers = num_seeds * num_rows
    rows = gains.sum(-2)
    totals, chances = _count_flips(rows) if (rows == np.rint(rows)).all() else _draw_flips(rows)
    observed = np.abs(gains.sum((-2, -1)))[..., None] * (1 - 1e-9)  # ties count as reached

    parts = _analyze(gains)
    about_zero = (rows**2).sum(-1) / num_answers  # MS_rows with the mean under the hypothesis
    own = divide((about_zero - parts.rest).clip(0), about_zero, otherwise=1)
    flipped = np.sqrt(own)[..., None] * totals
    error = np.sqrt(parts.seeds * num_answers)[..., None]
    tails = [
        stdtr(max(num_seeds - 1, 1), divide(edge, error, otherwise=0))
        for edge in (flipped - observed, -flipped - observed)
    ]
    reached = np.where(error > 0, tails[0] + tails[1], np.abs(totals) >= observed)
    p_values: Array = (chances * reached).sum(-1).clip(np.finfo(np.float64).eps, 1)
    return p_values


def _count_flips(rows: Array) -> tuple[Array, Array]:
    """Return all totals of integer gains `[..., R]` of either sign, and their chances `[..., T]`.

    The distribution comes from its characteristic function, a product of cosines.
    """
    steps = np.abs(rows)
    size = next_fast_len(2 * int(steps.sum(-1).max()) + 1, real=True)
    angles = 2 * np.pi * np.arange(size // 2 + 1) / size
    transform = np.ones((*rows.shape[:-1], len(angles)))
    for step in np.unique(steps):
        transform *= np.cos(step * angles) ** (steps == step).sum(-1)[..., None]
    chances = np.fft.irfft(transform, n=size).clip(0)
    return np.fft.fftfreq(size, 1 / size), chances  # totals are 0, 1, .., -1


def _draw_flips(rows: Array) -> tuple[Array, Array]:
    """Draw totals `[..., T]` of gains `[..., R]` of either sign, the same signs for all `...`.

    The first draw flips nothing, so the test stays exact and no p-value is 0 (Phipson and Smyth,
    2010).
    """
    random = generator(0, "flips")
    signs = (random.choice((-1.0, 1.0), (rows.shape[-1], 100)) for _ in range(_FLIPS // 100))
    totals = np.concatenate([rows @ some for some in signs], axis=-1)
    totals[..., 0] = rows.sum(-1)
    return totals, np.array(1 / _FLIPS)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p-values, corrected for multiple testing by the method of Holm (1979)."""
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    corrected = np.empty_like(p)
    corrected[order] = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)).clip(max=1)
    return [float(each) for each in corrected]


def degenerate(predicted: Sequence[str], truth: Sequence[str]) -> str | None:
    """Return why a run learned nothing: one answer for all rows, or no better than one answer.

    A run is no better if neither its accuracy nor its macro F1 is better, because recognizing rare
    classes may cost accuracy. Rows of a single class are never degenerate.
    """
    if len(set(truth)) == 1:
        return None
    if len(set(predicted)) == 1:
        return f"predicts {predicted[0]!r} for every row"
    label, count = Counter(truth).most_common(1)[0]
    right = sum(answer == true for answer, true in zip(predicted, truth, strict=True))
    if right <= count and macro_f1(truth, predicted) <= macro_f1(truth, [label] * len(truth)):
        return (
            f"accuracy {right / len(truth):.3f} is no better than always predicting {label!r}: "
            f"{count / len(truth):.3f}"
        )
    return None


def deviations(values: Array, *, resamples: int = RESAMPLES, seed: int = 0) -> Array:
    """Draw how far the means of `values` `[..., J, S, R]` move with other seeds and test rows.

    This is a multiplier bootstrap of both factors together. Each seed gets a random weight, normal
    divided by a shared chi, so a mean moves like Student's t with S - 1 degrees of freedom. Drawing
    five seeds with replacement would understate their variance by a fifth and ignore that five
    seeds estimate it poorly. Rows get normal weights; their sums are drawn at once, from their
    covariance. The seeds' part includes the residual variance, so that is subtracted from the rows'
    part; resampling the rows and columns of the table would count it three times (Owen and Eckles,
    2012).

    Returns:
        `[..., J, resamples]`; all J means move with the same seeds and rows.
    """
    num_means, num_seeds, num_rows = values.shape[-3:]
    parts = _analyze(values)
    covariance = parts.row_means @ parts.row_means.mT / (num_rows * max(num_rows - 1, 1))
    if num_seeds > 1:
        residual = parts.residual.reshape(*values.shape[:-2], num_seeds * num_rows)
        freedom = (num_seeds - 1) * max(num_rows - 1, 1)
        covariance -= residual @ residual.mT / (num_seeds * num_rows * freedom)
    scales, axes = np.linalg.eigh(covariance)
    scales = np.where(scales > 1e-12 * scales[..., -1:], scales, 0)  # drop rounding errors
    roots = axes * np.sqrt(scales.clip(0))[..., None, :]

    random = generator(seed, "resamples")
    moved: Array = roots @ random.standard_normal((num_means, resamples))
    if num_seeds > 1:
        weights = random.standard_normal((num_seeds, resamples))
        weights /= np.sqrt(num_seeds * random.chisquare(num_seeds - 1, resamples))
        moved += parts.seed_means @ weights
    return moved


class _Parts(NamedTuple):
    """Two-way analysis of variance of `[..., S, R]`: the effects and their mean squares `[...]`."""

    seed_means: Array  # [..., S], minus the overall mean
    row_means: Array  # [..., R], minus the overall mean
    residual: Array  # [..., S, R]
    seeds: Array
    rows: Array
    rest: Array


def _analyze(values: Array) -> _Parts:
    num_seeds, num_rows = values.shape[-2:]
    total = values.sum((-2, -1))[..., None]
    # From sums, integers for 0/1 answers: seeds with the same answers differ by exactly 0.
    seed_means = (values.sum(-1) - total / num_seeds) / num_rows
    row_means = (values.sum(-2) - total / num_rows) / num_seeds
    mean = total[..., None] / (num_seeds * num_rows)
    residual = values - mean - seed_means[..., :, None] - row_means[..., None, :]
    seed_freedom, row_freedom = max(num_seeds - 1, 1), max(num_rows - 1, 1)
    return _Parts(
        seed_means,
        row_means,
        residual,
        seeds=num_rows * (seed_means**2).sum(-1) / seed_freedom,
        rows=num_seeds * (row_means**2).sum(-1) / row_freedom,
        rest=(residual**2).sum((-2, -1)) / (seed_freedom * row_freedom),
    )


def _limits(
    values: Array,
    square: Array,
    total: Array,
    added: tuple[int, ...],
    level: float,
    resamples: int,
    seed: int,
) -> Interval:
    """Return the means and their limits, with the `added` answers included.

    Answers that share seeds and rows are worth `spread / variance` independent ones, where spread
    is the variance of one answer, known from its mean `square`. If all answers are the same, they
    are worth as many as there are rows, counted as rows of equal weight (Kish, 1965); the weights
    are the rows' `total` answers.
    """
    num_seeds, num_rows = values.shape[-2:]
    value = values.mean((-2, -1))
    spread = square - value**2
    parts = _analyze(values)
    variance = (parts.seeds + (parts.rows - parts.rest).clip(0)) / (num_seeds * num_rows)
    variance = np.where(variance > 1e-24, variance, 0)  # drop rounding errors
    moved = deviations(values[..., None, :, :], resamples=resamples, seed=seed)[..., 0, :]
    reach = np.quantile(np.abs(moved), level, axis=-1)
    gauss = NormalDist().inv_cdf((1 + level) / 2)
    width = divide(reach, np.sqrt(variance), otherwise=gauss)

    weights = total.sum(-2)
    rows = divide(weights.sum(-1) ** 2, (weights**2).sum(-1), otherwise=0)
    independent = np.where(variance > 0, divide(spread, variance, otherwise=0), rows)
    number = independent + len(added)
    center = (independent * value + sum(added)) / number
    moment = (independent * (spread + value**2) + sum(each**2 for each in added)) / number
    half = width * np.sqrt((moment - center**2) / number)
    return Interval(value, center - half, center + half)


def _pair(
    correct_a: ArrayLike | Tallies, correct_b: ArrayLike | Tallies
) -> tuple[Tallies, Tallies]:
    a, b = as_tallies(correct_a), as_tallies(correct_b)
    if a.shape[-2:] != b.shape[-2:]:
        raise DataError(
            "a paired comparison needs the same seeds and rows, got "
            f"{list(a.shape[-2:])} and {list(b.shape[-2:])} [seeds, rows]"
        )
    return a, b
