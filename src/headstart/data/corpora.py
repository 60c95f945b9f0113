"""Unlabelled text: a corpus is an iterable of documents, each a list of sentences.

A corpus streams from its files every time it is iterated, so it may be larger than memory, and it
can be read as often as one likes. What had to be guessed about the files is said in its notes.
"""

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path
from typing import Any, Literal, get_args

from headstart.data.columns import choose_text
from headstart.data.hub_data import is_hub_data, pinned
from headstart.data.in_memory import as_list
from headstart.data.lines import check_that_it_stays, read_blocks, read_lines
from headstart.data.sentences import split_sentences
from headstart.data.tables import ENDINGS, file_format, read_rows, table_columns
from headstart.errors import DataError, SettingsError
from headstart.storage import file_sha256, fingerprint

Documents = Literal["line", "paragraph", "file"]
_SMALL_FILE_BYTES = 64 << 10
_LINES_TO_GUESS_FROM = 2000
_LONGEST_NAME = 255  # characters
_TEXTS = "a list of texts or one column of them"


@dataclass(frozen=True)
class _Source:
    """A file of a corpus and how it is read: text by its `documents`, a table by its `column`."""

    path: Path
    documents: Documents = "line"
    column: str | None = None

    def texts(self) -> Iterator[str]:
        if self.column is not None:
            for rows in read_rows(self.path, [self.column]):
                yield from rows.columns[0]
        elif self.documents == "file":
            yield "".join(read_blocks(self.path)).replace("\r\n", "\n")
        elif self.documents == "paragraph":
            for has_text, lines in groupby(read_lines(self.path), key=_has_text):
                if has_text:
                    yield "\n".join(lines)
        else:
            yield from read_lines(self.path)


def _content(path: Path) -> str:
    """Return what changes with a file's content: of a hub data set its name, as that is pinned."""
    return str(path) if is_hub_data(path) else file_sha256(path)


def _has_text(line: str) -> bool:
    return bool(line.strip())


@dataclass(frozen=True)
class Corpus:
    """Unlabelled text, streamed; made by `read_corpus`.

    Iterating yields the documents in order, each as its sentences; blank documents are left out.
    Memory is bounded by the largest document.

    Attributes:
        description: What the corpus is, for people: its path, or how many texts or files.
        size_bytes: Bytes of its files as stored, for progress; a data set of the hub counts none.
        notes: What was guessed about the files, a sentence each.

    Example:
        >>> corpus = read_corpus(texts=["It rains. It pours.", "The end."])
        >>> list(corpus)
        [['It rains.', 'It pours.'], ['The end.']]
    """

    description: str
    size_bytes: int
    notes: tuple[str, ...] = ()
    _sources: tuple[_Source, ...] = ()
    _memory: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[list[str]]:
        return map(split_sentences, self.texts())

    def texts(self) -> Iterator[str]:
        """Yield every document as one string; where it has lines, they end its sentences.

        Raises:
            DataError: A file cannot be read as it is; names the line.
        """
        yield from filter(str.strip, self._memory)
        for source in self._sources:
            yield from filter(str.strip, source.texts())

    def fingerprint(self) -> str:
        """Return a hash of the content: what the files hold, in order, and how they are read."""
        files = [[_content(s.path), s.documents, s.column] for s in self._sources]
        return fingerprint(files, self._memory)


def read_corpus(
    source: str | Path | Sequence[str | Path] | None = None,
    *,
    texts: Iterable[str] | None = None,
    text_column: str | None = None,
    strict: bool = True,
    documents: Documents | None = None,
) -> Corpus:
    """Open a corpus: text, CSV, TSV, JSONL or Parquet files, each also `.gz` or `.zst`, or a list.

    Args:
        source: A file, a glob, a folder (every file below it in such a format, by name), a data set
            of the hub (`hf:NAME`, see `hub_data`), or a list of these.
        texts: Documents in memory, instead of `source`.
        text_column: The column of tables that holds the text; guessed when unmistakable.
        strict: Whether every table must have it; otherwise it is guessed for those that have not,
            as where it is the name of a column of labelled data, too.
        documents: What is a document of a text file: a `line`, a `paragraph` (lines up to a blank
            one, each a sentence or more) or the whole `file`. By default several small files
            (64 KiB or less on average) are a document each; else paragraphs, where blank lines part
            groups of lines; else lines.

    Raises:
        DataError: There is no such file, it holds no text, or its text column is unclear.
        SettingsError: Neither or both of `source` and `texts` are given, or `documents` is unknown.
    """
    if (source is None) == (texts is None):
        raise SettingsError("a corpus needs either files or texts, and not both")
    if documents not in {None, *get_args(Documents)}:
        raise SettingsError(f"documents must be line, paragraph or file, got {documents!r}")
    if texts is not None:
        corpus = _in_memory(texts)
    else:
        named = [source] if isinstance(source, str | Path) else source or ()
        given = [pinned(Path(one)) for one in named]
        if not given:
            raise SettingsError("the list of files is empty; give at least one")
        paths = [path for one in given for path in _find_files(one)]
        description = f"{given[0]} and {len(given) - 1:,} more" if given[1:] else str(given[0])
        corpus = _from_files(description, paths, text_column, documents, strict=strict)
    if next(corpus.texts(), None) is None:
        raise DataError(f"{corpus.description}: holds no text")
    return corpus


