"""Texts with a number each."""

import math
from pathlib import Path

from headstart.data.hub_data import pinned
from headstart.data.labelled import Dataset, Labelled, choose_columns, read_columns
from headstart.errors import DataError
from headstart.progress import SILENT, Progress

_FEW = 10  # different numbers, up to which they may well be grades


def read_numbers(
    path: str | Path,
    *,
    text_column: str | None = None,
    label_column: str | None = None,
    progress: Progress = SILENT,
) -> Labelled[float]:
    """Read texts with a number each, as `read_labelled` reads those with a label.

    Raises:
        DataError: The file cannot be read exactly as it is, or a label is no finite number; names
            the line.
    """
    path = pinned(Path(path))
    text, label, notes = choose_columns(path, text_column, label_column)
    texts, cells, lines = read_columns(path, text, label, also="numbers", progress=progress)
    numbers: list[float] = []
    for line, cell in zip(lines, cells, strict=True):
        if (number := _number(cell)) is None:
            raise DataError(f"{path} line {line}: {label!r} is {cell!r:.40}, not a finite number")
        numbers.append(number)
    return Labelled(texts, numbers, str(path), lines, notes)


def note_of_numbers(dataset: Dataset) -> str | None:
    """Return a sentence for those who give numbers as labels; None where there is no such doubt."""
    classes = dataset.classes
    if len(classes) <= _FEW or any(_number(label) is None for label in classes):
        return None
    return (
        f"{dataset.source}: the labels look like numbers and are read as {len(classes):,} classes; "
        "for numbers use headstart fit regression"
    )


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and "_" not in text else None  # 1_000 is Python's
