"""Texts, or pairs of texts, with a number each."""

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from headstart.data.bad_rows import BadRows
from headstart.data.hub_data import pinned
from headstart.data.labelled import (
    Dataset,
    Labelled,
    choose_columns,
    convert_labels,
    read_columns,
)
from headstart.data.pairs import PairDataset, choose_pair_columns, with_empty_sides_noted
from headstart.data.parallel import Pair
from headstart.errors import DataError
from headstart.progress import SILENT, Progress

_FEW = 10  # different numbers; up to this many may be grades


def read_numbers(
    path: str | Path,
    *,
    text_column: str | None = None,
    label_column: str | None = None,
    max_bad_rows: int = 0,
    progress: Progress = SILENT,
) -> Labelled[str, float]:
    """Read texts with a number each; `read_labelled` reads texts with a label.

    Raises:
        DataError: The file cannot be read, or a label is not a finite number; names the line.
        SettingsError: `max_bad_rows` is below 0.
    """
    path, bad = pinned(Path(path)), BadRows(max_bad_rows)
    text, label, notes = choose_columns(path, text_column, label_column, max_bad_rows)
    (texts,), cells, lines = read_columns(
        path, [text], label, also="numbers", bad=bad, progress=progress
    )
    rows = Labelled(texts, cells, str(path), lines, notes)
    return convert_labels(rows, partial(_finite, label), bad)


def read_pair_numbers(
    path: str | Path,
    *,
    pair_columns: Sequence[str] | None = None,
    label_column: str | None = None,
    max_bad_rows: int = 0,
    progress: Progress = SILENT,
) -> Labelled[Pair, float]:
    """Read pairs with a number each; `read_labelled_pairs` reads pairs with a label.

    Raises:
        DataError: The file cannot be read, or a label is not a finite number; names the line.
        SettingsError: `pair_columns` are not two, or `max_bad_rows` is below 0.
    """
    path, bad = pinned(Path(path)), BadRows(max_bad_rows)
    columns, label, notes = choose_pair_columns(path, pair_columns, label_column, max_bad_rows)
    sides, cells, lines = read_columns(
        path, columns, label, also="numbers", bad=bad, progress=progress
    )
    pairs: list[Pair] = list(zip(*sides, strict=True))
    rows = Labelled(pairs, cells, str(path), lines, notes)
    return with_empty_sides_noted(convert_labels(rows, partial(_finite, label), bad))


def note_of_numbers(dataset: Dataset | PairDataset) -> str | None:
    """Return a note if all labels look like numbers and there are more than 10; None otherwise."""
    classes = dataset.classes
    if len(classes) <= _FEW or any(_number(label) is None for label in classes):
        return None
    command = "pair --numbers" if isinstance(dataset, PairDataset) else "regression"
    return (
        f"{dataset.source}: the labels look like numbers but are read as {len(classes):,} classes; "
        f"to predict numbers use headstart fit {command}"
    )


def _finite(column: str, cell: str) -> float:
    if (number := _number(cell)) is None:
        comma = _number(cell.replace(",", ".", 1)) is not None
        hint = "; write decimals with a point, without a thousands separator" if comma else ""
        raise DataError(f"{column!r} is {cell!r:.40}, not a finite number{hint}")
    return number


def _number(text: str) -> float | None:
    if not text.isascii() or "_" in text:  # Python also accepts other scripts' digits and 1_000
        return None
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
