"""Choose the columns of texts and labels: the ones named, or a guess where it is unambiguous."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path

from headstart.errors import DataError, SettingsError

_TEXT_NAMES = {
    *("article", "body", "comment", "content", "document", "headline", "message", "post"),
    *("question", "review", "sentence", "text", "tweet", "utterance"),
}
_LABEL_NAMES = {"category", "class", "intent", "label", "sentiment", "target", "topic"}

_PAIR_NAMES = (
    *(("text_a", "text_b"), ("text1", "text2"), ("sentence_a", "sentence_b")),
    *(("sentence1", "sentence2"), ("premise", "hypothesis"), ("question1", "question2")),
    *(("question", "sentence"), ("query", "document"), ("#1 string", "#2 string")),
)


def choose_text(
    path: Path, columns: Mapping[str, bool], asked: str | None, *, label: str | None = None
) -> tuple[str, list[str]]:
    """Return the column of texts and, if it was guessed, a note about it.

    It is the named column, else `text`, else the only one with a well-known name, else the only
    one that contains text and is not the label.

    Args:
        path: The file, for messages.
        columns: Each column's name, and whether it contains text.
        asked: The name that the caller gave.
        label: The column that contains the labels.

    Raises:
        DataError: There is no such column, or several are possible.
    """
    eligible = [n for n, is_text in columns.items() if n != label and (is_text or n == "text")]
    return _choose(path, "text", asked, columns, eligible, _TEXT_NAMES)


def choose_label(
    path: Path, columns: Mapping[str, bool], asked: str | None, *, text: str | None = None
) -> tuple[str, list[str]]:
    """Return the column of labels in the same way; `text` is the named column of texts.

    Raises:
        DataError: There is no such column, or several are possible.
    """
    eligible = [n for n in columns if n != text and _plain(n) not in _TEXT_NAMES]
    return _choose(path, "label", asked, columns, eligible, _LABEL_NAMES)


def choose_pair(
    path: Path,
    columns: Mapping[str, bool],
    asked: Sequence[str] | None,
    *,
    label: str | None = None,
) -> tuple[tuple[str, str], list[str]]:
    """Return the columns of both texts of a pair and, if they were guessed, a note about them.

    They are the named columns, else `text_a` and `text_b`, else the only two with well-known
    names, such as `premise` and `hypothesis`, else the only two that contain text and are not the
    label.

    Raises:
        DataError: There are no such columns, or others are possible.
        SettingsError: The caller did not name two different columns.
    """
    if asked is not None:
        if len(asked) != 2 or asked[0] == asked[1]:
            raise SettingsError(f"pair_columns must be two different columns, got {listed(asked)}")
        if missing := [name for name in asked if name not in columns]:
            raise DataError(f"{path}: no column {missing[0]!r}; the columns are {listed(columns)}")
        return (asked[0], asked[1]), []
    texts = [name for name, is_text in columns.items() if is_text and name != label]
    named = {_plain(name): name for name in texts}
    known = [(named[a], named[b]) for a, b in _PAIR_NAMES if a in named and b in named]
    left = [name for name in texts if label or _plain(name) not in _LABEL_NAMES]
    found = known or ([(left[0], left[1])] if len(left) == 2 else [])
    if {"text_a", "text_b"} <= named.keys():
        found = known[:1]
    if len(found) != 1:
        raise DataError(
            f"{path}: cannot tell which columns are the two texts of a pair; the columns are "
            f"{listed(columns)}; name two with pair_columns (--pair-columns A,B)"
        )
    first, second = found[0]
    if (first, second) == _PAIR_NAMES[0]:
        return found[0], []
    option = "pair_columns or --pair-columns"
    note = f"{path}: using columns {first!r} and {second!r} as the pair (change with {option})"
    return found[0], [note]


def _choose(
    path: Path,
    role: str,
    asked: str | None,
    columns: Iterable[str],
    eligible: list[str],
    known: set[str],
) -> tuple[str, list[str]]:
    if (mark := _other_separator(columns)) is not None:
        raise DataError(
            f"{path}: the only column is {listed(columns)}; its values seem separated by {mark}; "
            "save the file with commas instead, or with tabs as .tsv"
        )
    if asked is not None:
        if asked not in columns:
            raise DataError(f"{path}: no column {asked!r}; the columns are {listed(columns)}")
        return asked, []
    if role in eligible:
        return role, []
    candidates = [name for name in eligible if _plain(name) in known] or eligible
    if len(candidates) != 1:
        pair = role == "text" and set(_PAIR_NAMES[0]) <= {_plain(name) for name in columns}
        hint = "; for two texts per row use pairs (fit pair, or --task pair)" if pair else ""
        first_line = {".csv", ".tsv"}.intersection(path.suffixes)
        named = (
            "the first line must name the columns" if first_line else "nested fields do not count"
        )
        raise DataError(
            f"{path}: cannot tell which column is the {role}; the columns are {listed(columns)}; "
            f"name it with {role}_column (--{role}-column; {named}){hint}"
        )
    (name,) = candidates
    option = f"{role}_column or --{role}-column"
    return name, [f"{path}: using column {name!r} as the {role} (change with {option})"]


def _plain(name: str) -> str:
    return name.strip().casefold()


def _other_separator(columns: Iterable[str]) -> str | None:
    """Return the name of the mark that seems to separate the values of a one-column file."""
    (first, *others) = [*columns, ""]
    names = {";": "a semicolon", "\t": "a tab"}
    found = [name for mark, name in names.items() if mark in first and not any(others)]
    return found[0] if found else None


def several(number: int, noun: str) -> str:
    """Return a number and its noun, as in "1 test row" and "2,000 test rows"."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def listed(names: Iterable[str]) -> str:
    """Return names for a message, quoted; if there are many, only the first twenty."""
    some = list(islice(names, 21))
    return ", ".join(map(repr, some[:20])) + (", .." if len(some) > 20 else "")
