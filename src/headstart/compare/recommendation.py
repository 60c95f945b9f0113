"""Which method to use: validation scores choose; the test rows only measure the choice.

Rows are those of `summarize`: one for each method and label budget.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from headstart.compare.wording import TEXTS, Wording, brief, together

Row = Mapping[str, Any]


def best_by_validation(rows: Sequence[Row]) -> Row:
    """Return the row with the best validation score; ties go to the lowest validation loss.

    A method without probabilities has no loss and comes last in a tie. Means that differ only by
    rounding are ties.
    """

    def place(row: Row) -> tuple[float, float]:
        loss = row["validation_loss"]
        return -_score(row), math.inf if loss is None else round(loss, 9)

    return min(rows, key=place)


def _score(row: Row) -> float:
    return round(float(row["validation"]), 9)


def recommend(
    rows: Sequence[Row], *, labels: int, left_out: Sequence[Row] = (), wording: Wording = TEXTS
) -> dict[str, Any]:
    """Return what to use with so many labels, why, and what to use with each compared count.

    The choice is made at the compared label count that is nearest to `labels` on a logarithmic
    axis, among the methods that were run with it. Methods that were not run with it are named.

    Args:
        rows: The summary.
        labels: The number of labels available.
        left_out: The `method` and `labels` of what was not run.
        wording: The terms of the task.

    Returns:
        `method`, `labels` (the count that decides), `given` (the user's count), `why` in sentences,
        and `by_labels`: the row of the chosen method at every label count.
    """
    budgets = sorted({row["labels"] for row in rows})
    choices = [best_by_validation([r for r in rows if r["labels"] == budget]) for budget in budgets]
    best = min(choices, key=lambda row: abs(math.log(row["labels"] / labels)))
    rivals = [r for r in rows if r["labels"] == best["labels"] and r["method"] != best["method"]]
    return {
        "method": best["method"],
        "labels": best["labels"],
        "given": labels,
        "why": " ".join(
            [
                _scores(best, rivals, labels, wording),
                *_cost(best, wording),
                *_not_run(left_out, best["labels"], wording),
            ]
        ),
        "by_labels": choices,
    }


def _not_run(left_out: Sequence[Row], labels: int, wording: Wording) -> list[str]:
    methods = [row["method"] for row in left_out if row["labels"] == labels]
    if not methods:
        return []
    return [
        f"With {labels:,} {wording.labels}, there was no time for {', '.join(methods)}, which may "
        "be better."
    ]


def _scores(best: Row, rivals: Sequence[Row], labels: int, wording: Wording) -> str:
    given = f"You have {labels:,} {wording.labels}"
    if best["labels"] != labels:
        given += f"; the nearest count compared is {best['labels']:,}"
    chosen = (
        f"{best['method']} has the best validation score ({best['validation']:.3f}, mean over seeds"
        f"{_next_best(best, rivals)})"
    )
    if not best["validation"]:
        chosen = (
            f"no method has a validation score above 0; {best['method']} has the lowest validation "
            f"loss, which is weak evidence: more {wording.labels} are needed"
        )
    return (
        f"{given}. At this count, {chosen}. On the test rows, which played no part in the choice, "
        f"it scores {best['mean']:.3f} [{best['low']:.3f}, {best['high']:.3f}]."
    )


def _next_best(best: Row, rivals: Sequence[Row]) -> str:
    if not rivals:
        return ""
    equals = [row["method"] for row in rivals if _score(row) == _score(best)]
    if equals:
        have = "has" if len(equals) == 1 else "have"
        return f"; {together(equals)} {have} the same score and no lower loss"
    rival = best_by_validation(rivals)
    score = f"{rival['validation']:.3f}"
    looks_equal = score == f"{best['validation']:.3f}"
    return f"; the next best is {rival['method']} with {'slightly less' if looks_equal else score}"


def _cost(best: Row, wording: Wording) -> list[str]:
    costs = [best[name] for name in ("seconds", "megabytes", "predictions_per_second")]
    if None in costs:
        return []
    seconds, megabytes, speed = costs
    return [
        f"It takes {brief(seconds, 2)} s to fit and {brief(megabytes, 2)} MB to store, and "
        f"predicts {speed:,.0f} {wording.example}s per second on one core."
    ]
