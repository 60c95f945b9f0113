"""Labeled examples: texts and their labels, each with its line in the file.

Labels are strings and are never converted: `1`, `01`, `1.0` and `True` are four classes.
"""

import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

from headstart.data.bad_rows import REFUSED, BadRows
from headstart.data.columns import choose_label, choose_text, listed
from headstart.data.hub_data import pinned
from headstart.data.lines import STDIN, not_all_blank, read_lines
from headstart.data.look_alikes import look_alike, note_labels, note_several, note_texts
from headstart.data.tables import Also, file_format, read_rows, table_columns
from headstart.data.unseen_labels import UnseenLabels, settle_unseen
from headstart.errors import DataError, SettingsError
from headstart.progress import SILENT, Progress

Text = TypeVar("Text")
Label = TypeVar("Label")
LabelledRows = TypeVar("LabelledRows", bound="Labelled[Any, Any]")
_MAX_CLASSES = 10_000
_SHOWN = 5  # of the classes with one example


@dataclass(frozen=True)
class Labelled(Generic[Text, Label]):
    """Texts, or pairs of texts, with the target of each.

    Attributes:
        texts: One text per example, or two; may be empty.
        labels: The target of each: a class, a list of labels, or a number.
        source: Where they come from: a path or a description.
        lines: The line of each example in its file (Parquet and data in memory: its number from 1).
        notes: What was guessed or skipped while reading, one sentence each.
    """

    texts: list[Text]
    labels: list[Label]
    source: str = "data in memory"
    lines: list[int] = field(default_factory=list)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.texts) != len(self.labels):
            raise DataError(
                f"{self.source}: {len(self.texts):,} texts but {len(self.labels):,} labels"
            )
        if not self.lines:
            object.__setattr__(self, "lines", list(range(1, len(self.texts) + 1)))

    def __len__(self) -> int:
        return len(self.texts)

    def select(self, indices: Iterable[int]) -> Self:
        """Return the examples at `indices`, in that order."""
        chosen = [int(index) for index in indices]
        return replace(
            self,
            texts=[self.texts[index] for index in chosen],
            labels=[self.labels[index] for index in chosen],
            lines=[self.lines[index] for index in chosen],
        )


class Dataset(Labelled[str, str]):
    """Labeled texts of a classification task: one class each.

    Example:
        >>> data = Dataset(["good", "bad", "fine"], ["pos", "neg", "pos"])
        >>> len(data), data.classes, data.select([2]).lines
        (3, ['neg', 'pos'], [3])
    """

    @cached_property
    def classes(self) -> list[str]:
        """The distinct labels, sorted."""
        return sorted(set(self.labels))

    def as_texts(self) -> Self:
        """Return the dataset itself; pairs and tagged sentences are converted to texts."""
        return self


def read_labelled(
    path: str | Path,
    *,
    text_column: str | None = None,
    label_column: str | None = None,
    max_bad_rows: int = 0,
    progress: Progress = SILENT,
) -> Dataset:
    """Read labeled texts from a CSV, TSV, JSONL or Parquet file, also `.gz` or `.zst`.

    `hf:NAME` reads a dataset of the Hub (see `hub_data`); the result's source names its commit.

    The columns are `text` and `label` unless named here. Other names are guessed only if they are
    unambiguous, and the dataset's notes report the guess.

    Args:
        path: The file.
        text_column: The column of the texts.
        label_column: The column of the labels.
        max_bad_rows: How many rows that are unreadable or have no label may be skipped; the
            dataset's notes say how many were, and which. A problem of the file as a whole, such as
            a quote that is never closed or bytes that are not UTF-8, is always an error.
        progress: Receives progress.

    Raises:
        DataError: The file cannot be read; names the line.
        SettingsError: `max_bad_rows` is below 0.
    """
    path, bad = pinned(Path(path)), BadRows(max_bad_rows)
    text, label, notes = choose_columns(path, text_column, label_column, max_bad_rows)
    (texts,), labels, lines = read_columns(path, [text], label, bad=bad, progress=progress)
    return with_labels(Dataset(texts, labels, str(path), lines, notes), label, bad)


