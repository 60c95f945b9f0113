"""Clean test rows: those that, as far as can be checked, no method saw before the test."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np

from headstart.compare.contestants import Contestant
from headstart.compare.tallies import as_tallies
from headstart.compare.wording import TEXTS, Wording
from headstart.data.columns import several
from headstart.data.contamination import Examples, SeenRows, find_seen, too_few_words
from headstart.data.corpora import Corpus
from headstart.progress import Progress

_MOST_PAIRS = 3  # listed in a warning


def look_for_seen(
    train: Examples,
    test: Examples,
    corpus: Corpus | None,
    contestants: Sequence[Contestant],
    *,
    symmetric: bool = False,
    progress: Progress,
) -> SeenRows:
    """Find test rows that were seen before the test.

    The corpus is searched only if a method learns from it.
    """
    learns = learns_from_corpus(contestants)
    looked_at = corpus if learns else None
    return find_seen(train, test, looked_at, symmetric=symmetric, progress=progress)


def learns_from_corpus(contestants: Sequence[Contestant]) -> bool:
    """Whether an encoder is pretrained or adapted on the corpus."""
    return any(one.is_adapted or _is_made_of_corpus(one) for one in contestants)


def _is_made_of_corpus(one: Contestant) -> bool:
    return bool(one.encoder) and not one.source and one.base != "cove"


def clean_facts(seen: SeenRows, contestants: Sequence[Contestant]) -> dict[str, Any]:
    """Return the report's facts about clean rows, including which rows are clean."""
    elsewhere = [one.base for one in contestants if one.encoder and not _is_made_of_corpus(one)]
    facts: dict[str, Any] = {
        "rows": seen.num_clean,
        "test_rows": len(seen.clean),
        "leaked": seen.leaks.num_test_rows,
        "nearly_leaked": seen.near_leaks.num_test_rows,
        "in_corpus": seen.overlap.num_rows if seen.overlap else None,
        "too_short": seen.overlap.num_short_rows if seen.overlap else None,
        "unknown": list(dict.fromkeys(elsewhere)),
        "by_row": [int(clean) for clean in seen.clean],
    }
    return {"sentence": _sentence(facts), **facts}


def _sentence(facts: dict[str, Any]) -> str:
    looked, short = facts["in_corpus"] is not None, facts["too_short"]
    corpus = f"the corpus; {too_few_words(short)}." if short else "the corpus."
    if facts["rows"] == facts["test_rows"] == 1:
        said = (
            "The only test row is clean: it is neither a training row nor nearly identical to one"
        )
        overlap = "is not known to overlap" if short else "does not overlap"
        said += f", and {overlap} with {corpus}" if looked else "."
    elif facts["rows"] == facts["test_rows"]:
        said = (
            f"All {facts['rows']:,} test rows are clean: none is a training row or nearly "
            "identical to one"
        )
        overlap = "none is known to overlap" if short else "none overlaps"
        said += f", and {overlap} with {corpus}" if looked else "."
    else:
        are = "is" if facts["rows"] == 1 else "are"
        are_training_rows = "is a training row" if facts["leaked"] == 1 else "are training rows"
        overlap = "overlaps" if facts["in_corpus"] == 1 else "overlap"
        said = (
            f"{facts['rows']:,} of {several(facts['test_rows'], 'test row')} {are} clean: "
            f"{facts['leaked']:,} {are_training_rows}, {facts['nearly_leaked']:,} nearly "
            "identical to one"
        )
        said += f", and {facts['in_corpus']:,} {overlap} with {corpus}" if looked else "."
    if facts["unknown"]:
        names = ", ".join(facts["unknown"])
        said += f" What else {names} learned from was not searched and may contain clean rows."
    return said


def clean_value(cell: Mapping[str, Any], clean: Sequence[bool]) -> float | None:
    """Return a cell's score on the clean rows alone, or None if there are none."""
    if not any(clean):
        return None
    total = [cell["total"]] if "total" in cell else None
    kept = as_tallies([cell["correct"]], total)[..., np.asarray(clean, bool)]
    return float(kept.values().mean())


def changed_rankings(
    changes: Sequence[Mapping[str, Any]], num_clean: int, *, wording: Wording = TEXTS
) -> list[str]:
    """Return a sentence for each number of labels whose ranking of methods changes on clean rows.

    Args:
        changes: The result of `ranking_changes`.
        num_clean: How many rows are clean.
        wording: The terms of the task.
    """
    found = []
    for labels, group in groupby(changes, key=lambda row: row["labels"]):
        rows = sorted(group, key=lambda row: row["clean_difference"] - row["difference"])
        pairs = "; ".join(map(_pair, rows[:_MOST_PAIRS]))
        rest = len(rows) - _MOST_PAIRS
        more = f"; and {several(rest, 'more pair')}" if rest > 0 else ""
        found.append(
            f"With {labels:,} {wording.labels}, the ranking changes on the "
            f"{several(num_clean, 'clean test row')}: {pairs}{more}."
        )
    return found


def _pair(row: Mapping[str, Any]) -> str:
    return (
        f"{row['above']} is ahead of {row['below']} on all rows, "
        f"{row['difference']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}], but behind on clean "
        f"rows, {row['clean_difference']:+.3f} [{row['clean_low']:+.3f}, {row['clean_high']:+.3f}]"
    )
