"""From the cells of a comparison to its table: one row for each method and label budget."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import permutations
from typing import Any

import numpy as np

from headstart.compare.contestants import ADAPTED
from headstart.compare.head_start import REFERENCE, head_starts
from headstart.compare.statistics import (
    RESAMPLES,
    Interval,
    holm,
    interval,
    paired_difference,
    paired_test,
)
from headstart.compare.tallies import Tallies, as_tallies
from headstart.errors import DataError

Cell = Mapping[str, Any]
Key = tuple[str, int]  # method, labels


def summarize(
    cells: Sequence[Cell],
    *,
    clean: Sequence[bool] | None = None,
    resamples: int = RESAMPLES,
) -> list[dict[str, Any]]:
    """Return the table of a comparison: methods in the cells' order, label budgets increasing.

    Everything is paired, so only seeds that every method has finished at all its budgets count.
    Differences, p-values and head starts are relative to `scratch`, and None without it. The
    p-values are Holm-corrected over the whole table.

    Args:
        cells: Runs with `method`, `labels`, `seed`, `correct` (right answers for each test row),
            `total` (all answers, if a row can have more than one), `degenerate` (a reason or None)
            and the measurements to average.
        clean: Whether each test row is clean; all are if None. `clean_mean`, `clean_low` and
            `clean_high` cover the clean rows only, and are None if there are none.
        resamples: The number of bootstrap draws of seeds and test rows.

    Raises:
        DataError: No seed is common to all, or the cells differ in their number of test rows.
    """
    groups = _paired(cells)
    tallies = _tallies(groups.values())
    scores = interval(tallies, resamples=resamples)
    on_clean = _of_clean_rows(tallies, scores, clean, resamples)
    rows = [
        {
            "method": method,
            "labels": labels,
            "mean": float(mean),
            "low": float(low),
            "high": float(high),
            **dict(zip(_ON_CLEAN, clean_scores, strict=True)),
            **{name: _mean(group, name) for name in _MEASUREMENTS},
            "degenerate": sum(cell.get("degenerate") is not None for cell in group),
            **dict.fromkeys(_AGAINST_REFERENCE),
        }
        for ((method, labels), group), mean, low, high, clean_scores in zip(
            groups.items(), *scores, on_clean, strict=True
        )
    ]
    table = {key: tallies[number] for number, key in enumerate(groups)}
    compared = [
        row for row in rows if row["method"] != REFERENCE and (REFERENCE, row["labels"]) in table
    ]
    if compared:
        _add_differences(compared, table, resamples)
        _add_head_starts(compared, table, resamples)
    return rows


_ON_CLEAN = ("clean_rows", "clean_mean", "clean_low", "clean_high")
_MEASUREMENTS = (
    *("macro_f1", "validation", "validation_loss", "calibration_error"),
    *("seconds", "megabytes", "predictions_per_second"),
)
_AGAINST_REFERENCE = (
    *("vs_scratch", "vs_low", "vs_high", "p", "p_holm"),
    *("head_start", "head_start_low", "head_start_high"),
    *("head_start_bound", "head_start_low_bound", "head_start_high_bound"),
)


def _of_clean_rows(
    tallies: Tallies, scores: Interval, clean: Sequence[bool] | None, resamples: int
) -> list[tuple[int, float | None, float | None, float | None]]:
    """Return, for each group, how many rows are clean and the mean and interval on them."""
    count = tallies.shape[-1] if clean is None else sum(clean)
    if not count:
        return [(0, None, None, None)] * len(scores.value)
    if count < tallies.shape[-1]:
        scores = interval(tallies[..., np.asarray(clean, bool)], resamples=resamples)
    return [
        (count, float(mean), float(low), float(high))
        for mean, low, high in zip(*scores, strict=True)
    ]


def ranking_changes(
    cells: Sequence[Cell],
    clean: Sequence[bool],
    *,
    resamples: int = RESAMPLES,
) -> list[dict[str, Any]]:
    """Return the pairs of methods whose order on all test rows is reversed on the clean rows.

    At each number of labels, a pair counts if the interval of its paired difference excludes zero
    on all rows or on the clean rows. Otherwise, no order was claimed that could change.

    Args:
        cells: As in `summarize`.
        clean: Whether each test row is clean.
        resamples: The number of bootstrap draws of seeds and test rows.

    Returns:
        A row for each pair: `labels`, `above`, the method that is ahead on all rows, `below`, and
        `difference`, `low`, `high`, `clean_difference`, `clean_low` and `clean_high`, of above
        minus below.
    """
    groups = _paired(cells)
    tallies = _tallies(groups.values())
    kept = tallies[..., np.asarray(clean, bool)]
    if not kept.shape[-1] or kept.shape == tallies.shape:
        return []
    means, clean_means = (each.values().mean((-2, -1)) for each in (tallies, kept))
    pairs = [
        (above, below)
        for (above, key), (below, other) in permutations(enumerate(groups), 2)
        if key[1] == other[1]
        and means[above] > means[below]
        and clean_means[above] < clean_means[below]
    ]
    if not pairs:
        return []
    first, second = np.array(pairs).T
    found = [
        paired_difference(each[first], each[second], resamples=resamples)
        for each in (tallies, kept)
    ]
    names = ("difference", "low", "high", "clean_difference", "clean_low", "clean_high")
    keys = list(groups)
    rows = [
        {"labels": keys[above][1], "above": keys[above][0], "below": keys[below][0]}
        | dict(zip(names, map(float, numbers), strict=True))
        for (above, below), *numbers in zip(pairs, *found[0], *found[1], strict=True)
    ]
    changes = [row for row in rows if row["low"] > 0 or row["clean_high"] < 0]
    return sorted(changes, key=lambda row: row["labels"])


def _paired(cells: Sequence[Cell]) -> dict[Key, list[Cell]]:
    """Group the cells by method and labels, each group with the seeds common to all, in order."""
    groups: dict[Key, dict[int, Cell]] = {}
    for cell in cells:
        groups.setdefault((cell["method"], cell["labels"]), {})[cell["seed"]] = cell
    if not groups:
        raise DataError("nothing to summarize: no cell of the comparison is finished")
    common = sorted(set.intersection(*(set(group) for group in groups.values())))
    if not common:
        raise DataError("no seed is finished for every method and label budget; run more cells")
    methods = list(dict.fromkeys(method for method, _ in groups))
    keys = sorted(groups, key=lambda key: (methods.index(key[0]), key[1]))
    return {key: [groups[key][seed] for seed in common] for key in keys}


def _tallies(groups: Iterable[Sequence[Cell]]) -> Tallies:
    """Return the tallies of the test rows, `[groups, seeds, rows]`."""
    runs = list(groups)
    correct = [[cell["correct"] for cell in cells] for cells in runs]
    if not any("total" in cell for cells in runs for cell in cells):
        return as_tallies(correct)
    return as_tallies(correct, [[cell["total"] for cell in cells] for cells in runs])


def _add_differences(
    rows: Sequence[dict[str, Any]], table: Mapping[Key, Tallies], resamples: int
) -> None:
    method = Tallies.stack(table[row["method"], row["labels"]] for row in rows)
    scratch = Tallies.stack(table[REFERENCE, row["labels"]] for row in rows)
    differences = zip(*paired_difference(method, scratch, resamples=resamples), strict=True)
    p_values = [float(p) for p in paired_test(method, scratch)]
    for row, difference, p, corrected in zip(
        rows, differences, p_values, holm(p_values), strict=True
    ):
        row["vs_scratch"], row["vs_low"], row["vs_high"] = (float(each) for each in difference)
        row["p"], row["p_holm"] = p, corrected


def _add_head_starts(
    rows: Sequence[dict[str, Any]], table: Mapping[Key, Tallies], resamples: int
) -> None:
    for method in dict.fromkeys(row["method"] for row in rows):
        if method == "majority":  # it does not learn
            continue
        own = [row for row in rows if row["method"] == method]
        budgets = [row["labels"] for row in own]
        others = [labels for name, labels in table if name == REFERENCE]
        curve, scratch = (
            Tallies.stack(table[name, labels] for labels in counts)
            for name, counts in ((method, budgets), (REFERENCE, others))
        )
        starts = head_starts(curve, scratch, budgets, others, resamples=resamples)
        for row, start in zip(own, starts, strict=True):
            row["head_start"], row["head_start_bound"] = start.factor.value, start.factor.bound
            row["head_start_low"], row["head_start_low_bound"] = start.low.value, start.low.bound
            row["head_start_high"] = start.high.value
            row["head_start_high_bound"] = start.high.bound


def gains(cells: Sequence[Cell], *, resamples: int = RESAMPLES) -> list[dict[str, Any]]:
    """Return the gains from pretraining and adaptation: the same model with and without, paired.

    `bert:finetune` and `bert:scratch` are a model with and without pretraining;
    `bert+adapt:finetune` and `bert:finetune` are one with and without adaptation. There is a row
    for each such pair at each number of labels that both were run with: `of` (`pretraining` or
    `adaptation`), `method`, `without`, `labels`, `difference`, `low`, `high`, `p`, and `p_holm`,
    corrected over these rows.

    Args:
        cells: As in `summarize`.
        resamples: The number of bootstrap draws of seeds and test rows.
    """
    groups = _paired(cells)
    pairs = [
        (what, method, without, labels)
        for method, labels in groups
        for what, without in _without(method)
        if (without, labels) in groups
    ]
    if not pairs:
        return []
    own, other = (
        _tallies(groups[key] for key in keys)
        for keys in (
            [(method, labels) for _, method, _, labels in pairs],
            [(without, labels) for _, _, without, labels in pairs],
        )
    )
    found = paired_difference(own, other, resamples=resamples)
    p_values = [float(p) for p in paired_test(own, other)]
    return [
        {
            "of": what,
            "method": method,
            "without": without,
            "labels": labels,
            "difference": float(difference),
            "low": float(low),
            "high": float(high),
            "p": p,
            "p_holm": corrected,
        }
        for (what, method, without, labels), difference, low, high, p, corrected in zip(
            pairs, *found, p_values, holm(p_values), strict=True
        )
    ]


def _without(method: str) -> list[tuple[str, str]]:
    """Return what a method is compared with, to measure the gain from one thing."""
    encoder, _, transfer = method.rpartition(":")
    found = []
    if encoder.endswith(ADAPTED):
        found.append(("adaptation", f"{encoder.removesuffix(ADAPTED)}:{transfer}"))
    elif transfer == "finetune":
        found.append(("pretraining", f"{encoder}:{REFERENCE}"))
    return found


def _mean(cells: Sequence[Cell], name: str) -> float | None:
    """Return the mean of a measurement over the cells, or None if one lacks it."""
    values = [float(cell[name]) for cell in cells if cell.get(name) is not None]
    return float(np.mean(values)) if len(values) == len(cells) else None
