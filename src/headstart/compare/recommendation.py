"""Which method to use: validation scores choose, and the test rows only say how good the choice is.

Rows are those of `summarize`: one for each method and label budget.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from headstart.compare.wording import TEXTS, Wording, brief, together

Row = Mapping[str, Any]


def best_by_validation(rows: Sequence[Row]) -> Row:
    """Return the row of best validation score; of equals, the one of lowest validation loss.

    What gives no probabilities has no loss, and comes after its equals. Means that differ by their
    rounding alone are equal.
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
    """Say what to use with so many labels, why, and what to use with any fewer.

    The label count that was compared and is nearest to `labels`, on a logarithmic axis, decides,
    among the methods that were run with it; those that were not are named.

    Args:
        rows: The summary.
        labels: The labels there are.
        left_out: The `method` and `labels` of what was not run.
        wording: What the things of the task are called.

    Returns:
        `method`, `labels` (the count that decides), `given` (the user's), `why` in sentences, and
        `by_labels`: the row of the chosen method at every label count.
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
        f"With {labels:,} {wording.labels} there was no time for {', '.join(methods)}, which may "
        "be better."
    ]


def _scores(best: Row, rivals: Sequence[Row], labels: int, wording: Wording) -> str:
    given = f"You have {labels:,} {wording.labels}"
    if best["labels"] != labels:
        given += f", and {best['labels']:,} is the nearest count compared"
    chosen = (
        f"it has the best validation score ({best['validation']:.3f}, mean over seeds"
        f"{_next_best(best, rivals)})"
    )
    if not best["validation"]:
        chosen = (
            "no method scores above 0 on validation, so that the lowest loss chose, which says "
            f"little: more {wording.labels} are needed"
        )
    return (
        f"{given}: there {chosen}. On the test rows, which had no say, it scores "
        f"{best['mean']:.3f} [{best['low']:.3f}, {best['high']:.3f}]."
    )


def _next_best(best: Row, rivals: Sequence[Row]) -> str:
    if not rivals:
        return ""
    equals = [row["method"] for row in rivals if _score(row) == _score(best)]
    if equals:
        have = "has" if len(equals) == 1 else "have"
        return f"; {together(equals)} {have} the same, and no lower loss"
    rival = best_by_validation(rivals)
    score = f"{rival['validation']:.3f}"
    looks_equal = score == f"{best['validation']:.3f}"
    return f"; next is {rival['method']} with {'a little less' if looks_equal else score}"


def _cost(best: Row, wording: Wording) -> list[str]:
    costs = [best[name] for name in ("seconds", "megabytes", "predictions_per_second")]
    if None in costs:
        return []
    seconds, megabytes, speed = costs
    return [
        f"It fits in {brief(seconds, 2)} s, keeps {brief(megabytes, 2)} MB and predicts "
        f"{speed:,.0f} {wording.example}s a second on one core."
    ]
