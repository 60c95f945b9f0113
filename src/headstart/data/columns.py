"""Which column of a table holds the texts, and which the labels: asked for, or unmistakable."""

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
    """Return the column of texts and, where it was guessed, a note that says so.

    It is the column asked for, else `text`, else the only one with a well-known name, else the
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
    eligible = [n for n in columns if n != text and _plain(n) not in _TEXT_NAMES]
    return _choose(path, "label", asked, columns, eligible, _LABEL_NAMES)


def choose_pair(
    path: Path,
    columns: Mapping[str, bool],
    asked: Sequence[str] | None,
    *,
    label: str | None = None,
) -> tuple[tuple[str, str], list[str]]:
    """Return the columns of both texts of a pair and, where they were guessed, a note.

    They are the columns asked for, else `text_a` and `text_b`, else the only two with well-known
    names, such as `premise` and `hypothesis`, else the only two that hold text and not the label.

    Raises:
        DataError: There are no such columns, or others could be meant.
        SettingsError: Not two different columns are asked for.
    """
    if asked is not None:
        if len(asked) != 2 or asked[0] == asked[1]:
            raise SettingsError(f"pair columns are two different ones, not {listed(asked)}")
        if missing := [name for name in asked if name not in columns]:
            raise DataError(f"{path}: has no column {missing[0]!r}; it has {listed(columns)}")
        return (asked[0], asked[1]), []
    texts = [name for name, is_text in columns.items() if is_text and name != label]
    named = {_plain(name): name for name in texts}
    known = [(named[a], named[b]) for a, b in _PAIR_NAMES if a in named and b in named]
    left = [name for name in texts if label or _plain(name) not in _LABEL_NAMES]
    found = known or ([(left[0], left[1])] if len(left) == 2 else [])
    if len(found) != 1:
        raise DataError(
            f"{path}: cannot tell which columns are the two texts of a pair: it has "
            f"{listed(columns)}; name them with pair_columns (--pair-columns A,B)"
        )
    first, second = found[0]
    if (first, second) == _PAIR_NAMES[0]:
        return found[0], []
    option = "pair_columns or --pair-columns"
    note = f"{path}: took columns {first!r} and {second!r} as the pair ({option} names others)"
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
            f"{path}: its only column is {listed(columns)}: {mark} seems to stand between values; "
            "save it with commas there, or with tabs as .tsv"
        )
    if asked is not None:
        if asked not in columns:
            raise DataError(f"{path}: has no column {asked!r}; it has {listed(columns)}")
        return asked, []
    if role in eligible:
        return role, []
    candidates = [name for name in eligible if _plain(name) in known] or eligible
    if len(candidates) != 1:
        pair = role == "text" and set(_PAIR_NAMES[0]) <= {_plain(name) for name in columns}
        hint = "; two texts a row are pairs (fit pair, or --task pair)" if pair else ""
        first_line = {".csv", ".tsv"}.intersection(path.suffixes)
        named = "the first line must hold the names" if first_line else "what is nested is none"
        raise DataError(
            f"{path}: cannot tell which column is the {role}: it has {listed(columns)}; "
            f"name it with {role}_column (--{role}-column; {named}){hint}"
        )
    (name,) = candidates
    option = f"{role}_column or --{role}-column"
    return name, [f"{path}: took column {name!r} as the {role} ({option} names another)"]


def _plain(name: str) -> str:
    return name.strip().casefold()


def _other_separator(columns: Iterable[str]) -> str | None:
    """Return what parts the values of a file that seems to have one column, as a name."""
    (first, *others) = [*columns, ""]
    names = {";": "a semicolon", "\t": "a tab"}
    found = [name for mark, name in names.items() if mark in first and not any(others)]
    return found[0] if found else None


def several(number: int, noun: str) -> str:
    """Return a number of things, as in "1 test row" and "2,000 test rows"."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def listed(names: Iterable[str]) -> str:
    """Return names for a message, in quotes; of a great many, the first twenty."""
    some = list(islice(names, 21))
    return ", ".join(map(repr, some[:20])) + (", .." if len(some) > 20 else "")
