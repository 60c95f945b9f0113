"""Score a method's answers on the test rows: the share that is correct, and each kind by itself."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np

from headstart.compare.statistics import degenerate
from headstart.tasks.classification import macro_f1
from headstart.tasks.tagging import OUTSIDE, Tags, TypeScores, score_tags, spans

Tagged = Sequence[Tags]


class Scored(NamedTuple):
    """The scores of a method's answers.

    Attributes:
        correct: How many answers are correct, for each row.
        total: How many answers there are, for each row; None if each row has one.
        macro_f1: The unweighted mean of every kind's F1.
        degenerate: Why the answers show that nothing was learned, or None.
        types: The scores of each type of span or tag; empty for classes.
    """

    correct: list[int]
    total: list[int] | None
    macro_f1: float
    degenerate: str | None
    types: tuple[TypeScores, ...] = ()

    def as_cell(self) -> dict[str, Any]:
        """Return plain values, with the score as `value`: correct answers over all answers."""
        total = len(self.correct) if self.total is None else sum(self.total)
        return {
            "value": sum(self.correct) / total if total else 0.0,
            "macro_f1": self.macro_f1,
            "correct": self.correct,
            **({} if self.total is None else {"total": self.total}),
            "degenerate": self.degenerate,
            **({"types": [asdict(each) for each in self.types]} if self.types else {}),
        }


Score = Callable[[Any, Any], Scored]


def score_classes(truth: Sequence[str], answers: Sequence[str]) -> Scored:
    """Score one class per row by accuracy."""
    predicted = np.asarray(answers)
    correct = (predicted == np.array(truth)).astype(int).tolist()
    return Scored(correct, None, macro_f1(truth, predicted), degenerate(predicted.tolist(), truth))


def score_spans(truth: Tagged, answers: Tagged) -> Scored:
    """Score the spans of sentences by strict F1: twice the correct over true plus predicted spans.

    Tags of any span scheme are accepted, and interpreted as in `conlleval`.
    """
    both = [(set(spans(gold)), set(spans(its))) for gold, its in zip(truth, answers, strict=True)]
    correct = [2 * len(gold & found) for gold, found in both]
    total = [len(gold) + len(found) for gold, found in both]
    why = None
    if not any(correct) and any(gold for gold, _ in both):
        given = sum(len(found) for _, found in both)
        why = (
            f"no predicted span is correct (of {given:,})"
            if given
            else f"predicts {OUTSIDE!r} for every word"
        )
    types = score_tags(truth, answers, "IOB2").types
    return Scored(correct, total, _macro(types), why, types)


def score_words(truth: Tagged, answers: Tagged) -> Scored:
    """Score the plain tags of words by accuracy."""
    correct = [sum(map(str.__eq__, gold, its)) for gold, its in zip(truth, answers, strict=True)]
    types = score_tags(truth, answers, "plain").types
    flat = ([tag for tags in some for tag in tags] for some in (answers, truth))
    return Scored(correct, list(map(len, truth)), _macro(types), degenerate(*flat), types)


def _macro(types: Sequence[TypeScores]) -> float:
    return sum(each.f1 for each in types) / max(1, len(types))
