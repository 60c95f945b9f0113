"""Which column of a table holds the texts, and which the labels: asked for, or unmistakable."""

from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path

from headstart.errors import DataError

_TEXT_NAMES = {
    *("article", "body", "comment", "content", "document", "headline", "message", "post"),
    *("question", "review", "sentence", "text", "tweet", "utterance"),
}
_LABEL_NAMES = {"category", "class", "intent", "label", "sentiment", "target", "topic"}


def choose_text(
    path: Path, columns: Mapping[str, bool], asked: str | None, *, label: str | None = None
) -> tuple[str, list[str]]:
    """Return the column of texts and, where it was guessed, a note that says so.

    Taken is the column asked for, else `text`, else the only one with a well-known name, else the
    only one that holds text and is not the label.

    Args:
        path: The file, for messages.
        columns: Every column's name, and whether it holds text.
        asked: The name the caller gave.
        label: The column that holds the labels.

    Raises:
        DataError: There is no such column, or several could be meant.
    """
    eligible = [n for n, is_text in columns.items() if n != label and (is_text or n == "text")]
    return _choose(path, "text", asked, columns, eligible, _TEXT_NAMES)


def choose_label(
    path: Path, columns: Mapping[str, bool], asked: str | None, *, text: str | None = None
) -> tuple[str, list[str]]:
    """Return the column of labels likewise; `text` is the column asked for as the texts.

    Raises:
        DataError: There is no such column, or several could be meant.
    """
    eligible = [n for n in columns if n != text and n.casefold() not in _TEXT_NAMES]
    return _choose(path, "label", asked, columns, eligible, _LABEL_NAMES)


def _choose(
    path: Path,
    role: str,
    asked: str | None,
    columns: Iterable[str],
    eligible: list[str],
    known: set[str],
) -> tuple[str, list[str]]:
    if asked is not None:
        if asked not in columns:
            raise DataError(f"{path}: has no column {asked!r}; it has {listed(columns)}")
        return asked, []
    if role in eligible:
        return role, []
    candidates = [name for name in eligible if name.casefold() in known] or eligible
    if len(candidates) != 1:
        raise DataError(
            f"{path}: cannot tell which column is the {role}: it has {listed(columns)}; "
            f"name it with {role}_column (--{role}-column; the first line must hold the names)"
        )
    (name,) = candidates
    option = f"{role}_column or --{role}-column"
    return name, [f"{path}: took column {name!r} as the {role} ({option} names another)"]


def listed(names: Iterable[str]) -> str:
    """Return names for a message, in quotes; of a great many, the first twenty."""
    some = list(islice(names, 21))
    return ", ".join(map(repr, some[:20])) + (", .." if len(some) > 20 else "")
