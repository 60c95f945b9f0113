"""Read tagged sentences: CoNLL columns, JSON or tables, each sentence with its line.

In column files each line has a word and its tag, and a blank line ends a sentence. In JSONL each
line is a sentence: `{"tokens": ["Mary", "left"], "tags": ["B-PER", "O"]}`. In Parquet and on the
Hub each row is a sentence with the same two lists. Words and tags are strings, never converted.
"""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from operator import not_
from pathlib import Path
from typing import Any, Self

from headstart.data.bad_rows import REFUSED, BadRows
from headstart.data.columns import listed, several
from headstart.data.hub_data import pinned
from headstart.data.labelled import Dataset, Labelled, noted
from headstart.data.lines import STDIN, not_all_blank, read_lines
from headstart.data.tables import Also, file_format, json_records, list_columns, read_rows
from headstart.errors import DataError, SettingsError
from headstart.progress import SILENT, Progress

Column = int | str | None
DOCUMENT = re.compile(r"-DOCSTART-(?:[ \t].*)?", re.DOTALL)  # marks a document, is not a word
_SPACES = re.compile(" +")
_WORD, _TAG = "tokens", "tags"  # keys in JSON and tables
_OF_LISTS = ("jsonl", "parquet", "hub")
_CONLLU_WORD, _CONLLU_TAG = 2, 4  # the form and the universal part of speech
_CONLLU_NO_WORD = re.compile(r"\d+[-.]\d+\t")  # multiword tokens and empty nodes


@dataclass(frozen=True)
class TaggedSentences(Labelled[list[str], list[str]]):
    """Sentences as lists of words, with a tag for each word.

    Attributes:
        texts: The words of each sentence; none is empty.
        labels: The tags of each sentence, one per word.
        lines: The line of each sentence's first word (in memory: its number from 1).
        line_a_word: Whether each word is on its own line.

    Example:
        >>> data = TaggedSentences([["Mary", "left"], ["So", "what"]], [["P", "O"], ["O", "O"]])
        >>> len(data), data.words, data.place(1, 1)
        (2, 4, 'data in memory line 2, word 2')
    """

    line_a_word: bool = False

    def __post_init__(self) -> None:
        if len(self.texts) != len(self.labels):
            raise DataError(
                f"{self.source}: {len(self.texts):,} sentences, but tags for {len(self.labels):,}"
            )
        super().__post_init__()

    @property
    def sentences(self) -> list[list[str]]:
        """The words of each sentence."""
        return self.texts

    @property
    def tags(self) -> list[list[str]]:
        """The tags of each sentence's words."""
        return self.labels

    @property
    def words(self) -> int:
        """The number of words."""
        return sum(map(len, self.texts))

    def place(self, row: int, word: int) -> str:
        """Return the place of a word, for messages."""
        if self.line_a_word:
            return f"{self.source} line {self.lines[row] + word}"
        return f"{self.source} line {self.lines[row]}, word {word + 1}"

    def as_texts(self) -> Dataset:
        """Return each sentence as one text, labeled with its tags, for comparison with others."""
        texts, labels = (list(map(" ".join, lists)) for lists in (self.sentences, self.tags))
        return Dataset(texts, labels, self.source, self.lines, self.notes)


def read_tagged(
    path: str | Path,
    *,
    word_column: Column = None,
    tag_column: Column = None,
    max_bad_rows: int = 0,
    progress: Progress = SILENT,
) -> TaggedSentences:
    """Read sentences and their tags from columns, JSONL or Parquet, also `.gz` or `.zst`.

    Files named `.jsonl`, `.ndjson` or `.json` are read as JSON, `.parquet` and `hf:` as tables with
    two columns of lists, and `.conllu` as CoNLL-U. All other files are read as columns, which must
    be separated either by tabs or by spaces throughout.

    Args:
        path: The file.
        word_column: The number of the word column, from 1 at the left or -1 at the right; the first
            by default. In JSON it is a key and in tables a column name, `tokens` by default.
        tag_column: The same for the tags; the last by default. In JSON and tables `tags`.
        max_bad_rows: How many bad sentences of JSON and tables may be skipped, as by
            `read_labelled`. An error in a column file is always raised: if a column is missing,
            nothing tells which one.
        progress: Receives progress.

    Raises:
        DataError: The file cannot be read; names the line.
        SettingsError: There is no such column, or `max_bad_rows` is below 0.
    """
    path, bad = pinned(Path(path)), BadRows(max_bad_rows)
    sentences: list[list[str]] = []
    tags: list[list[str]] = []
    lines: list[int] = []
    with progress.stage(f"reading {path}", unit="sentences") as advance:
        for line, (words, its) in _read(path, (word_column, tag_column), bad):
            sentences.append(words)
            tags.append([sys.intern(tag) for tag in its])  # many words, few tags: keep each once
            lines.append(line)
            advance(1)
    if not sentences:
        raise bad.none_left(f"{path}: contains no sentence")
    columns = file_format(path) not in _OF_LISTS and not _is_conllu(path)
    return noted(TaggedSentences(sentences, tags, str(path), lines, line_a_word=columns), bad)