def choose_columns(
    path: Path, text_column: str | None, label_column: str | None, max_bad_rows: int = 0
) -> tuple[str, str, tuple[str, ...]]:
    """Return the columns of texts and labels, and notes on what was guessed.

    Raises:
        DataError: There are no such columns, or several are possible.
    """
    columns = table_columns(path, max_bad_rows)
    label, label_notes = choose_label(path, columns, label_column, text=text_column)
    text, text_notes = choose_text(path, columns, text_column, label=label)
    if text == label:
        raise DataError(f"{path}: column {text!r} cannot be both the text and the label")
    return text, label, (*label_notes, *text_notes)


def read_columns(
    path: Path,
    texts: Sequence[str],
    label: str,
    *,
    also: Also | None = None,
    bad: BadRows = REFUSED,
    progress: Progress = SILENT,
) -> tuple[list[list[str]], list[Any], list[int]]:
    """Return a table's text columns, the labels as they are in the file, and the line of each row.

    Args:
        path: The table.
        texts: The columns of texts.
        label: The column of labels.
        also: What a label may be besides a string.
        bad: Receives the bad rows.
        progress: Receives progress.

    Raises:
        DataError: There are more bad rows than allowed, or no rows; names the line.
    """
    columns: list[list[str]] = [[] for _ in texts]
    labels: list[Any] = []
    lines: list[int] = []
    with progress.stage(f"reading {path}", unit="rows") as advance:
        allowed = {label: also} if also else None
        for rows in read_rows(path, [*texts, label], also=allowed, bad=bad):
            *found, its = rows.columns
            for column, more in zip(columns, found, strict=True):
                column.extend(more)
            labels += its if also else map(sys.intern, its)  # many rows, few labels: keep each once
            lines += rows.lines
            advance(len(rows.lines))
    if not lines:
        raise bad.none_left(f"{path}: has column names but no rows")
    return columns, labels, lines


def with_labels(dataset: LabelledRows, column: str, bad: BadRows) -> LabelledRows:
    """Return the rows that have a label, with a note on the skipped ones.

    Args:
        dataset: Its labels are strings.
        column: The label column, for messages.
        bad: Receives the rows without a label; has counted the rows skipped before.

    Raises:
        DataError: More rows have no label than allowed; names the line.
    """
    blank = {label for label in set(dataset.labels) if not label.strip()}
    if not blank:
        return noted(_with_look_alikes(dataset), bad)
    missing = [row for row, label in enumerate(dataset.labels) if label in blank]
    how_many = f" ({len(missing):,} of {len(dataset):,} rows have none)"
    option = ", or skip them with max_bad_rows (--max-bad-rows)"
    if bad.allowed:  # the error of `bad` says both
        how_many = option = ""
    for row in missing:
        bad.reject(
            DataError(
                f"{dataset.source} line {dataset.lines[row]}: no label in column {column!r}"
                f"{how_many}; label or remove these rows{option}"
            )
        )
    kept = (row for row, label in enumerate(dataset.labels) if label not in blank)
    return noted(_with_look_alikes(dataset.select(kept)), bad)


def _with_look_alikes(dataset: LabelledRows) -> LabelledRows:
    """Return the dataset with notes on misleading labels and texts (see `look_alikes`)."""
    labels = dataset.labels
    found = (*note_labels(labels), *note_several(labels), *note_texts(dataset.texts))
    notes = [f"{dataset.source}: {note}" for note in found]
    return replace(dataset, notes=(*dataset.notes, *notes))


def convert_labels(
    dataset: Labelled[Text, Any], convert: Callable[[Any], Label], bad: BadRows
) -> Labelled[Text, Label]:
    """Return the rows with converted labels, and a note on the skipped ones.

    Args:
        dataset: Its labels are as they are in the file.
        convert: Converts a label, or raises a `DataError` that names no place.
        bad: Receives the rows whose label is rejected; has counted the rows skipped before.

    Raises:
        DataError: More labels are rejected than allowed; names the line.
    """
    try:
        labels = [convert(label) for label in dataset.labels]
    except DataError:  # rare: try each label by itself
        kept, labels = [], []
        for row, label in enumerate(dataset.labels):
            try:
                labels.append(convert(label))
            except DataError as error:
                bad.reject(DataError(f"{dataset.source} line {dataset.lines[row]}: {error}"))
            else:
                kept.append(row)
        dataset = dataset.select(kept)
    return noted(replace(dataset, labels=labels), bad)


