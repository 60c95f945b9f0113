"""Bad rows: each one is an error, or is counted and skipped up to a limit.

A reader passes the error of such a row to `BadRows.reject` and, if that returns, continues with the
next row. A problem of the file as a whole is always raised.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

from headstart.errors import DataError, SettingsError

Row = TypeVar("Row")
Value = TypeVar("Value")
_TOLD = 3  # bad rows that a note describes


class BadRows:
    """How many rows of a file may be skipped, and what was wrong with the skipped ones.

    Attributes:
        allowed: How many may be skipped; with 0 the first bad row is an error.
        count: How many were skipped.
        first: The errors of the first few, in the order they were found.

    Example:
        >>> bad = BadRows(2)
        >>> bad.reject(DataError("a.csv line 3: found 1 column, expected 2; use quotes"))
        >>> bad.note("a.csv")
        'a.csv: skipped 1 bad row (2 allowed): line 3: found 1 column, expected 2'
    """

    def __init__(self, allowed: int = 0) -> None:
        if allowed < 0:
            raise SettingsError(f"max_bad_rows must be 0 or more, got {allowed}")
        self.allowed = allowed
        self.count = 0
        self.first: list[DataError] = []

    def reject(self, error: DataError) -> None:
        """Skip a row.

        Raises:
            DataError: More rows are bad than allowed; if none is allowed, the error itself.
        """
        if not self.allowed:
            raise error
        self.count += 1
        if self.count > self.allowed:
            raise DataError(
                f"{error} ({self.count:,} bad rows so far, but only {self.allowed:,} may be "
                "skipped; raise max_bad_rows or --max-bad-rows)"
            ) from None
        self.first += [error][: _TOLD - len(self.first)]

    def none_left(self, otherwise: str) -> DataError:
        """Return the error of a file without good rows: the first bad row's, or `otherwise`."""
        if not self.first:
            return DataError(otherwise)
        return DataError(f"{self.first[0]} (no row of the file can be read)")

    def note(self, source: str) -> str:
        """Return a sentence about the skipped rows: how many, and what is wrong with the first."""
        rows = "1 bad row" if self.count == 1 else f"{self.count:,} bad rows"
        told = [str(error).removeprefix(f"{source} ").partition("; ")[0] for error in self.first]
        more = "; .." if self.count > len(told) else ""
        return f"{source}: skipped {rows} ({self.allowed:,} allowed): {'; '.join(told)}{more}"


REFUSED = BadRows()  # no row may be skipped, so nothing is counted


def readable(
    rows: Sequence[tuple[int, Row]],
    names: Sequence[str],
    value: Callable[[int, Row, str], Value],
    bad: BadRows,
) -> tuple[list[int], list[list[Value]]]:
    """Return the numbers of the readable rows, and their values in each column.

    Args:
        rows: Each with its number.
        names: The columns.
        value: Reads a row's value in a column.
        bad: Receives the bad rows.

    Raises:
        DataError: There are more bad rows than allowed.
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