def read_sentences(
    path: str | Path,
    *,
    word_column: Column = None,
    batch_size: int = 1024,
    progress: Progress = SILENT,
) -> Iterator[list[list[str]]]:
    """Yield the sentences of a file of any size in order, `batch_size` at a time.

    Files are read as by `read_tagged`, without tags; a file with one word per line is enough. `-`
    is standard input, in columns.

    Raises:
        DataError: The file cannot be read, or contains no word; names the line.
    """
    if batch_size < 1:
        raise SettingsError(f"batch_size must be 1 or more, got {batch_size}")
    path = pinned(Path(path))
    read = (words for _, (words,) in _read(path, (word_column,)))
    with progress.stage(f"reading {path}", unit="sentences") as advance:
        batches = iter(lambda: list(islice(read, batch_size)), [])
        for batch in not_all_blank(batches, not_, f"{path}: contains no sentence"):
            yield batch
            advance(len(batch))


def _read(
    path: Path, asked: tuple[Column, ...], bad: BadRows = REFUSED
) -> Iterator[tuple[int, tuple[list[str], ...]]]:
    """Yield each sentence's line, its words and, if two columns are requested, its tags."""
    kind = None if path == STDIN else file_format(path)
    if kind in _OF_LISTS:
        usual_keys = zip(asked, (_WORD, _TAG), strict=False)
        keys = [str(own if key is None else key) for key, own in usual_keys]
        lists = _json_lists if kind == "jsonl" else _table_lists
        return _equally_long(path, lists(path, keys, bad), bad)
    conllu = _is_conllu(path)
    usual = (_CONLLU_WORD, _CONLLU_TAG) if conllu else (1, -1)
    numbers = tuple(_number(path, given, own) for given, own in zip(asked, usual, strict=False))
    return _read_columns(path, numbers, conllu=conllu, unnamed=asked == (None,))


def _is_conllu(path: Path) -> bool:
    return ".conllu" in path.suffixes


def _number(path: Path, asked: Column, usual: int) -> int:
    if asked is None:
        return usual
    try:
        number = int(asked)
    except ValueError:
        number = 0
    if not number:
        raise SettingsError(
            f"{path}: columns are numbers, from 1 at the left or -1 at the right, not {asked!r}"
        )
    return number


def _read_columns(
    path: Path, numbers: tuple[int, ...], *, conllu: bool, unnamed: bool
) -> Iterator[tuple[int, tuple[list[str], ...]]]:
    """Yield the requested columns of each sentence, and the line of its first word.

    If the caller did not name the word column, lines with several columns may be whole sentences.
    """
    columns: tuple[list[str], ...] = tuple([] for _ in numbers)
    first = sentences = 0
    layout: _Layout | None = None
    for line, text in enumerate(read_lines(path), start=1):
        stripped = text.strip(" \t\r")
        if conllu and (stripped.startswith("#") or _CONLLU_NO_WORD.match(stripped)):
            continue
        if not stripped or DOCUMENT.fullmatch(stripped):
            if columns[0]:
                sentences += 1
                yield first, columns
            columns = tuple([] for _ in numbers)
            continue
        if layout is None:
            layout = _Layout.of(path, line, text, numbers)
        if not columns[0]:
            first = line
        for column, value in zip(columns, layout.cut(line, text), strict=True):
            column.append(value)
    if unnamed and layout and layout.width > 2 and not sentences and len(columns[0]) > 1:
        raise DataError(
            f"{path}: {layout.width} columns but no blank line, so each line may be a sentence; "
            "write one word per line and a blank line after each sentence or, if these are "
            "columns, name that of the words (word_column=1, --text-column 1)"
        )
    if columns[0]:  # the last sentence has no blank line after it
        yield first, columns