def noted(dataset: LabelledRows, bad: BadRows) -> LabelledRows:
    """Return a dataset with a note on the skipped rows, if there are any.

    Raises:
        DataError: No row is left.
    """
    if not bad.count:
        return dataset
    if not len(dataset):
        raise bad.none_left(dataset.source)
    return replace(dataset, notes=(*dataset.notes, bad.note(dataset.source)))


def check_trainable(dataset: Labelled[Any, str]) -> None:
    """Reject a dataset on which no classifier can be trained and validated.

    Raises:
        DataError: There are no rows, fewer than two classes, a class with one example, or too many
            classes for a column of labels.
    """
    counts = Counter(dataset.labels)
    if len(counts) < 2:
        found = f"one class, {dataset.labels[0]!r}" if counts else "no rows"
        raise DataError(f"{dataset.source}: has {found}; a classifier needs at least two classes")
    check_number_of_classes(dataset.source, len(counts))
    if single := {label for label, count in counts.items() if count == 1}:
        first, *more = (i for i, label in enumerate(dataset.labels) if label in single)
        told = [f"line {dataset.lines[i]} of {dataset.labels[i]!r}" for i in more[:_SHOWN]]
        others = f" (classes with one example: {len(single):,}), as is " if more else ""
        others += ", ".join(told) + ", .." * (len(more) > _SHOWN)
        twin = look_alike(dataset.labels[first], counts)
        meant = f"did you mean {twin!r}? Otherwise " if twin else ""
        raise DataError(
            f"{dataset.source} line {dataset.lines[first]}: the only example of class "
            f"{dataset.labels[first]!r}{others}; {meant}add examples, or merge or remove the "
            "class"
        )


def check_number_of_classes(source: str | Path, number: int) -> None:
    """Reject a column with too many different values to be one of labels.

    Raises:
        DataError: There are too many.
    """
    if number > _MAX_CLASSES:
        raise DataError(
            f"{source}: {number:,} different labels, above the limit of {_MAX_CLASSES:,}; the "
            "column seems to contain numbers or texts, choose another with label_column"
        )


def check_known_labels(
    dataset: Labelled[Any, Any],
    classes: Collection[str],
    unseen_labels: UnseenLabels = "refuse",
) -> tuple[str, ...]:
    """Reject labels that a trained classifier cannot predict, or return a note on them.

    An example may have one label or a list of labels.

    Raises:
        DataError: A label is not among `classes` and `unseen_labels` is "refuse"; names the line.
    """
    known = set(classes)
    unseen = [
        (f"{dataset.source} line {line}", label)
        for line, given in zip(dataset.lines, dataset.labels, strict=True)
        for label in ([given] if isinstance(given, str) else given)
        if label not in known
    ]
    return settle_unseen(unseen, unseen_labels, training=f"which had {listed(sorted(known))}")


def check_unnamed(path: Path, column: object | None) -> None:
    """Reject a column name for plain text, which has no columns.

    Raises:
        SettingsError: A column is named.
    """
    if column is not None:
        raise SettingsError(f"{path}: plain text has no columns; do not name any")


def read_texts(
    path: str | Path,
    *,
    text_column: str | None = None,
    batch_size: int = 1024,
    progress: Progress = SILENT,
) -> Iterator[list[str]]:
    """Yield the texts of a file of any size in order, `batch_size` at a time.

    Tables are read as by `read_labelled`, without labels. Any other file, and `-` for standard
    input, contains one text per line; an empty line is an empty text.

    Raises:
        DataError: The file cannot be read, or contains no text; names the line.
        SettingsError: A column of plain text is named, or `batch_size` is below 1.
    """
    if batch_size < 1:
        raise SettingsError(f"batch_size must be 1 or more, got {batch_size}")
    path = pinned(Path(path))
    if path == STDIN or file_format(path) in {"text", None}:
        check_unnamed(path, text_column)
        lines = read_lines(path)
        batches = iter(lambda: list(islice(lines, batch_size)), [])
    else:
        column, notes = choose_text(path, table_columns(path), text_column)
        for note in notes:
            progress.note(note)
        batches = (rows.columns[0] for rows in read_rows(path, [column], batch_size=batch_size))
    yield from not_all_blank(batches, lambda text: not text.strip(), f"{path}: contains no text")
