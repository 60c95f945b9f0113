"""Rows that cannot be read as they are: each an error, or counted and left out, up to a number.

A reader gives the error of such a row to `BadRows.reject` and, where that returns, goes on with the
next. What is wrong with a file as a whole is raised as ever.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

from headstart.errors import DataError, SettingsError

Row = TypeVar("Row")
Value = TypeVar("Value")
_TOLD = 3  # bad rows that a note names


class BadRows:
    """How many rows of a file may be left out, and what was wrong with those that are.

    Attributes:
        allowed: How many may be left out; with 0 the first one is an error.
        count: How many are.
        first: What is wrong with the first few of them, in the order they were found.

    Example:
        >>> bad = BadRows(2)
        >>> bad.reject(DataError("a.csv line 3: 1 column, expected 2; use quotes"))
        >>> bad.note("a.csv")
        'a.csv: 1 row cannot be read and is left out (2 may be): line 3: 1 column, expected 2'
    """

    def __init__(self, allowed: int = 0) -> None:
        if allowed < 0:
            raise SettingsError(f"max_bad_rows must be 0 or more, got {allowed}")
        self.allowed = allowed
        self.count = 0
        self.first: list[DataError] = []

    def reject(self, error: DataError) -> None:
        """Leave a row out.

        Raises:
            DataError: It is one more than may be left out; of 0, the error itself.
        """
        if not self.allowed:
            raise error
        self.count += 1
        if self.count > self.allowed:
            raise DataError(
                f"{error} ({self.count:,} rows cannot be read, and {self.allowed:,} may be left "
                "out: max_bad_rows, --max-bad-rows)"
            ) from None
        self.first += [error][: _TOLD - len(self.first)]

    def none_left(self, otherwise: str) -> DataError:
        """Return the error of a file without a row: why the first was left out, or `otherwise`."""
        if not self.first:
            return DataError(otherwise)
        return DataError(f"{self.first[0]} (no row of the file can be read)")

    def note(self, source: str) -> str:
        """Return a sentence on the rows that are left out: how many, and where the first are."""
        rows = (
            "1 row cannot be read and is"
            if self.count == 1
            else f"{self.count:,} rows cannot be read and are"
        )
        told = [str(error).removeprefix(f"{source} ").partition("; ")[0] for error in self.first]
        more = "; .." if self.count > len(told) else ""
        return f"{source}: {rows} left out ({self.allowed:,} may be): {'; '.join(told)}{more}"


REFUSED = BadRows()  # no row may be left out, so nothing is ever counted


def readable(
    rows: Sequence[tuple[int, Row]],
    names: Sequence[str],
    value: Callable[[int, Row, str], Value],
    bad: BadRows,
) -> tuple[list[int], list[list[Value]]]:
    """Return the numbers of the rows that can be read, and their values under each name.

    Args:
        rows: Each with its number.
        names: The columns.
        value: Reads a row's value under a name.
        bad: Takes the rows that cannot be read.

    Raises:
        DataError: They are too many.
    """
    try:
        columns = [[value(number, row, name) for number, row in rows] for name in names]
    except DataError:
        if not bad.allowed:
            raise
    else:
        return [number for number, _ in rows], columns
    kept, columns = [], [[] for _ in names]
    for number, row in rows:
        try:
            values = [value(number, row, name) for name in names]
        except DataError as error:
            bad.reject(error)
            continue
        kept.append(number)
        for column, each in zip(columns, values, strict=True):
            column.append(each)
    return kept, columns
