"""Labelled examples: texts and their labels, each with its line in the file.

Labels are strings, byte for byte: `1`, `01`, `1.0` and `True` are four classes.
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
from headstart.data.look_alikes import note_labels, note_several, note_texts
from headstart.data.tables import Also, file_format, read_rows, table_columns
from headstart.data.unseen_labels import UnseenLabels, settle_unseen
from headstart.errors import DataError, SettingsError
from headstart.progress import SILENT, Progress

Text = TypeVar("Text")
Label = TypeVar("Label")
LabelledRows = TypeVar("LabelledRows", bound="Labelled[Any, Any]")
_MAX_CLASSES = 10_000


@dataclass(frozen=True)
class Labelled(Generic[Text, Label]):
    """Texts, or pairs of them, with what is to be predicted of them.

    Attributes:
        texts: One text an example, or two; may be empty.
        labels: The answer for each: a class, a list of labels, or a number.
        source: Where they come from: a path, or what they are.
        lines: The line of each example in its file (of Parquet and in memory: its number from 1).
        notes: What was guessed in reading them, and what was left out, a sentence each.
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
    """Labelled texts of a classification task: one class each.

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
        """Return the texts as they are: pairs and tagged sentences have to become such."""
        return self


def read_labelled(
    path: str | Path,
    *,
    text_column: str | None = None,
    label_column: str | None = None,
    max_bad_rows: int = 0,
    progress: Progress = SILENT,
) -> Dataset:
    """Read labelled texts from a CSV, TSV, JSONL or Parquet file, also `.gz` or `.zst`.

    `hf:NAME` reads a data set of the hub (`hub_data`); the dataset's source names its commit.

    The columns are called `text` and `label` unless named here; other names are guessed only when
    unmistakable, and the dataset's notes say so.

    Args:
        path: The file.
        text_column: The column of the texts.
        label_column: The column of the labels.
        max_bad_rows: How many rows may be left out that cannot be read as they are, or have no
            label; the dataset's notes say how many and which. What is wrong with the file as a
            whole, such as a quote that never closes or bytes that are not UTF-8, always refuses it.
        progress: Where progress goes.

    Raises:
        DataError: The file cannot be read exactly as it is; names the line.
        SettingsError: `max_bad_rows` is below 0.
    """
    path, bad = pinned(Path(path)), BadRows(max_bad_rows)
    text, label, notes = choose_columns(path, text_column, label_column, max_bad_rows)
    (texts,), labels, lines = read_columns(path, [text], label, bad=bad, progress=progress)
    return with_labels(Dataset(texts, labels, str(path), lines, notes), label, bad)


def choose_columns(
    path: Path, text_column: str | None, label_column: str | None, max_bad_rows: int = 0
) -> tuple[str, str, tuple[str, ...]]:
    """Return the columns of texts and of labels, and what was guessed about them.

    Raises:
        DataError: There are no such columns, or several could be meant.
    """
    columns = table_columns(path, max_bad_rows)
    label, label_notes = choose_label(path, columns, label_column, text=text_column)
    text, text_notes = choose_text(path, columns, text_column, label=label)
    if text == label:
        raise DataError(f"{path}: column {text!r} cannot hold both the texts and the labels")
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
    """Return a table's columns of texts, the labels as they stand there, and the line of each row.

    Args:
        path: The table.
        texts: The columns of texts.
        label: The column of labels.
        also: What a label may be beside a string.
        bad: Takes the rows that cannot be read as they are.
        progress: Where progress goes.

    Raises:
        DataError: Too many rows cannot be read as they are, or there is none; names the line.
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
        raise bad.none_left(f"{path}: holds column names and no rows")
    return columns, labels, lines


def with_labels(dataset: LabelledRows, column: str, bad: BadRows) -> LabelledRows:
    """Return the rows that have a label, with a note of those that were left out.

    Args:
        dataset: Labels are strings.
        column: Where they stand, for messages.
        bad: Takes the rows without one, and knows what was left out before.

    Raises:
        DataError: Too many rows have no label; names the line.
    """
    blank = {label for label in set(dataset.labels) if not label.strip()}
    if not blank:
        return noted(_with_look_alikes(dataset), bad)
    missing = [row for row, label in enumerate(dataset.labels) if label in blank]
    how_many = f" ({len(missing):,} of {len(dataset):,} rows have none)"
    option = ", or leave them out: max_bad_rows, --max-bad-rows"
    if bad.allowed:  # it tells both once
        how_many = option = ""
    for row in missing:
        bad.reject(
            DataError(
                f"{dataset.source} line {dataset.lines[row]}: no label in column {column!r}"
                f"{how_many}; label these rows or remove them{option}"
            )
        )
    kept = (row for row, label in enumerate(dataset.labels) if label not in blank)
    return noted(_with_look_alikes(dataset.select(kept)), bad)


