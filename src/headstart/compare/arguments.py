"""Check and normalize the arguments of a comparison."""

from collections.abc import Iterable
from numbers import Real
from pathlib import Path
from typing import TypeVar

from headstart.errors import SettingsError
from headstart.settings import whole_number

Item = TypeVar("Item")
Number = TypeVar("Number", int, float)


def whole_numbers(name: str, values: Iterable[object] | None) -> list[int] | None:
    """Return a list of counts, or None if `values` is None.

    Raises:
        SettingsError: The values are not a list, there are none, or one is not a whole number.
    """
    found = as_list(name, values)
    return None if found is None else [whole_number(f"each of {name}", value) for value in found]


def count(name: str, value: object | None) -> int | None:
    """Return a whole number above 0, or None if `value` is None.

    Raises:
        SettingsError: The value is not a whole number above 0.
    """
    return None if value is None else _above_zero(name, whole_number(name, value))


def amount(name: str, value: object | None) -> float | None:
    """Return a number above 0 as a Python number, or None if `value` is None.

    Raises:
        SettingsError: The value is not a number above 0.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, Real):
        raise SettingsError(f"{name} must be a number, got {value!r}")
    return _above_zero(name, value if isinstance(value, int) else float(value))


def _above_zero(name: str, value: Number) -> Number:
    if not value > 0:
        raise SettingsError(f"{name} must be above 0, got {value}")
    return value


def as_list(name: str, values: Iterable[Item] | None) -> list[Item] | None:
    """Return the values as a list, or None if `values` is None.

    Raises:
        SettingsError: The values are a single string or number, or an empty list.
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
            f"{name} is an empty list; give at least one item, or omit it to use the default"
        )
    return found


def as_setting(source: object) -> str | list[str] | None:
    """Return a file, or files, as the command line names them; data in memory has no name."""
    if isinstance(source, list | tuple) and all(isinstance(one, Path) for one in source):
        return [str(one) for one in source]
    return str(source) if isinstance(source, str | Path) else None
