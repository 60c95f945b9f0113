"""Texts with any number of labels: lists in JSONL and Parquet, one cell in CSV and TSV."""

from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path

from headstart.data.bad_rows import BadRows
from headstart.data.hub_data import pinned
from headstart.data.labelled import (
    Labelled,
    check_number_of_classes,
    choose_columns,
    convert_labels,
    read_columns,
)
from headstart.data.look_alikes import note_labels, note_texts
from headstart.data.tables import list_columns
from headstart.errors import DataError, SettingsError
from headstart.progress import SILENT, Progress


def holds_lists(
    path: str | Path, text_column: str | None, label_column: str | None, max_bad_rows: int = 0
) -> bool:
    """Return whether the labels of a table are lists, by its schema or first rows.

    Raises:
        DataError: The file cannot be read, or has no such columns.
    """
    path = Path(path)
    lists = list_columns(path, max_bad_rows)
    return bool(lists) and choose_columns(path, text_column, label_column, max_bad_rows)[1] in lists


def read_label_sets(
    path: str | Path,
    *,
    text_column: str | None = None,
    label_column: str | None = None,
    separator: str | None = None,
    max_bad_rows: int = 0,
    progress: Progress = SILENT,
) -> Labelled[str, list[str]]:
    """Read texts with any number of labels each; `read_labelled` reads texts with one label.

    In JSONL and Parquet, a list contains the labels; it may be empty. A string is split at
    `separator`; an empty string means no labels. Nothing else is guessed, and labels are kept
    unchanged, with their spaces. Repeated labels of a text count once.

    Raises:
        DataError: The file cannot be read, a label is blank, or a label cell is a string and there
            is no separator (each names the line); or there are too many different labels.
        SettingsError: The separator is empty, or `max_bad_rows` is below 0.
    """
    if separator == "":
        raise SettingsError("label_separator must not be empty; use a character such as |")
    path, bad = pinned(Path(path)), BadRows(max_bad_rows)
    text, label, notes = choose_columns(path, text_column, label_column, max_bad_rows)
    (texts,), cells, lines = read_columns(
        path, [text], label, also="lists", bad=bad, progress=progress
    )
    rows = Labelled(texts, cells, str(path), lines, notes)
    dataset = convert_labels(rows, partial(_several, label, separator), bad)
    every = set(chain.from_iterable(dataset.labels))
    check_number_of_classes(path, len(every))
    found = [f"{path}: {note}" for note in (*note_labels(every), *note_texts(texts))]
    return replace(dataset, notes=(*dataset.notes, *found))


def _several(column: str, separator: str | None, cell: str | list[str]) -> list[str]:
    if isinstance(cell, str) and separator is None:
        raise DataError(
            f"{column!r} is a string, not a list of labels; name the character between "
            "labels with label_separator (--label-separator)"
        )
    found = cell if isinstance(cell, list) else cell.split(separator) if cell else []
    if not all(map(str.strip, found)):
        raise DataError(f"{column!r} contains a blank label: {found}")
    return list(dict.fromkeys(found))