def _with_look_alikes(dataset: LabelledRows) -> LabelledRows:
    """Return the dataset with notes of what looks the same in it and is not."""
    texts = (text for each in dataset.texts for text in ([each] if isinstance(each, str) else each))
    labels = dataset.labels
    notes = (*note_labels(labels), *note_several(labels), *note_texts(texts))
    return replace(dataset, notes=(*dataset.notes, *notes))


def convert_labels(
    dataset: Labelled[Text, Any], convert: Callable[[Any], Label], bad: BadRows
) -> Labelled[Text, Label]:
    """Return the rows with their labels converted, and a note of those that were left out.

    Args:
        dataset: Labels are as they stand in the file.
        convert: Converts one, or raises a `DataError` without a place.
        bad: Takes the rows whose label it refuses, and knows what was left out before.

    Raises:
        DataError: It refuses too many; names the line.
    """
    try:
        labels = [convert(label) for label in dataset.labels]
    except DataError:  # of one row or more, which is seldom: look at each by itself
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
    """Return a dataset with a note of the rows that were left out, if any were.

    Raises:
        DataError: No row is left.
    """
    if not bad.count:
        return dataset
    if not len(dataset):
        raise bad.none_left(dataset.source)
    return replace(dataset, notes=(*dataset.notes, bad.note(dataset.source)))


def check_trainable(dataset: Labelled[Any, str]) -> None:
    """Refuse a dataset that no classifier can be trained and validated on.

    Raises:
        DataError: No rows, fewer than two classes, a class with one example, or so many classes
            that the column cannot be one of labels.
    """
    counts = Counter(dataset.labels)
    if len(counts) < 2:
        found = f"one class, {dataset.labels[0]!r}" if counts else "no rows"
        raise DataError(f"{dataset.source}: holds {found}; a classifier needs two classes or more")
    check_number_of_classes(dataset.source, len(counts))
    if single := {label for label, count in counts.items() if count == 1}:
        first = next(i for i, label in enumerate(dataset.labels) if label in single)
        others = f" (and {len(single) - 1:,} more classes)" if len(single) > 1 else ""
        raise DataError(
            f"{dataset.source} line {dataset.lines[first]}: the only example of class "
            f"{dataset.labels[first]!r}{others}; add examples, or merge or remove the class"
        )


def check_number_of_classes(source: str | Path, number: int) -> None:
    """Refuse a column of labels with so many different ones that it must be another.

    Raises:
        DataError: There are too many.
    """
    if number > _MAX_CLASSES:
        raise DataError(
            f"{source}: {number:,} different labels; above {_MAX_CLASSES:,} they are "
            "taken for numbers or texts; choose another column with label_column"
        )


def check_known_labels(
    dataset: Labelled[Any, Any],
    classes: Collection[str],
    unseen_labels: UnseenLabels = "refuse",
) -> tuple[str, ...]:
    """Refuse labels that a trained classifier cannot give, or return a note of them.

    An example may have one, or a list of them.

    Raises:
        DataError: A label is not among `classes`, and such are refused; names the line.
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
    """Refuse the name of a column for plain text, which has none.

    Raises:
        SettingsError: There is one.
    """
    if column is not None:
        raise SettingsError(f"{path}: is read as plain text, which has no columns; name none")


def read_texts(
    path: str | Path,
    *,
    text_column: str | None = None,
    batch_size: int = 1024,
    progress: Progress = SILENT,
) -> Iterator[list[str]]:
    """Yield the texts of a file of any size, `batch_size` at a time, in their order.

    Tables are read as by `read_labelled`, without labels. Any other file, and `-` for standard
    input, holds one text a line; an empty line is an empty text.

    Raises:
        DataError: The file cannot be read exactly as it is, or holds no text; names the line.
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
    yield from not_all_blank(batches, lambda text: not text.strip(), f"{path}: holds no text")
