"""A run's settings as one flat TOML file: read, written, and rendered as a shell command.

A key is the name of a command option (`label-column` or `label_column`), and its value is what
follows the option on the command line. A run writes its settings in the same form, so that it can
be replayed.
"""

import csv
import difflib
import io
import json
import operator
import re
import shlex
import tomllib
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from headstart.errors import SettingsError

Setting = bool | int | float | str | Sequence[bool | int | float | str]
_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


def whole_number(name: str, value: object) -> int:
    """Return a whole number, such as a NumPy integer, as a Python integer.

    Raises:
        SettingsError: The value is not a whole number, or true or false.
    """
    try:
        if not isinstance(value, bool):
            return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        pass
    raise SettingsError(f"{name} must be a whole number, got {value!r}")


def plain(value: Any) -> Any:  # noqa: ANN401 - any setting or label
    """Return a NumPy scalar, or those of a mapping, as Python's, which JSON can hold.

    Anything else is returned unchanged.
    """
    import numpy as np  # late: most commands begin without it

    if isinstance(value, Mapping):
        return {name: plain(each) for name, each in value.items()}
    return value.item() if isinstance(value, np.generic) else value


def plain_arguments(function: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """Let a function take NumPy scalars as arguments; it gets them as Python's."""

    @wraps(function)
    def called(*values: _Arguments.args, **named: _Arguments.kwargs) -> _Result:
        return function(*map(plain, values), **plain(named))

    return called


def read_settings(path: Path, *, known: Collection[str]) -> dict[str, Setting]:
    """Read a TOML file of settings; `known` are the allowed keys, written with `_`.

    Raises:
        SettingsError: The file cannot be read, is not TOML, or has an unknown key, a repeated key
            or a table. The message names the line and, for an unknown key, the closest known one.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
        table = tomllib.loads(text)
    except OSError as error:
        raise SettingsError(f"{path}: cannot read the settings: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8") from None
    except ValueError as error:  # also raised for a number with thousands of digits
        raise SettingsError(f"{path}: not valid TOML: {error}") from None
    settings: dict[str, Setting] = {}
    for key, value in table.items():
        place, name = f"{path} line {line_of(text, key)}", key.replace("-", "_")
        if name not in known:
            raise SettingsError(f"{place}: unknown setting {key!r}{suggestion(name, known)}")
        if name in settings:
            raise SettingsError(f"{place}: {key!r} is set twice; keep one")
        items = value if isinstance(value, list) else [value]
        if not all(isinstance(item, bool | int | float | str) for item in items):
            raise SettingsError(
                f"{place}: {key!r} must be text, a number, true or false, or a list of these"
            )
        settings[name] = value
    return settings


def line_of(text: str, key: str) -> int:
    """Return the line number, from 1, on which a TOML document sets `key`."""
    start = re.compile(rf"""\s*\[*\s*["']?{re.escape(key)}["']?\s*[]=.]""")
    lines = enumerate(text.split("\n"), start=1)
    return next((number for number, line in lines if start.match(line)), 1)


def suggestion(name: str, known: Collection[str]) -> str:
    """Return `; did you mean 'x'?` for the closest known name, or all names if none is close."""
    meant = nearest(name, known)
    return f"; did you mean {meant!r}?" if meant else f"; choose from {', '.join(sorted(known))}"


def nearest(name: str, known: Collection[str]) -> str | None:
    """Return the known name closest to `name`, or None if none is close."""
    return next(iter(difflib.get_close_matches(name, known, n=1)), None)


def settings_toml(settings: Mapping[str, Setting | None]) -> str:
    """Return the settings as TOML that reads back to the same values; `None` is omitted.

    Raises:
        SettingsError: A string is not valid Unicode, so TOML cannot represent it.
    """
    return "".join(
        f"{key} = {_toml(key, value)}\n" for key, value in settings.items() if value is not None
    )


def _toml(key: str, value: Setting) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise SettingsError(f"{key}: {value!r} is not valid Unicode; rename it") from None
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return f"[{', '.join(_toml(key, item) for item in value)}]"


def join_commas(items: Sequence[object]) -> str:
    """Return the items as one comma-separated string; an item that contains a comma is quoted."""
    line = io.StringIO()
    csv.writer(line).writerow(items)  # quotes the characters of its end of line, too
    return line.getvalue().removesuffix("\r\n")


def split_commas(text: str) -> list[str]:
    """Split the string of `join_commas`; strip the items and drop empty ones.

    Raises:
        ValueError: There is a line break outside of quotes.
    """
    try:
        items = next(csv.reader([text], skipinitialspace=True), [])
    except csv.Error as error:
        raise ValueError(str(error)) from None
    return [item.strip() for item in items if item.strip()]


def replay_command(
    command: str,
    settings: Mapping[str, Setting | None],
    *,
    arguments: Collection[str] = ("data",),
    repeated: Collection[str] = ("corpus", "parallel"),
) -> str:
    """Return the shell command that runs `command` with these settings.

    Args:
        command: The words after `headstart`, such as `fit classification`.
        settings: Values by option name; `None` and `False` mean that the option is not set.
        arguments: Settings that are positional arguments.
        repeated: Settings whose option is repeated for each list item; other lists are joined by
            commas.

    Example:
        >>> replay_command("compare", {"data": "my data.csv", "labels": [50, 200], "quick": True})
        "headstart compare 'my data.csv' --labels 50,200 --quick"
    """
    given = {
        name: value for name, value in settings.items() if value is not None and value is not False
    }
    positional = [str(given[name]) for name in arguments if name in given]
    options: list[str] = []
    for name, value in given.items():
        option = f"--{name.replace('_', '-')}"
        if name in arguments:
            continue
        if value is True:
            options.append(option)
        elif isinstance(value, int | float | str):
            options += [option, str(value)]
        elif name in repeated:
            options += [word for item in value for word in (option, str(item))]
        else:
            options += [option, join_commas(value)]
    if any(word.startswith("-") for word in positional):
        return shlex.join(["headstart", *command.split(), *options, "--", *positional])
    return shlex.join(["headstart", *command.split(), *positional, *options])
