"""Hugging Face Hub datasets as streamed tables: `hf:NAME[@REVISION][:[CONFIG:]SPLIT]`.

`hf:fancyzhx/ag_news` is the split `train` of the newest commit; `hf:nyu-mll/glue:sst2:validation`
names a configuration and a split. Readers pin a dataset first: its name then contains the commit,
and later reads under that name return the same data. The library `datasets` (extra `hf`) does the
reading; loading scripts of individual datasets are not run.
"""

import importlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date, time
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from headstart.data.bad_rows import REFUSED, BadRows, readable
from headstart.data.columns import listed
from headstart.data.hub_files import snapshot
from headstart.errors import (
    DataError,
    HeadstartError,
    MissingExtraError,
    NetworkError,
    first_line,
)

_PREFIX = "hf:"
_FORM = re.compile(
    r"hf:(?P<name>[\w.-]+(?:/[\w.-]+)?)(?:@(?P<revision>[\w./-]+))?"
    r"(?:(?::(?P<config>[^:/@]+))?:(?P<split>[\w.-]+))?"
)
_COMMIT = re.compile("[0-9a-f]{40}")
_STRINGS = {"string", "large_string", "string_view"}


class _Source(NamedTuple):
    """A parsed name: the dataset, and which part of it."""

    name: str
    revision: str | None
    config: str | None
    split: str


def is_hub_data(path: str | Path) -> bool:
    """Return whether a path is the name of a Hub dataset rather than a file."""
    return str(path).startswith(_PREFIX)


def pinned(path: Path) -> Path:
    """Return the name of a Hub dataset with its commit in place of any other revision.

    Any other path is returned unchanged.

    Raises:
        DataError: It is not a valid dataset name.
        MissingExtraError: `datasets` is not installed.
        NetworkError: The Hub has no such dataset, or cannot be reached.
    """
    if not is_hub_data(path):
        return path
    source = _parsed(path)
    _library(path)
    commit = source.revision or ""
    if not _COMMIT.fullmatch(commit):
        commit = _commit(path, source)
    config = f":{source.config}" if source.config else ""
    return Path(f"{_PREFIX}{source.name}@{commit}{config}:{source.split}")


def hub_columns(path: Path) -> dict[str, bool]:
    """Return the names of the columns in order, and whether each contains text.

    Raises:
        DataError: The dataset cannot be read, or has no rows.
    """
    features, first = _described(path)
    if features is None:
        return {name: isinstance(value, str) for name, value in first.items()}
    return {name: getattr(kind, "dtype", None) in _STRINGS for name, kind in features.items()}


def hub_list_columns(path: Path) -> set[str]:
    """Return the names of the columns that contain lists.

    Raises:
        DataError: The dataset cannot be read, or has no rows.
    """
    features, first = _described(path)
    if features is None:
        return {name for name, value in first.items() if isinstance(value, list)}
    return {name for name, kind in features.items() if hasattr(kind, "feature")}


def hub_rows(
    path: Path,
    names: list[str],
    also: Mapping[str, str],
    batch_size: int,
    bad: BadRows = REFUSED,
) -> Iterator[tuple[list[int], list[list[Any]]]]:
    """Yield the numbers of some rows, from 1, and the values of each named column.

    A class number becomes the name that the dataset gives it, and -1 (no class) an empty text.
    Other integers and booleans become their literal text. Lists, other numbers, dates and nulls are
    accepted only in columns for which `also` allows them, as in `read_rows`.

    Raises:
        DataError: There are more bad rows than allowed; names the row.
    """
    with _hub_errors(path):
        stream = _opened(path)
        kinds = {name: (stream.features or {}).get(name) for name in names}
        classes = {
            name: getattr(getattr(kind, "feature", kind), "names", None)
            for name, kind in kinds.items()
        }

        def value(number: int, row: Mapping[str, Any], name: str) -> str | list[str]:
            return _value(f"{path} row {number}", row, name, classes[name], also.get(name))

        rows = enumerate(stream.select_columns(names), start=1)
        while batch := list(islice(rows, batch_size)):
            yield readable(batch, names, value, bad)


def _described(path: Path) -> tuple[Mapping[str, Any] | None, Mapping[str, Any]]:
    """Return the declared types of the columns or, if there are none, the first row."""
    with _hub_errors(path):
        stream = _opened(path)
        if stream.features is not None:
            return stream.features, {}
        first = next(iter(stream), None)
    if first is None:
        raise DataError(f"{path}: the dataset is empty")
    return None, first


def _parsed(path: Path) -> _Source:
    match = _FORM.fullmatch(str(path))
    if match is None:
        raise DataError(
            f"{path}: not a valid name of a Hub dataset; write hf:NAME, hf:NAME:SPLIT or "
            "hf:NAME:CONFIG:SPLIT, with @REVISION after NAME to choose a revision"
        )
    return _Source(match["name"], match["revision"], match["config"], match["split"] or "train")


def _library(path: Path) -> Any:  # noqa: ANN401 - a module of an extra
    try:
        return importlib.import_module("datasets")
    except ImportError:
        raise MissingExtraError(
            f"{path} needs the datasets library: pip install 'headstart[hf]'"
        ) from None


def _commit(path: Path, source: _Source) -> str:
    """Return the commit that a revision stands for; without one, the newest."""
    try:
        folder = snapshot(
            source.name,
            ["README.md"],
            repo_type="dataset",
            revision=source.revision,
            name=str(path),
            unknown="no such dataset on the Hub",
        )
    except NetworkError:
        raise
    except OSError as error:
        raise NetworkError(f"{path}: cannot reach the Hub: {first_line(error)}") from error
    return folder.name  # the Hub's cache has one folder per commit


def _opened(path: Path) -> Any:  # noqa: ANN401 - of an extra
    source = _parsed(path)
    return _library(path).load_dataset(
        source.name,
        source.config,
        split=source.split,
        revision=source.revision,
        streaming=True,
    )


@contextmanager
def _hub_errors(path: Path) -> Iterator[None]:
    """Convert the library's errors to one-line errors of this package."""
    try:
        yield
    except HeadstartError:
        raise
    except ConnectionError as error:
        raise NetworkError(f"{path}: cannot be fetched: {first_line(error)}") from error
    except Exception as error:
        known = (OSError, ValueError, _library(path).exceptions.DatasetsError)
        if not isinstance(error, known):
            raise
        raise DataError(f"{path}: {first_line(error)}") from error


def _value(
    place: str, row: Mapping[str, Any], name: str, classes: list[str] | None, also: str | None
) -> str | list[str]:
    value = row.get(name)
    if also in {"numbers", "scalars"} and isinstance(value, float):
        return json.dumps(value)
    if also == "scalars" and (value is None or isinstance(value, date | time | Decimal)):
        return "" if value is None else str(value)
    if also == "lists" and isinstance(value, list):
        items = {f"{name}[{number}]": item for number, item in enumerate(value)}
        return [_text(place, items, item, classes) for item in items]
    return _text(place, row, name, classes)


def _text(place: str, row: Mapping[str, Any], name: str, classes: list[str] | None) -> str:
    value = row.get(name)
    if isinstance(value, str):
        return value
    if classes is not None and isinstance(value, int):
        return classes[value] if value >= 0 else ""
    if isinstance(value, int):
        return json.dumps(value)  # true, not True
    if name not in row:
        raise DataError(f"{place}: no field {name!r}; the row has {listed(row)}")
    kind = "null" if value is None else f"of type {type(value).__name__}"
    raise DataError(f"{place}: {name!r} is {kind}; it must be a string")
