"""The headline number: how many times fewer labels a method needs than training from scratch.

A learning curve is the mean score at each label budget, made non-decreasing. Between budgets,
scratch's curve is interpolated linearly on a logarithmic label axis. The head start at budget b is
the label count at which scratch reaches the method's score at b, divided by b. If that count lies
beyond scratch's curve, the head start is a bound.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headstart.compare.recommendation import best_by_validation
from headstart.compare.statistics import RESAMPLES, deviations
from headstart.compare.tallies import Array, Tallies, as_tallies
from headstart.compare.wording import TEXTS, Wording, together
from headstart.errors import DataError

REFERENCE = "scratch"
BASELINES = ("majority", "tfidf")  # neither pretrained nor trained like scratch


@dataclass(frozen=True)
class Multiple:
    """A factor, or a bound on it: "8.2", "> 20", "< 0.50".

    Attributes:
        value: The factor or the bound.
        bound: `">"` or `"<"` if only a bound is known, otherwise None.
    """

    value: float
    bound: Literal["<", ">"] | None = None

    def __str__(self) -> str:
        digits = 0 if self.value >= 9.95 else 1 if self.value >= 0.995 else 2
        return f"{self.bound or ''} {self.value:.{digits}f}".lstrip()


@dataclass(frozen=True)
class HeadStart:
    """The labels that scratch needs for a method's score, divided by the method's labels.

    Attributes:
        labels: The method's labels.
        factor: The head start.
        low: Lower end of its confidence interval.
        high: Upper end of its confidence interval.
    """

    labels: int
    factor: Multiple
    low: Multiple
    high: Multiple

    def __str__(self) -> str:
        return f"{self.factor}x {self.interval}".rstrip()

    @property
    def interval(self) -> str:
        """The interval as "[5.1, > 20]"; empty if only a single bound is known."""
        return "" if self.factor == self.low == self.high else f"[{self.low}, {self.high}]"

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "HeadStart | None":
        """Return the head start in a row of the summary, or None if it has none."""
        if row["head_start"] is None:
            return None
        names = ("head_start", "head_start_low", "head_start_high")
        return cls(row["labels"], *(Multiple(row[name], row[f"{name}_bound"]) for name in names))


def head_starts(
    method: ArrayLike | Tallies,
    scratch: ArrayLike | Tallies,
    budgets: Sequence[int],
    scratch_budgets: Sequence[int] | None = None,
    *,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> list[HeadStart]:
    """Return the head start of a method at every label budget, with its bootstrap interval.

    Args:
        method: The method's 0/1 answers, or tallies, `[budgets, S, R]`.
        scratch: The answers of training from scratch, for the same seeds and test rows.
        budgets: The method's label counts, in increasing order.
        scratch_budgets: The label counts of scratch, if they differ. A method is compared with
            scratch's whole curve, even if it was run with fewer label counts.
        level: The confidence level: the share of intervals that cover the true factor.
        resamples: Bootstrap draws of seeds and test rows, shared by both curves and all budgets.
        seed: The random seed of the draws.

    Raises:
        DataError: The answers are not 0/1 answers, or tallies, of one shape, or the budgets do not
            increase.
    """
    others = budgets if scratch_budgets is None else scratch_budgets
    both = [_checked(method, budgets), _checked(scratch, others)]
    if both[0].shape[1:] != both[1].shape[1:]:
        raise DataError(
            "a method and scratch need the same seeds and rows, got "
            f"{list(both[0].shape[1:])} and {list(both[1].shape[1:])}"
        )
    values = np.concatenate([tallies.values() for tallies in both])
    scores = values.mean((-2, -1))
    moved = deviations(values, resamples=resamples, seed=seed)
    estimate = _log_factors(scores, budgets, others)
    drawn = _log_factors((scores[:, None] + moved).T, budgets, others)
    tails = [(1 - level) / 2, (1 + level) / 2]
    limits = np.quantile(drawn, tails, axis=0, method="inverted_cdf")  # never averages infinities
    return [
        HeadStart(labels, *(_multiple(factor, labels, others) for factor in factors))
        for labels, factors in zip(budgets, np.stack([estimate, *limits]).T, strict=True)
    ]


def isotonic(scores: Array) -> Array:
    """Return the non-decreasing curves closest to `scores` `[..., B]` in least squares.

    More labels should not lower a score. A drop between budgets is noise, and is averaged out; a
    running maximum would keep every lucky peak. By the max-min formula (Barlow et al., 1972), point
    i is the maximum over j <= i of the minimum over k >= i of mean(scores[j..k]).
    """
    num_points = scores.shape[-1]
    sums = np.concatenate([np.zeros((*scores.shape[:-1], 1)), scores.cumsum(-1)], axis=-1)
    first, last = np.ogrid[:num_points, :num_points]
    means = (sums[..., None, 1:] - sums[..., :-1, None]) / np.maximum(last - first + 1, 1)
    means = np.where(last >= first, means, np.inf)
    least = np.minimum.accumulate(means[..., ::-1], axis=-1)[..., ::-1]
    curves: Array = np.where(last >= first, least, -np.inf).max(axis=-2)
    return curves


def _log_factors(scores: Array, budgets: Sequence[int], others: Sequence[int]) -> Array:
    """Return the log head starts `[..., B]` for the method's and scratch's scores `[..., B + O]`.

    They are infinite beyond scratch's curve. Where scratch is flat at the method's score, many
    label counts reach that score; the one nearest to the method's count is used, so scratch has no
    head start over itself.
    """
    own, logs = np.log(budgets), np.log(others)
    halves = scores[..., : len(budgets)], scores[..., len(budgets) :]
    method, scratch = (isotonic(half).round(9) for half in halves)  # equal curves stay equal
    below = (scratch[..., None, :] < method[..., :, None]).sum(-1)
    reached = (scratch[..., None, :] <= method[..., :, None]).sum(-1)
    first, last = (_crossing(method, scratch, logs, index) for index in (below, reached))
    factors = np.clip(own, first, last) - own
    factors = np.where(reached == 0, -np.inf, factors)
    return np.where(below == len(others), np.inf, factors)


def _crossing(target: Array, curve: Array, logs: Array, index: NDArray[np.int64]) -> Array:
    """Return the log labels at which `curve` meets `target` between points `index - 1` and `index`.

    Before the first point, it is the first point's count; after the last, the last point's.
    """
    right = np.clip(index, 1, max(len(logs) - 1, 1)) % len(logs)
    low = np.take_along_axis(curve, right - 1, axis=-1)
    high = np.take_along_axis(curve, right, axis=-1)
    share = (index > 0).astype(np.float64)
    np.divide(target - low, high - low, out=share, where=(index > 0) & (index < len(logs)))
    met: Array = logs[right - 1] + share * (logs[right] - logs[right - 1])
    return met


def _multiple(log_factor: float, labels: int, others: Sequence[int]) -> Multiple:
    if log_factor == np.inf:
        return Multiple(others[-1] / labels, ">")
    if log_factor == -np.inf:
        return Multiple(others[0] / labels, "<")
    return Multiple(float(np.exp(log_factor)))


def _checked(correct: ArrayLike | Tallies, budgets: Sequence[int]) -> Tallies:
    tallies = as_tallies(correct)
    if len(tallies.shape) != 3 or tallies.shape[0] != len(budgets):
        shape = list(tallies.shape)
        raise DataError(f"answers have shape {shape}, expected [{len(budgets)}, seeds, rows]")
    if budgets[0] < 1 or any(labels >= more for labels, more in pairwise(budgets)):
        raise DataError(f"label budgets must be increasing and at least 1, got {list(budgets)}")
    return tallies


def transfers(method: str) -> bool:
    """Whether a method, judged by its name, transfers something pretrained to the task."""
    return method not in (REFERENCE, *BASELINES) and not method.endswith(f":{REFERENCE}")


def headline(rows: Sequence[Mapping[str, Any]], *, wording: Wording = TEXTS) -> dict[str, Any]:
    """Return the head start to quote and the sentence a manager reads first.

    The rule was fixed before any result was known, so nothing is selected by luck:

    * The label count is the largest that is at most a tenth of the largest compared, where a head
      start of ten can still be seen, or else the smallest.
    * The method is, of the pretrained methods that were run with that count, the one with the best
      validation score at the largest label count that all of them were run with, because few
      labels leave too few validation rows to select by.
    * A head start is claimed if the method beats scratch with p below 0.05, the whole interval lies
      above 1, and the table's scores do not contradict it.

    Test rows select nothing, so this is a single test, and p is not corrected.

    Args:
        rows: The summary that `summarize` returns.
        wording: The terms of the task.

    Returns:
        `sentence`, and `method`, `labels`, `factor`, `low`, `high`, `bound`, `low_bound` and
        `high_bound`, which are all None if there is no head start to quote.
    """
    labels = quoted_labels([row["labels"] for row in rows])
    pretrained = [row for row in rows if row["labels"] == labels and transfers(row["method"])]
    measured = any((row["method"], row["labels"]) == (REFERENCE, labels) for row in rows)
    if not (pretrained and measured):
        return {"sentence": _not_measured(rows, labels, wording), **dict.fromkeys(_QUOTED)}
    best = _chosen(pretrained, rows)
    if not _is_claim(best) or _refuting(best, rows):
        return {"sentence": _no_head_start(best, rows, wording), **dict.fromkeys(_QUOTED)}
    sentence = _claim(best, wording) + _better_baseline(best, rows, wording)
    return {"sentence": sentence, **{key: best[name] for key, name in _QUOTED.items()}}


def quoted_labels(budgets: Sequence[int]) -> int:
    """Return the label count whose head start is quoted: see `headline`."""
    within = [labels for labels in budgets if 10 * labels <= max(budgets)]
    return max(within, default=min(budgets))


def _chosen(
    quoted: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]]
) -> Mapping[str, Any]:
    """Return the quoted row whose method is selected by validation score: see `headline`."""
    own = {row["method"]: row for row in quoted}
    others = [row for row in rows if row["method"] in own]
    runs = Counter(row["labels"] for row in others)
    largest = max(labels for labels, methods in runs.items() if methods == len(own))
    return own[best_by_validation([row for row in others if row["labels"] == largest])["method"]]


_QUOTED = {
    "method": "method",
    "labels": "labels",
    "factor": "head_start",
    "low": "head_start_low",
    "high": "head_start_high",
    "bound": "head_start_bound",
    "low_bound": "head_start_low_bound",
    "high_bound": "head_start_high_bound",
}


def _is_claim(row: Mapping[str, Any]) -> bool:
    start = HeadStart.of(row)
    return (
        start is not None
        and row["vs_scratch"] > 0
        and row["p"] < 0.05
        and start.low.bound != "<"
        and start.low.value > 1
    )


def _refuting(
    row: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]
) -> Mapping[str, Any] | None:
    """Return a row in which scratch scores as well as a method said to exceed its whole curve.

    It is the one with the fewest labels; None if there is none. Such rows exist because curves are
    made non-decreasing: the curve of a method that scored higher with fewer labels lies above its
    score, and scratch's curve lies below its score where it drops later.
    """
    if row["head_start_bound"] is None:
        return None
    reached = [
        each
        for each in rows
        if each["method"] == REFERENCE
        and each["labels"] > row["labels"]
        and each["mean"] >= row["mean"]
    ]
    return min(reached, key=lambda each: int(each["labels"]), default=None)


def _claim(row: Mapping[str, Any], wording: Wording) -> str:
    factor, low, high = (_spoken(row, name) for name in ("", "_low", "_high"))
    needed = row["head_start"] * row["labels"]
    if row["head_start_bound"]:
        gain = f"scores higher than training from scratch with {needed:,.0f}"
    else:
        gain = f"scores as well as training from scratch with about {float(f'{needed:.2g}'):,.0f}"
    between = "" if low == factor == high else f" (95% confidence interval: {low} to {high})"
    return (
        f"With {row['labels']:,} {wording.labels}, {row['method']} {gain}: a head start of "
        f"{factor}{between}."
    )


def _spoken(row: Mapping[str, Any], part: str) -> str:
    times = f"{Multiple(row[f'head_start{part}'])}x"
    return f"more than {times}" if row[f"head_start{part}_bound"] == ">" else times


def _better_baseline(
    best: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], wording: Wording
) -> str:
    rivals = [row for row in rows if row["method"] in BASELINES and row["labels"] == best["labels"]]
    rival = max(rivals, key=lambda row: row["mean"], default=None)
    if rival is None or rival["mean"] < best["mean"]:
        return ""
    return (
        f" However, {rival['method']}, which needs no pretraining, scores at least as well with "
        f"the same {wording.labels}: {rival['mean']:.3f} versus {best['mean']:.3f}."
    )


def _no_head_start(
    best: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], wording: Wording
) -> str:
    (scratch,) = (
        row["mean"] for row in rows if (row["method"], row["labels"]) == (REFERENCE, best["labels"])
    )
    refuting = _refuting(best, rows) if _is_claim(best) else None
    falls = later = ""
    if refuting is not None:
        falls = f" (lower than with fewer {wording.labels})" if _fell(best, rows) else ""
        later = f", and {refuting['mean']:.3f} with {refuting['labels']:,}"
    return (
        f"With {best['labels']:,} {wording.labels}, no head start can be claimed: "
        f"{best['method']}, the pretrained method selected by validation score, scores "
        f"{best['mean']:.3f}{falls}; training from scratch scores {scratch:.3f}{later}. "
        f"{_highest(rows, wording)}"
    )


def _fell(row: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a method scored higher with fewer labels."""
    return any(
        each["method"] == row["method"]
        and each["labels"] < row["labels"]
        and each["mean"] > row["mean"]
        for each in rows
    )


def _not_measured(rows: Sequence[Mapping[str, Any]], labels: int, wording: Wording) -> str:
    at_all = [row["method"] for row in rows]
    there = [row["method"] for row in rows if row["labels"] == labels]
    if REFERENCE not in there:
        missing = f"{REFERENCE} is not among the methods"
        ran = REFERENCE in at_all
    else:
        missing = "no pretrained method was compared"
        ran = any(map(transfers, at_all))
    where = f" with {labels:,} {wording.labels}" if ran else ""
    return f"No head start was measured because {missing}{where}. {_highest(rows, wording)}"


def _highest(rows: Sequence[Mapping[str, Any]], wording: Wording) -> str:
    most = max(row["labels"] for row in rows)
    there = [row for row in rows if row["labels"] == most]
    best = max(row["mean"] for row in there)
    methods = [row["method"] for row in there if row["mean"] > best - 1e-9]  # ties up to rounding
    score = "scores" if len(methods) == 1 else "score"
    return f"With {most:,} {wording.labels}, {together(methods)} {score} best: {best:.3f}."
