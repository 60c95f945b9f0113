"""What a report calls the things of a task: what has labels, what is counted, what is scored."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Wording:
    """The words of a task.

    Attributes:
        example: What has a label: a `text`, ..
        answer: What is predicted.
        labels: What a budget counts.
        kind: What an answer is one of: a `class`, ..
        kinds: Several of them.
        counted: What there are so many of in the data of each kind.
        majority: What the method `majority` answers.
        nothing: When a run has learned nothing.
    """

    example: str = "text"
    answer: str = "text’s label"
    labels: str = "labels"
    kind: str = "class"
    kinds: str = "classes"
    counted: str = "rows"
    majority: str = "always the most frequent class"
    nothing: str = "one class only, or no better than always the most frequent one"


TEXTS = Wording()
PAIRS = Wording(example="pair", answer="pair’s label")
_SENTENCES = {"example": "sentence", "answer": "word’s tag", "labels": "sentences"}
_MAJORITY = "each word’s most frequent tag, and of unknown words the most frequent of all"
SPANS = Wording(
    **_SENTENCES,
    kind="type",
    kinds="types of spans",
    counted="spans",
    majority=_MAJORITY,
    nothing="no span that is right",
)
WORDS = Wording(
    **_SENTENCES,
    kind="tag",
    kinds="tags",
    counted="words",
    majority=_MAJORITY,
    nothing="one tag only, or no better than always the most frequent one",
)


def brief(number: float, digits: int = 3) -> str:
    """Return a number with so many digits that count, and with all that a large one has."""
    return f"{number:,.0f}" if number >= 10 ** (digits - 1) else f"{number:.{digits}g}"


def together(names: Sequence[str]) -> str:
    """Return names as in "a", "a and b" and "a and 2 others"."""
    first, *others = names
    if len(others) > 1:
        return f"{first} and {len(others):,} others"
    return " and ".join(names)
