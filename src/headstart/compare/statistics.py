"""What a comparison may claim: intervals and tests over 0/1 answers `[..., S, R]`.

Legend: S seeds (label subset, order, initial weights), R test rows, the same for all methods;
leading dimensions `...` are methods, budgets or whole simulations, all treated at once.

A score moves when other seeds are drawn and when other test rows are drawn. With answers
`y_sr = mean + seed_s + row_r + rest_sr`, the variance of their mean is, by the two-way analysis of
variance and without bias, `(MS_seeds + MS_rows - MS_rest) / (S R)`. Seeds are few, so their part is
Student's and not Gauss's. With one seed only the rows can speak, and an interval says nothing
about other seeds. By simulation (`tests/compare/test_statistics.py`) intervals of 95 % cover 92 to
98 % with three seeds and more; with two they are wider than need be, and where 97 % of the answers
are right and the seeds alone scatter, a skewed case, they cover about 91 %.
"""

from collections import Counter
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.fft import next_fast_len
from scipy.special import stdtr

from headstart.errors import DataError
from headstart.seeds import generator

Array = NDArray[np.float64]

RESAMPLES = 5000


class Interval(NamedTuple):
    """A value and the limits of the interval that covers the true one, each `[...]`."""

    value: Array
    low: Array
    high: Array


def interval(
    correct: ArrayLike, *, level: float = 0.95, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """Return the mean of the answers `[..., S, R]` and its bootstrap interval within [0, 1].

    Near 0 and 1 the scatter of a few wrong answers misleads, so two right and two wrong ones are
    added, counted in independent answers (Agresti and Coull, 1998; Korn and Graubard, 1998).

    Raises:
        DataError: The answers are not zeros and ones `[..., seeds, rows]`.
    """
    limits = _limits(as_answers(correct), (0, 0, 1, 1), level, resamples, seed)
    return Interval(limits.value, limits.low.clip(0, 1), limits.high.clip(0, 1))


def paired_difference(
    correct_a: ArrayLike,
    correct_b: ArrayLike,
    *,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Return mean(a) - mean(b) over the same seeds and rows and its bootstrap interval in [-1, 1].

    One answer that only a got right and one that only b did are added (Bonett and Price, 2012).

    Raises:
        DataError: The answers are not zeros and ones, or differ in seeds or rows.
    """
    limits = _limits(_gains(correct_a, correct_b), (-1, 1), level, resamples, seed)
    return Interval(limits.value, limits.low.clip(-1, 1), limits.high.clip(-1, 1))


def paired_test(correct_a: ArrayLike, correct_b: ArrayLike) -> Array:
    """Return two-sided p-values `[...]` of "a and b are equally good" over the same seeds and rows.

    Under that hypothesis each row's total gain might as well have had the other sign: the exact
    distribution over all 2^R assignments comes from its characteristic function, a product of
    cosines. The seeds' own scatter is added to it as Student's t with S - 1 degrees of freedom.
    With one seed this is the exact sign-flip test, for 0/1 answers McNemar's. No p-value is 0.

    Raises:
        DataError: The answers are not zeros and ones, or differ in seeds or rows.
    """
    gains = _gains(correct_a, correct_b)
    num_seeds, num_rows = gains.shape[-2:]
    num_answers = num_seeds * num_rows
    steps = np.abs(gains.sum(-2))
    size = next_fast_len(2 * int(steps.sum(-1).max()) + 1, real=True)
    angles = 2 * np.pi * np.arange(size // 2 + 1) / size
    transform = np.ones((*gains.shape[:-2], len(angles)))
    for step in range(1, num_seeds + 1):
        transform *= np.cos(step * angles) ** (steps == step).sum(-1)[..., None]
    chances = np.fft.irfft(transform, n=size).clip(0)
    totals = np.fft.fftfreq(size, 1 / size)  # the total gains those chances are of: 0, 1, .., -1
    observed = np.abs(gains.sum((-2, -1)))[..., None] * (1 - 1e-9)  # a tie counts as reached

    parts = _analyze(gains)
    about_zero = (steps**2).sum(-1) / num_answers  # MS_rows with the mean the hypothesis says
    own = _ratio((about_zero - parts.rest).clip(0), about_zero, otherwise=1)
    flipped = np.sqrt(own)[..., None] * totals
    error = np.sqrt(parts.seeds * num_answers)[..., None]
    tails = [
        stdtr(max(num_seeds - 1, 1), _ratio(edge, error, otherwise=0))
        for edge in (flipped - observed, -flipped - observed)
    ]
    reached = np.where(error > 0, tails[0] + tails[1], np.abs(flipped) >= observed)
    p_values: Array = (chances * reached).sum(-1).clip(np.finfo(np.float64).eps, 1)
    return p_values


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p-values corrected for their number by the step-down method of Holm (1979)."""
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    corrected = np.empty_like(p)
    corrected[order] = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)).clip(max=1)
    return [float(each) for each in corrected]


def degenerate(predicted: Sequence[str], truth: Sequence[str]) -> str | None:
    """Return why a run learned nothing: one answer for all rows, or no better than such a one."""
    if len(set(predicted)) == 1:
        return f"answers {predicted[0]!r} for every row"
    label, count = Counter(truth).most_common(1)[0]
    right = sum(answer == true for answer, true in zip(predicted, truth, strict=True))
    if right <= count:
        return (
            f"accuracy {right / len(truth):.3f} is no better than always answering {label!r}: "
            f"{count / len(truth):.3f}"
        )
    return None