def as_corpus(
    given: str | Path | Iterable[str] | Iterable[Path] | Corpus,
    *,
    text_column: str | None = None,
    strict: bool = True,
) -> Corpus:
    """Return a corpus as it is; open a path, a list of paths, or a list of documents in memory.

    A list may be anything that yields its items in order, once: a column of a table, an iterator.

    Raises:
        DataError, SettingsError: As `read_corpus` does; or the documents are the names of files.
    """
    if isinstance(given, Corpus):
        return given
    if isinstance(given, str | Path):
        return read_corpus(given, text_column=text_column, strict=strict)
    documents: list[Any] = as_list(given, expected=_TEXTS)
    paths = [each for each in documents if isinstance(each, Path)]
    if documents and len(paths) == len(documents):
        return read_corpus(paths, text_column=text_column, strict=strict)
    if documents and all(map(_is_name, documents)):
        raise SettingsError(
            f"a list of texts was given that are names of files, such as {str(documents[0])!r}; "
            "give pathlib.Path objects to read the files"
        )
    return read_corpus(texts=documents)


def _is_name(document: object) -> bool:
    text = str(document) if isinstance(document, str | Path) else ""
    if len(text) > _LONGEST_NAME:
        return False
    return is_hub_data(text) or os.path.isfile(text)  # where Path.is_file raises at some texts


def _in_memory(texts: Iterable[str]) -> Corpus:
    if isinstance(texts, str):
        raise SettingsError("texts is one string; give a list of documents")
    kept: list[str] = []
    size_bytes = 0
    for index, text in enumerate(as_list(texts, expected=_TEXTS)):
        if not isinstance(text, str):
            raise DataError(f"text {index} is a {type(text).__name__}; every text must be a string")
        try:
            size_bytes += len(text.encode())
        except UnicodeEncodeError:
            raise DataError(
                f"text {index} holds half of a surrogate pair; mend or drop it"
            ) from None
        kept.append(str(text))
    return Corpus(f"{len(kept):,} texts in memory", size_bytes, _memory=tuple(kept))


def _find_files(path: Path) -> list[Path]:
    if is_hub_data(path):
        return [path]
    if path.is_dir():
        files = sorted(
            file
            for file in path.rglob("*")
            if file_format(file) and file.is_file() and not _is_hidden(file.relative_to(path))
        )
        if not files:
            raise DataError(f"{path}: no file in this folder ends in {', '.join(ENDINGS)}")
        return files
    if path.exists():
        check_that_it_stays(path, "a corpus")
        return [path]
    found = sorted(Path(name) for name in glob.glob(str(path), recursive=True))
    files = [file for file in found if file.is_file()]
    if not files:
        raise DataError(f"{path}: no such file or folder, nor does it match any as a pattern")
    return files


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _from_files(
    description: str,
    paths: list[Path],
    text_column: str | None,
    documents: Documents | None,
    *,
    strict: bool,
) -> Corpus:
    notes: list[str] = []
    text_files = [path for path in paths if _is_plain_text(path)]
    if documents is None and text_files:
        documents, reason = _guess_documents(text_files)
        notes += [f"{description}: {reason}"] if reason else []
    sources = []
    for path in paths:
        if _is_plain_text(path):
            sources.append(_Source(path, documents or "line"))
        else:
            columns = table_columns(path)
            asked = text_column if strict or text_column in columns else None
            column, guess = choose_text(path, columns, asked)
            sources.append(_Source(path, column=column))
            notes += guess
    size_bytes = sum(path.stat().st_size for path in paths if not is_hub_data(path))
    if len(paths) > 1:
        description += f" ({len(paths):,} files)"
    return Corpus(description, size_bytes, tuple(notes), tuple(sources))


def _is_plain_text(path: Path) -> bool:
    return file_format(path) in {"text", None}


def _guess_documents(paths: list[Path]) -> tuple[Documents, str]:
    """Return what a document is, and what it was guessed from ("" for the plain case)."""
    mean_bytes = sum(path.stat().st_size for path in paths) / len(paths)
    if len(paths) > 1 and mean_bytes <= _SMALL_FILE_BYTES:
        return "file", f"took each of {len(paths):,} small files as one document"
    head = islice(read_lines(paths[0]), _LINES_TO_GUESS_FROM)
    lengths = [len(list(lines)) for has_text, lines in groupby(head, key=_has_text) if has_text]
    if len(lengths) > 1 and sum(length > 1 for length in lengths) > len(lengths) / 2:
        return "paragraph", "took lines up to a blank one as a document"
    return "line", ""
