"""Labelled sentence pairs: two texts and the label of both, each with its line in the file.

A side may be empty: such pairs are kept, and counted. Labels are strings, byte for byte.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path

from headstart.data.columns import choose_label, choose_pair
from headstart.data.hub_data import pinned
from headstart.data.labelled import Labelled, check_all_labelled
from headstart.data.lines import STDIN, read_lines
from headstart.data.parallel import Pair
from headstart.data.tables import file_format, read_rows, table_columns
from headstart.errors import DataError, SettingsError
from headstart.progress import SILENT, Progress


@dataclass(frozen=True)
class PairDataset(Labelled[str]):
    """Labelled pairs of texts: one class each.

    Example:
        >>> data = PairDataset([("a dog", "an animal"), ("a dog", "a cat")], ["yes", "no"])
        >>> len(data), data.texts[1], data.select([1]).lines
        (2, ('a dog', 'a cat'), [2])
    """

    texts: list[Pair]  # type: ignore[assignment]  # two an example; either may be empty

    @cached_property
    def classes(self) -> list[str]:
        """The distinct labels, sorted."""
        return sorted(set(self.labels))


def read_labelled_pairs(
    path: str | Path,
    *,
    pair_columns: Sequence[str] | None = None,
    label_column: str | None = None,
    progress: Progress = SILENT,
) -> PairDataset:
    """Read labelled pairs from a CSV, TSV, JSONL or Parquet file, also `.gz` or `.zst`.

    The columns are called `text_a`, `text_b` and `label` unless named here; other names are guessed
    only when unmistakable, and the dataset's notes say so.

    Raises:
        DataError: The file cannot be read exactly as it is; names the line.
        SettingsError: `pair_columns` are not two.
    """
    path = pinned(Path(path))
    columns = table_columns(path)
    (first, second), notes = choose_pair(path, columns, pair_columns, label=label_column)
    others = {name: is_text for name, is_text in columns.items() if name not in (first, second)}
    label, label_notes = choose_label(path, others, label_column)
    pairs: list[Pair] = []
    labels: list[str] = []
    lines: list[int] = []
    with progress.stage(f"reading {path}", unit="rows") as advance:
        for rows in read_rows(path, [first, second, label]):
            pairs += zip(rows.columns[0], rows.columns[1], strict=True)
            labels += map(sys.intern, rows.columns[2])  # many rows, few labels: keep each once
            lines += rows.lines
            advance(len(rows.lines))
    if not lines:
        raise DataError(f"{path}: holds column names and no rows")
    check_all_labelled(path, label, labels, lines)
    empty = [line for line, pair in zip(lines, pairs, strict=True) if not all(map(str.strip, pair))]
    if empty:
        place = f"{path} line {empty[0]}"
        notes.append(
            f"{place}: a side is empty, as in {len(empty):,} of {len(lines):,} pairs; kept"
        )
    return PairDataset(pairs, labels, str(path), lines, (*notes, *label_notes))


def read_pairs(
    path: str | Path,
    *,
    pair_columns: Sequence[str] | None = None,
    batch_size: int = 1024,
    progress: Progress = SILENT,
) -> Iterator[list[Pair]]:
    """Yield the pairs of a file of any size, `batch_size` at a time, in their order.

    Tables are read as by `read_labelled_pairs`, without labels. Any other file, and `-` for
    standard input, holds one pair a line, with a tab between its texts.

    Raises:
        DataError: The file cannot be read exactly as it is, or holds no text; names the line.
    """
    if batch_size < 1:
        raise SettingsError(f"batch_size must be 1 or more, got {batch_size}")
    path = pinned(Path(path))
    if path == STDIN or file_format(path) in {"text", None}:
        lines = _split_lines(path)
        batches = iter(lambda: list(islice(lines, batch_size)), [])
    else:
        names, notes = choose_pair(path, table_columns(path), pair_columns)
        for note in notes:
            progress.note(note)
        tables = read_rows(path, list(names), batch_size=batch_size)
        batches = (list(zip(*rows.columns, strict=True)) for rows in tables)
    found = False
    for pairs in batches:
        yield pairs
        found = found or any(text.strip() for pair in pairs for text in pair)
    if not found:
        raise DataError(f"{path}: holds no text")


def _split_lines(path: Path) -> Iterator[Pair]:
    for number, line in enumerate(read_lines(path), start=1):
        sides = line.split("\t")
        if len(sides) != 2:
            raise DataError(
                f"{path} line {number:,}: holds {len(sides) - 1} tabs; a pair is two texts with "
                "one tab between them"
            )
        yield sides[0], sides[1]
