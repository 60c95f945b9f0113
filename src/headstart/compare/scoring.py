"""What a method's answers to the test rows are worth: right ones of all, and each kind's share."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np

from headstart.compare.statistics import degenerate
from headstart.tasks.classification import macro_f1
from headstart.tasks.tagging import OUTSIDE, Tags, TypeScores, score_tags, spans

Tagged = Sequence[Tags]


class Scored(NamedTuple):
    """How good answers are.

    Attributes:
        correct: How many answers to each row are right.
        total: How many there are; None if each row has one.
        macro_f1: The unweighted mean of every kind's F1.
        degenerate: Why they show that nothing was learned, or None.
        types: The scores of each type of spans or tags; none of classes.
    """

    correct: list[int]
    total: list[int] | None
    macro_f1: float
    degenerate: str | None
    types: tuple[TypeScores, ...] = ()

    def as_cell(self) -> dict[str, Any]:
        """Return them as plain values, and `value`, the score: right answers over all answers."""
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
    """Score one class a row, by accuracy."""
    predicted = np.asarray(answers)
    correct = (predicted == np.array(truth)).astype(int).tolist()
    return Scored(correct, None, macro_f1(truth, predicted), degenerate(predicted.tolist(), truth))


def score_spans(truth: Tagged, answers: Tagged) -> Scored:
    """Score the spans of sentences by strict F1: twice the right ones over the true and the found.

    Tags of any scheme of spans are read, as `conlleval` reads them.
    """
    both = [(set(spans(gold)), set(spans(its))) for gold, its in zip(truth, answers, strict=True)]
    correct = [2 * len(gold & found) for gold, found in both]
    total = [len(gold) + len(found) for gold, found in both]
    why = None
    if not any(correct) and any(gold for gold, _ in both):
        given = sum(len(found) for _, found in both)
        why = (
            f"none of {given:,} spans is right" if given else f"answers {OUTSIDE!r} for every word"
        )
    types = score_tags(truth, answers, "IOB2").types
    return Scored(correct, total, _macro(types), why, types)


def score_words(truth: Tagged, answers: Tagged) -> Scored:
    """Score the plain tags of words by their accuracy."""
    correct = [sum(map(str.__eq__, gold, its)) for gold, its in zip(truth, answers, strict=True)]
    types = score_tags(truth, answers, "plain").types
    flat = ([tag for tags in some for tag in tags] for some in (answers, truth))
    return Scored(correct, list(map(len, truth)), _macro(types), degenerate(*flat), types)


def _macro(types: Sequence[TypeScores]) -> float:
    return sum(each.f1 for each in types) / max(1, len(types))
