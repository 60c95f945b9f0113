"""What a caller gives a comparison: checked, and made plain, where it comes in."""

import operator
from collections.abc import Iterable
from numbers import Real
from pathlib import Path
from typing import TypeVar

from headstart.errors import SettingsError

Item = TypeVar("Item")
Number = TypeVar("Number", int, float)


def whole_number(name: str, value: object) -> int:
    """Return a count, such as one of NumPy, as Python's own number.

    Raises:
        SettingsError: It is none.
    """
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise SettingsError(f"{name} must be a whole number, got {value!r}") from None


def whole_numbers(name: str, values: Iterable[object] | None) -> list[int] | None:
    """Return a list of counts, if it is given.

    Raises:
        SettingsError: It is none, or one in it is none.
    """
    found = as_list(name, values)
    return None if found is None else [whole_number(f"each of {name}", value) for value in found]


def count(name: str, value: object | None) -> int | None:
    """Return a whole number above 0, if one is given.

    Raises:
        SettingsError: It is none.
    """
    return None if value is None else _above_zero(name, whole_number(name, value))


def amount(name: str, value: object | None) -> float | None:
    """Return a number above 0, such as one of NumPy, as Python's own, if one is given.

    Raises:
        SettingsError: It is none.
    """
    if value is None:
        return None
    if not isinstance(value, Real):
        raise SettingsError(f"{name} must be a number, got {value!r}")
    return _above_zero(name, value if isinstance(value, int) else float(value))


def _above_zero(name: str, value: Number) -> Number:
    if not value > 0:
        raise SettingsError(f"{name} must be above 0, got {value}")
    return value


def as_list(name: str, values: Iterable[Item] | None) -> list[Item] | None:
    """Return a list of what is given, if it is given.

    Raises:
        SettingsError: It is one text or number, or nothing is in it.
    """
    if values is None:
        return None
    try:
        found = None if isinstance(values, str) else list(values)
    except TypeError:
        found = None
    if found is None:
        raise SettingsError(f"{name} must be a list, such as [{values!r}]")
    if not found:
        raise SettingsError(
            f"{name} is an empty list; name some, or leave it out for the usual ones"
        )
    return found


def as_setting(source: object) -> str | list[str] | None:
    """Return a file, or files, as a command would name them; what is in memory has no name."""
    if isinstance(source, list | tuple) and all(isinstance(one, Path) for one in source):
        return [str(one) for one in source]
    return str(source) if isinstance(source, str | Path) else None
