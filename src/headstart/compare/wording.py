"""The terms that a report uses for a task: what has labels, what is counted, what is predicted."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Wording:
    """The terms of a task.

    Attributes:
        example: What has a label: a `text`, ..
        answer: What is predicted.
        labels: What a budget counts.
        kind: What an answer is one of: a `class`, ..
        kinds: The plural of `kind`.
        counted: What is counted in the data for each kind.
        majority: What the method `majority` predicts.
        nothing: What runs that learned nothing predict.
    """

    example: str = "text"
    answer: str = "text’s label"
    labels: str = "labels"
    kind: str = "class"
    kinds: str = "classes"
    counted: str = "rows"
    majority: str = "always the most frequent class"
    nothing: str = "only one class, or no better than always the most frequent class"


TEXTS = Wording()
PAIRS = Wording(example="pair", answer="pair’s label")
_SENTENCES = {"example": "sentence", "answer": "word’s tag", "labels": "sentences"}
_MAJORITY = "each word’s most frequent tag, or the most frequent tag of all for unknown words"
SPANS = Wording(
    **_SENTENCES,
    kind="type",
    kinds="types of spans",
    counted="spans",
    majority=_MAJORITY,
    nothing="no correct span",
)
WORDS = Wording(
    **_SENTENCES,
    kind="tag",
    kinds="tags",
    counted="words",
    majority=_MAJORITY,
    nothing="only one tag, or no better than always the most frequent tag",
)


def brief(number: float, digits: int = 3) -> str:
    """Return a number with so many significant digits, but large numbers with all digits."""
    return f"{number:,.0f}" if number >= 10 ** (digits - 1) else f"{number:.{digits}g}"


def together(names: Sequence[str]) -> str:
    """Return names as in "a", "a and b" and "a and 2 others"."""
    first, *others = names
    if len(others) > 1:
        return f"{first} and {len(others):,} others"
    return " and ".join(names)
