"""Could the winner have been predicted? Estimates from a few labels, checked against the scores."""

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

from headstart.compare.contestants import Contestant
from headstart.compare.ranking import ESTIMATES, fewest_labels, rank_encoders, without_copies
from headstart.compare.tasks import CLASSIFICATION, ComparedTask, Examples
from headstart.data.splits import nested_subsets
from headstart.hub.bundle import Pretrained
from headstart.progress import Progress

Row = Mapping[str, Any]

_MOST_TEXTS = 200
_FEWEST_ENCODERS = 4  # for a rank correlation


def forecast(
    contestants: Sequence[Contestant],
    encoders: Mapping[str, Pretrained],
    train: Examples,
    budgets: Sequence[int],
    *,
    task: ComparedTask = CLASSIFICATION,
    progress: Progress,
) -> dict[str, Any] | None:
    """Rank the encoders of a comparison by how well their frozen features suit a few labels.

    These are the training labels of the middle budget and the first seed, at most 200, or two for
    each class if that is more. Duplicates among them are removed.

    Args:
        contestants: The methods.
        encoders: The encoders to rank, by name.
        train: The labeled rows.
        budgets: The label budgets, in increasing order.
        task: The task of the comparison.
        progress: Where progress is reported.

    Returns:
        The result of `rank_encoders`, and the `seconds` it took; None if there are fewer than two
        encoders, or too few labels.
    """
    names = dict.fromkeys(_encoders(contestants).values())
    chosen = [(name, encoders[name]) for name in names if name in encoders]
    if len(chosen) < 2:
        return None
    started = time.perf_counter()
    strata = task.strata(train)
    fewest = fewest_labels(len(set(strata)))
    if fewest > len(train):
        return None
    labels = max(min(budgets[len(budgets) // 2], _MOST_TEXTS), fewest)
    given = train.select(nested_subsets(strata, [labels], seed=0)[labels])
    given = without_copies(task, given)
    found = rank_encoders(chosen, given, task=task, total=len(chosen), seed=0, progress=progress)
    return {**found, "seconds": time.perf_counter() - started}


def hold_against(
    found: Mapping[str, Any], contestants: Sequence[Contestant], summary: Sequence[Row]
) -> dict[str, Any]:
    """Return a forecast together with the actual scores.

    Args:
        found: The result of `forecast`.
        contestants: The methods.
        summary: The table of the comparison.

    Returns:
        The forecast; `reached`: the best method of each encoder at each budget, and its score; and
        `judged`: by estimate and budget, the predicted and the actual order, Kendall's tau (None
        for fewer than four encoders, or if it is undefined), and the regret: the best score minus
        that of the encoder that was predicted to be the best.
    """
    encoder_of = _encoders(contestants)
    reached: list[dict[str, Any]] = []
    for labels in sorted({row["labels"] for row in summary}):
        best: dict[str, Row] = {}
        for row in summary:
            name = encoder_of.get(row["method"])
            if row["labels"] == labels and name is not None:
                best[name] = max(best.get(name, row), row, key=lambda each: float(each["mean"]))
        reached += [
            {"encoder": name, "labels": labels, "method": row["method"], "mean": row["mean"]}
            for name, row in best.items()
        ]
    judged = [
        _judge(found["encoders"], [row for row in reached if row["labels"] == labels], estimate)
        for estimate in ESTIMATES
        for labels in dict.fromkeys(row["labels"] for row in reached)
    ]
    return {**found, "reached": reached, "judged": [each for each in judged if each]}


def _encoders(contestants: Sequence[Contestant]) -> dict[str, str]:
    """Return the encoder of each method that transfers one."""
    return {
        one.name: one.encoder for one in contestants if one.encoder and one.transfer != "scratch"
    }


def _judge(encoders: Sequence[Row], reached: Sequence[Row], estimate: str) -> dict[str, Any] | None:
    """Compare the order by one estimate with the scores at one budget."""
    scores = {row["encoder"]: row["mean"] for row in reached}
    told = {row["encoder"]: row[estimate]["value"] for row in encoders if row["encoder"] in scores}
    if len(told) < 2:
        return None
    foretold = sorted(told, key=lambda name: -told[name])
    order = sorted(told, key=lambda name: -scores[name])
    tau = math.nan
    if len(told) >= _FEWEST_ENCODERS:
        from scipy.stats import kendalltau  # late: the import takes a second

        tau = float(
            kendalltau([told[name] for name in order], [scores[n] for n in order]).statistic
        )
    return {
        "estimate": estimate,
        "labels": reached[0]["labels"],
        "encoders": len(told),
        "foretold": foretold,
        "found": order,
        "tau": None if math.isnan(tau) else tau,
        "regret": scores[order[0]] - scores[foretold[0]],
    }