def deviations(values: Array, *, resamples: int = RESAMPLES, seed: int = 0) -> Array:
    """Draw how far the means of `values` `[..., J, S, R]` move with other seeds and test rows.

    A multiplier bootstrap of both factors together. Each seed gets a random weight, Gaussian over a
    chi that all share, so that a mean moves like Student's t with S - 1 degrees of freedom; to draw
    five seeds with replacement instead would understate their variance by a fifth and ignore that
    five estimate it badly. Rows get Gaussian weights; their sums are drawn at once, from their
    covariance. The seeds' part holds the variance of the rest, so the rows' is freed of it;
    resampling the table's rows and columns would count it three times (Owen and Eckles, 2012).

    Returns:
        `[..., J, resamples]`; the J means are moved by the same seeds and rows.
    """
    num_means, num_seeds, num_rows = values.shape[-3:]
    parts = _analyze(values)
    covariance = parts.row_means @ parts.row_means.mT / (num_rows * max(num_rows - 1, 1))
    if num_seeds > 1:
        residual = parts.residual.reshape(*values.shape[:-2], num_seeds * num_rows)
        freedom = (num_seeds - 1) * max(num_rows - 1, 1)
        covariance -= residual @ residual.mT / (num_seeds * num_rows * freedom)
    scales, axes = np.linalg.eigh(covariance)
    scales = np.where(scales > 1e-12 * scales[..., -1:], scales, 0)  # not the rounding's root
    roots = axes * np.sqrt(scales.clip(0))[..., None, :]

    random = generator(seed, "resamples")
    moved: Array = roots @ random.standard_normal((num_means, resamples))
    if num_seeds > 1:
        weights = random.standard_normal((num_seeds, resamples))
        weights /= np.sqrt(num_seeds * random.chisquare(num_seeds - 1, resamples))
        moved += parts.seed_means @ weights
    return moved


def as_answers(correct: ArrayLike) -> Array:
    """Return the answers `[..., S, R]` as numbers.

    Raises:
        DataError: They are not zeros and ones `[..., seeds, rows]`.
    """
    try:
        answers = np.asarray(correct, dtype=np.float64)
    except ValueError:
        raise DataError("answers differ in their number of seeds or rows; run them alike") from None
    if answers.ndim < 2 or 0 in answers.shape:
        raise DataError(
            f"answers have shape {list(answers.shape)}, expected [..., seeds, rows], none of them 0"
        )
    if not np.isin(answers, (0, 1)).all():
        raise DataError("answers must be 1 where a row was classified correctly and 0 where not")
    return answers


class _Parts(NamedTuple):
    """Two-way analysis of variance of `[..., S, R]`: the effects and their mean squares `[...]`."""

    seed_means: Array  # [..., S], less the mean of all
    row_means: Array  # [..., R], less the mean of all
    residual: Array  # [..., S, R]
    seeds: Array
    rows: Array
    rest: Array


def _analyze(values: Array) -> _Parts:
    num_seeds, num_rows = values.shape[-2:]
    total = values.sum((-2, -1))[..., None]
    # From sums, which are whole numbers: seeds that answer alike differ by exactly 0.
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
    values: Array, added: tuple[int, ...], level: float, resamples: int, seed: int
) -> Interval:
    """Return the means and their limits, once the `added` answers are counted in.

    Answers that share seeds and rows are worth `spread / variance` independent ones; if all are
    alike, as many as there are rows.
    """
    num_seeds, num_rows = values.shape[-2:]
    value = values.mean((-2, -1))
    spread = (values**2).mean((-2, -1)) - value**2
    parts = _analyze(values)
    variance = (parts.seeds + (parts.rows - parts.rest).clip(0)) / (num_seeds * num_rows)
    moved = deviations(values[..., None, :, :], resamples=resamples, seed=seed)[..., 0, :]
    reach = np.quantile(np.abs(moved), level, axis=-1)
    gauss = NormalDist().inv_cdf((1 + level) / 2)
    width = _ratio(reach, np.sqrt(variance), otherwise=gauss)

    independent = _ratio(spread, variance, otherwise=num_rows)
    number = independent + len(added)
    center = (independent * value + sum(added)) / number
    moment = (independent * (spread + value**2) + sum(each**2 for each in added)) / number
    half = width * np.sqrt((moment - center**2) / number)
    return Interval(value, center - half, center + half)


def _gains(correct_a: ArrayLike, correct_b: ArrayLike) -> Array:
    a, b = as_answers(correct_a), as_answers(correct_b)
    if a.shape[-2:] != b.shape[-2:]:
        raise DataError(
            "a paired comparison needs the same seeds and rows, got "
            f"{list(a.shape[-2:])} and {list(b.shape[-2:])} [seeds, rows]"
        )
    return a - b


def _ratio(numerator: Array, denominator: Array, *, otherwise: float) -> Array:
    """Divide, with `otherwise` where the denominator is 0."""
    shape = np.broadcast_shapes(np.shape(numerator), np.shape(denominator))
    result = np.full(shape, otherwise, dtype=np.float64)
    np.divide(numerator, denominator, out=result, where=np.broadcast_to(denominator > 0, shape))
    return result
