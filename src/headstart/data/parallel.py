"""Parallel text: sentences with their translations, the source first.

Two files of as many lines, or one file with a tab between the sides. Nothing is guessed: the first
file, or the first column, is the source. A file that ends before the other is an error, for nobody
knows which of its lines is missing; a pair with an empty side says nothing, is left out, and told.
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
    """Sentence pairs, in their order.

    Attributes:
        description: What they are, for people.
        sources: The sentences.
        targets: The translation of each.
        notes: What was left out, a sentence each.

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
    """Return parallel text as it is; read two aligned files or one TSV; or take pairs in memory.

    Args:
        given: The path of a TSV, a list with that path or with those of two files (source, target),
            each also `.gz` or `.zst`; or a list or iterator of pairs (source, target).

    Raises:
        DataError: A file cannot be read as it is, one ends before the other, a line of a TSV has
            another number of columns than the first, or no pair has two sides.
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
            f"parallel text is one TSV or two files, source and target; {len(items)} are given"
        )
    if len(paths) == 1:
        return _keep_pairs(str(paths[0]), str(paths[0]), _read_columns(paths[0]))
    source, target = paths
    return _keep_pairs(f"{source} and {target}", f"{source}, {target}", _align(source, target))


def _align(source: Path, target: Path) -> Iterator[Pair]:
    """Yield line by line; an end before the other's is an error that says where."""
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
            f"the first without a partner is {longer} line {line:,}"
        )


def _read_columns(path: Path) -> Iterator[Pair]:
    """Yield the first two columns; every line must have as many as the first."""
    expected = 0
    for number, line in enumerate(read_lines(path), start=1):
        columns = line.split("\t")
        expected = expected or len(columns)
        if len(columns) < 2:
            raise DataError(
                f"{path} line {number:,}: has no tab; a pair is source, tab, target "
                "(or give two files of as many lines)"
            )
        if len(columns) != expected:
            raise DataError(
                f"{path} line {number:,}: {len(columns)} columns, where line 1 has {expected}"
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
    """Take the pairs that have two sides; note where the first without one is."""
    kept: list[Pair] = []
    empty: list[int] = []
    for number, (source, target) in enumerate(pairs, start=1):
        if source.strip() and target.strip():
            kept.append((source, target))
        else:
            empty.append(number)
    if not kept:
        raise DataError(f"{description}: holds no pair of two sides")
    notes: tuple[str, ...] = ()
    if empty:
        where = f"{place} line {empty[0]:,}" if place else f"pair {empty[0] - 1:,}"
        notes = (f"{where}: a side is empty; {len(empty):,} such pairs are left out",)
    sources, targets = zip(*kept, strict=True)
    return ParallelText(description, sources, targets, notes)
