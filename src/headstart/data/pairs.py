"""Labeled sentence pairs: two texts and the label of both, each with its line in the file.

A side may be empty: such pairs are kept, and counted. Labels are strings, never converted.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import islice
from pathlib import Path

from headstart.data.bad_rows import BadRows
from headstart.data.columns import choose_label, choose_pair
from headstart.data.hub_data import pinned
from headstart.data.labelled import (
    Dataset,
    Labelled,
    LabelledRows,
    check_unnamed,
    read_columns,
    with_labels,
)
from headstart.data.lines import STDIN, not_all_blank, read_lines
from headstart.data.overlap import text_key
from headstart.data.parallel import Pair
from headstart.data.tables import file_format, read_rows, table_columns
from headstart.errors import DataError, SettingsError
from headstart.progress import SILENT, Progress


class PairDataset(Labelled[Pair, str]):
    """Labeled pairs of texts: one class each.

    Example:
        >>> data = PairDataset([("a dog", "an animal"), ("a dog", "a cat")], ["yes", "no"])
        >>> len(data), data.texts[1], data.select([1]).lines
        (2, ('a dog', 'a cat'), [2])
    """

    @cached_property
    def classes(self) -> list[str]:
        """The distinct labels, sorted."""
        return sorted(set(self.labels))

    def as_texts(self, *, symmetric: bool = False) -> Dataset:
        """Return each pair as one text, for comparison with others.

        Args:
            symmetric: Whether the order of the texts is ignored: both orders give the same text.
        """
        pairs = [sorted(pair, key=text_key) for pair in self.texts] if symmetric else self.texts
        texts = list(map(" | ".join, pairs))
        return Dataset(texts, self.labels, self.source, self.lines, self.notes)


def read_labelled_pairs(
    path: str | Path,
    *,
    pair_columns: Sequence[str] | None = None,
    label_column: str | None = None,
    max_bad_rows: int = 0,
    progress: Progress = SILENT,
) -> PairDataset:
    """Read labeled pairs from a CSV, TSV, JSONL or Parquet file, also `.gz` or `.zst`.

    The columns are `text_a`, `text_b` and `label` unless named here. Other names are guessed only
    if they are unambiguous, and the dataset's notes report the guess. Up to `max_bad_rows` bad rows
    are skipped, as by `read_labelled`. A row with a missing side is bad; an empty side is allowed.

    Raises:
        DataError: The file cannot be read; names the line.
        SettingsError: `pair_columns` are not two, or `max_bad_rows` is below 0.
    """
    path, bad = pinned(Path(path)), BadRows(max_bad_rows)
    columns, label, notes = choose_pair_columns(path, pair_columns, label_column, max_bad_rows)
    sides, labels, lines = read_columns(path, columns, label, bad=bad, progress=progress)
    pairs = PairDataset(list(zip(*sides, strict=True)), labels, str(path), lines, notes)
    return with_empty_sides_noted(with_labels(pairs, label, bad))


def choose_pair_columns(
    path: Path,
    pair_columns: Sequence[str] | None,
    label_column: str | None,
    max_bad_rows: int = 0,
) -> tuple[Pair, str, tuple[str, ...]]:
    """Return the columns of both texts and of the labels, and notes on what was guessed.

    Raises:
        DataError: There are no such columns, or several are possible.
        SettingsError: `pair_columns` are not two.
    """
    columns = table_columns(path, max_bad_rows)
    pair, pair_notes = choose_pair(path, columns, pair_columns, label=label_column)
    if label_column in pair:
        raise DataError(
            f"{path}: column {label_column!r} cannot be both a text of the pair and the label"
        )
    others = {name: is_text for name, is_text in columns.items() if name not in pair}
    label, label_notes = choose_label(path, others, label_column)
    return pair, label, (*pair_notes, *label_notes)


def with_empty_sides_noted(dataset: LabelledRows) -> LabelledRows:
    """Return the pairs unchanged, with a note if some have an empty side."""
    empty = [row for row, pair in enumerate(dataset.texts) if not all(map(str.strip, pair))]
    if not empty:
        return dataset
    told = f"a side is empty, as in {len(empty):,} of {len(dataset):,} pairs; they are kept"
    note = f"{dataset.source} line {dataset.lines[empty[0]]}: {told}"
    return replace(dataset, notes=(*dataset.notes, note))


def read_pairs(
    path: str | Path,
    *,
    pair_columns: Sequence[str] | None = None,
    batch_size: int = 1024,
    progress: Progress = SILENT,
) -> Iterator[list[Pair]]:
    """Yield the pairs of a file of any size in order, `batch_size` at a time.

    Tables are read as by `read_labelled_pairs`, without labels. Any other file, and `-` for
    standard input, contains one pair per line, with a tab between its texts.

    Raises:
        DataError: The file cannot be read, or contains no text; names the line.
        SettingsError: Columns of plain text are named, or `batch_size` is below 1.
    """
    if batch_size < 1:
        raise SettingsError(f"batch_size must be 1 or more, got {batch_size}")
    path = pinned(Path(path))
    if path == STDIN or file_format(path) in {"text", None}:
        check_unnamed(path, pair_columns)
        lines = _split_lines(path)
        batches = iter(lambda: list(islice(lines, batch_size)), [])
    else:
        names, notes = choose_pair(path, table_columns(path), pair_columns)
        for note in notes:
            progress.note(note)
        tables = read_rows(path, list(names), batch_size=batch_size)
        batches = (list(zip(*rows.columns, strict=True)) for rows in tables)
    yield from not_all_blank(
        batches, lambda pair: not any(map(str.strip, pair)), f"{path}: contains no text"
    )


def _split_lines(path: Path) -> Iterator[Pair]:
    for number, line in enumerate(read_lines(path), start=1):
        sides = line.split("\t")
        if len(sides) != 2:
            raise DataError(
                f"{path} line {number:,}: found {len(sides) - 1} tabs, expected 1; write both "
                "texts of a pair on one line, with a tab between them"
            )
        yield sides[0], sides[1]
