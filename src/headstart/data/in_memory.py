"""Check texts and tokenized sentences in memory, and return them as plain strings.

Invalid items are rejected with their position before anything is computed.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from typing import Any, TypeVar

from headstart.errors import DataError

Item = TypeVar("Item")
Words = Sequence[Sequence[str]]


def unwrapped(column: Any) -> Any:  # noqa: ANN401 - whatever is given
    """Return a column of pyarrow as a list, whose items are then Python's; all else unchanged."""
    return column.to_pylist() if hasattr(column, "to_pylist") else column


def as_list(given: Iterable[Item], *, expected: str) -> list[Item]:
    """Return the input as a list, which can be read more than once.

    Args:
        given: A list, an iterator, or one column of a table.
        expected: A description of what it should be, for the message.

    Raises:
        DataError: It has no order, or more than one dimension.
    """
    dimensions = len(getattr(given, "shape", (0,)))
    ordered = hasattr(given, "__iter__") and not isinstance(given, Mapping | Set | bytes)
    if dimensions != 1 or not ordered:
        of = "" if dimensions == 1 else f" of {dimensions} dimensions"
        raise DataError(f"expected {expected}, got a {type(given).__name__}{of}")
    return list(unwrapped(given))


def as_texts(X: Collection[Any]) -> list[str]:
    """Return the texts as plain strings.

    Raises:
        DataError: `X` is not a list, array or column of texts; names the position.
    """
    if isinstance(X, str | bytes):
        raise DataError("expected a list of texts, got one string; write [text]")
    dimensions = getattr(X, "ndim", 1)
    if isinstance(X, Mapping | Set) or dimensions != 1 or not hasattr(X, "__len__"):
        of = "" if dimensions == 1 else f" of {dimensions} dimensions"
        raise DataError(f"texts must be a list or one column, got a {type(X).__name__}{of}")
    return [as_text(text, f"text {position}") for position, text in enumerate(unwrapped(X))]


def as_text(text: object, place: str) -> str:
    """Return a text as a plain string.

    Raises:
        DataError: It is not a string, or not valid Unicode; the message begins with `place`.
    """
    if not isinstance(text, str):
        raise DataError(f"{place} is of type {type(text).__name__}, not a string: {text!r:.40}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"{place} is not valid Unicode: {error.reason}") from None
    return str(text)


def as_sentences(X: Collection[Any], *, what: str = "word") -> list[list[str]]:
    """Return sentences as lists of plain strings.

    Raises:
        DataError: `X` is not a list of lists of strings; names the sentence and the word.
    """
    if isinstance(X, str | bytes | Mapping | Set) or not hasattr(X, "__len__"):
        raise DataError(f"sentences must be a list of lists of {what}s, got a {type(X).__name__}")
    found = []
    for row, words in enumerate(unwrapped(X)):
        if isinstance(words, str | bytes | Mapping | Set) or not hasattr(words, "__len__"):
            raise DataError(
                f"sentence {row} is of type {type(words).__name__}, not a list of {what}s: "
                f"{words!r:.40}"
            )
        for place, word in enumerate(words):
            if not isinstance(word, str):
                raise DataError(
                    f"sentence {row}, word {place}: the {what} is of type {type(word).__name__}, "
                    f"not a string: {word!r:.40}"
                )
            try:
                word.encode()
            except UnicodeEncodeError as error:
                raise DataError(
                    f"sentence {row}, word {place}: not valid Unicode: {error.reason}"
                ) from None
        found.append([str(word) for word in words])
    return found