@dataclass(frozen=True)
class _Layout:
    """How a file's lines are split into columns, according to its first line."""

    path: Path
    tab: bool
    width: int
    chosen: tuple[int, ...]
    hint: str  # set if the file is a CSV table, or the first line does not look like a word

    @classmethod
    def of(cls, path: Path, line: int, text: str, numbers: tuple[int, ...]) -> Self:
        tab = "\t" in text.strip(" \t\r")
        width = len(_cut(text, tab=tab))
        hint = f"; if line {line} is a comment, remove it" if text.startswith("#") else ""
        if file_format(path) == "csv" and "," in text:
            hint = "; a CSV table cannot be used for tagging"
        if len(numbers) == 2 and width < 2:
            raise DataError(
                f"{path} line {line}: found one column, expected a word and its tag; "
                f"put a tab or a space between them{hint}"
            )
        chosen = tuple(number - 1 if number > 0 else width + number for number in numbers)
        for number, at in zip(numbers, chosen, strict=True):
            if not 0 <= at < width:
                raise DataError(
                    f"{path} line {line}: found {several(width, 'column')}, but column {number} "
                    "was requested"
                )
        if len(set(chosen)) < len(chosen):
            raise SettingsError(f"{path}: a column cannot be both the words and the tags")
        return cls(path, tab, width, chosen, hint)

    def cut(self, line: int, text: str) -> list[str]:
        """Return the chosen columns of a line."""
        parts = _cut(text, tab=self.tab)
        own, other = ("tabs", "spaces") if self.tab else ("spaces", "tabs")
        mixed = ("\t" in text) != self.tab and len(_cut(text, tab=not self.tab)) > 1
        if mixed:
            raise DataError(
                f"{self.path} line {line}: columns are separated by {own} above but by {other} "
                f"here; use only one of them{self.hint}"
            )
        if len(parts) != self.width:
            raise DataError(
                f"{self.path} line {line}: found {several(len(parts), 'column')}, expected "
                f"{self.width}; write one word per line, with all columns{self.hint}"
            )
        if not all(parts[at] for at in self.chosen):
            raise DataError(f"{self.path} line {line}: the column of the word or the tag is empty")
        return [parts[at] for at in self.chosen]


def _cut(text: str, *, tab: bool) -> list[str]:
    if tab:
        return [part.strip(" ") for part in text.strip(" \t\r").split("\t")]
    return _SPACES.split(text.strip(" \t\r"))


def _equally_long(
    path: Path, rows: Iterator[tuple[int, tuple[list[str], ...]]], bad: BadRows
) -> Iterator[tuple[int, tuple[list[str], ...]]]:
    """Yield the rows, after checking that rows with tags have one for each word."""
    for line, lists in rows:
        words, *tags = map(len, lists)
        if tags and tags != [words]:
            bad.reject(
                DataError(
                    f"{path} line {line}: {several(words, 'word')} but {several(tags[0], 'tag')}"
                )
            )
        elif tags and not words:
            bad.reject(DataError(f"{path} line {line}: sentence without words; remove it"))
        elif tags and not all(map(str.strip, lists[1])):
            word = next(at for at, tag in enumerate(lists[1], start=1) if not tag.strip())
            bad.reject(
                DataError(f"{path} line {line}, word {word}: no tag; add it or remove the sentence")
            )
        else:
            yield line, lists


def _table_lists(
    path: Path, keys: list[str], bad: BadRows
) -> Iterator[tuple[int, tuple[list[str], ...]]]:
    """Yield the lists of each row of a table, and its number."""
    there = sorted(list_columns(path))
    options = ("--text-column", "--label-column")
    for key, option in zip(keys, options, strict=False):
        if key not in there:
            lists = f"columns of lists are {listed(there)}" if there else "no column contains lists"
            raise DataError(f"{path}: no column {key!r} of lists; {lists} ({option})")
    also: dict[str, Also] = dict.fromkeys(keys, "lists")
    for rows in read_rows(path, keys, also=also, bad=bad):
        yield from zip(rows.lines, zip(*rows.columns, strict=True), strict=True)


def _json_lists(
    path: Path, keys: list[str], bad: BadRows
) -> Iterator[tuple[int, tuple[list[str], ...]]]:
    """Yield the lists of each JSON line, and its number."""
    for line, record in json_records(path, bad):
        try:
            lists = tuple(_strings(path, line, record, key) for key in keys)
        except DataError as error:
            bad.reject(error)
        else:
            yield line, lists


def _strings(path: Path, line: int, record: dict[str, Any], key: str) -> list[str]:
    if key not in record:
        raise DataError(f"{path} line {line}: no field {key!r}; the object has {listed(record)}")
    values = record[key]
    if not isinstance(values, list):
        raise DataError(f"{path} line {line}: {key!r} must be a list of strings")
    for place, value in enumerate(values, start=1):
        if not isinstance(value, str):
            raise DataError(
                f"{path} line {line}: {key!r} contains {value!r:.40} at {place}, not a string"
            )
    return values
