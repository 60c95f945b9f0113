"""Parallel text: sentences with their translations, the source first.

It is read from two files with the same number of lines, or from one file with a tab between the
sides. Nothing is guessed: the first file or column is the source. Files of different lengths are an
error, because the missing line is unknown. Pairs with an empty side are skipped and noted.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from headstart.data.in_memory import as_list
from headstart.data.lines import read_lines
from headstart.errors import DataError, SettingsError
from headstart.storage import fingerprint

Pair = tuple[str, str]


@dataclass(frozen=True)
class ParallelText:
    """Sentence pairs, in order.

    Attributes:
        description: The source of the pairs, for people to read.
        sources: The sentences.
        targets: The translation of each.
        notes: What was skipped, one sentence each.

    Example:
        >>> text = as_parallel([("a dog", "ein Hund"), ("two dogs", "zwei Hunde")])
        >>> len(text), text.targets[1]
        (2, 'zwei Hunde')
    """

    description: str
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.sources)

    def fingerprint(self) -> str:
        """Return a hash of the pairs."""
        return fingerprint(self.sources, self.targets)


def as_parallel(
    given: str | Path | Iterable[str | Path] | Iterable[Pair] | ParallelText,
) -> ParallelText:
    """Return parallel text unchanged; read two aligned files or one TSV; or take pairs in memory.

    Args:
        given: The path of a TSV, a list with that path or with the paths of two files (source,
            target), each also `.gz` or `.zst`; or a list or iterator of pairs (source, target).

    Raises:
        DataError: A file cannot be read, the files differ in length, a line of a TSV differs in
            its number of columns from the first, or every pair has an empty side.
        SettingsError: Neither one path nor two are given.
    """
    if isinstance(given, ParallelText):
        return given
    if isinstance(given, str | Path):
        given = [given]
    items = as_list(given, expected="a list of pairs, such as zip(sources, targets)")
    paths = [Path(each) for each in items if isinstance(each, str | Path)]
    if not paths:
        return _in_memory([each for each in items if not isinstance(each, str | Path)])
    if len(paths) != len(items) or len(paths) > 2:
        raise SettingsError(
            f"parallel text must be one TSV or two files, source and target; got {len(items)} items"
        )
    if len(paths) == 1:
        return _keep_pairs(str(paths[0]), str(paths[0]), _read_columns(paths[0]))
    source, target = paths
    return _keep_pairs(f"{source} and {target}", f"{source}, {target}", _align(source, target))


def _align(source: Path, target: Path) -> Iterator[Pair]:
    """Yield the lines side by side; raise an error with the place if one file is shorter."""
    counts = [0, 0]
    for lines in zip_longest(read_lines(source), read_lines(target)):
        for side, line in enumerate(lines):
            counts[side] += line is not None
        if None not in lines and counts[0] == counts[1]:
            yield lines
    if counts[0] != counts[1]:
        longer, line = (source if counts[0] > counts[1] else target), min(counts) + 1
        raise DataError(
            f"{source} has {counts[0]:,} lines and {target} {counts[1]:,}; "
            f"{longer} line {line:,} is the first without a partner"
        )


def _read_columns(path: Path) -> Iterator[Pair]:
    """Yield the first two columns; every line must have as many columns as the first."""
    expected = 0
    for number, line in enumerate(read_lines(path), start=1):
        columns = line.split("\t")
        expected = expected or len(columns)
        if len(columns) < 2:
            raise DataError(
                f"{path} line {number:,}: no tab; write source, tab, target on each line "
                "(or use two files with the same number of lines)"
            )
        if len(columns) != expected:
            raise DataError(
                f"{path} line {number:,}: found {len(columns)} columns, but line 1 has {expected}"
            )
        yield columns[0], columns[1]


def _in_memory(pairs: Sequence[Pair]) -> ParallelText:
    for number, pair in enumerate(pairs):
        if not (
            isinstance(pair, tuple | list)
            and len(pair) == 2
            and all(isinstance(side, str) for side in pair)
        ):
            raise DataError(f"pair {number} must be a source and a target, both strings")
    return _keep_pairs(f"{len(pairs):,} pairs in memory", "", iter(pairs))


def _keep_pairs(description: str, place: str, pairs: Iterator[Pair]) -> ParallelText:
    """Keep the pairs with text on both sides, and note where the first other pair is."""
    kept: list[Pair] = []
    empty: list[int] = []
    for number, (source, target) in enumerate(pairs, start=1):
        if source.strip() and target.strip():
            kept.append((source, target))
        else:
            empty.append(number)
    if not kept:
        raise DataError(f"{description}: no pair has text on both sides")
    notes: tuple[str, ...] = ()
    if empty:
        where = f"{place} line {empty[0]:,}" if place else f"pair {empty[0] - 1:,}"
        notes = (f"{where}: a side is empty; skipped {len(empty):,} such pairs",)
    sources, targets = zip(*kept, strict=True)
    return ParallelText(description, sources, targets, notes)
