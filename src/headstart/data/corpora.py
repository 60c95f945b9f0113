"""Unlabeled text: a corpus is an iterable of documents, each a list of sentences.

A corpus is streamed from its files each time it is iterated. It may therefore be larger than
memory, and can be read any number of times. Its notes say what was guessed about the files.
"""

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, islice
from pathlib import Path
from typing import Any, Literal, get_args

from headstart.data.columns import choose_text, several
from headstart.data.hub_data import is_hub_data, pinned
from headstart.data.in_memory import as_list
from headstart.data.lines import check_that_it_stays, read_blocks, read_lines
from headstart.data.sentences import split_sentences
from headstart.data.tables import ENDINGS, file_format, read_rows, table_columns
from headstart.errors import DataError, SettingsError
from headstart.storage import MANIFEST, file_sha256, fingerprint

Documents = Literal["line", "paragraph", "file"]
_SMALL_FILE_BYTES = 64 << 10
_LINES_TO_GUESS_FROM = 2000
_LONGEST_NAME = 255  # characters
_TEXTS = "a list of texts or one column of them"


@dataclass(frozen=True)
class _Source:
    """A file of a corpus and how to read it: text by its `documents`, a table by its `column`."""

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
    """Return what identifies a file's content: its hash, or the pinned name of a Hub dataset."""
    return str(path) if is_hub_data(path) else file_sha256(path)


def _has_text(line: str) -> bool:
    return bool(line.strip())


@dataclass(frozen=True)
class Corpus:
    """Unlabeled text, streamed. Make one with `read_corpus`.

    Iterating yields the documents in order, each as a list of sentences. Blank documents are
    skipped. Memory is bounded by the largest document.

    Attributes:
        description: The corpus for people to read: its path, or the number of texts or files.
        size_bytes: Stored bytes of its files, for progress; a Hub dataset counts as 0.
        notes: What was guessed about the files, one sentence each.

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
        """Yield every document as one string, in which line breaks end sentences.

        Raises:
            DataError: A file cannot be read; names the line.
        """
        yield from filter(str.strip, self._memory)
        for source in self._sources:
            yield from filter(str.strip, source.texts())

    def fingerprint(self) -> str:
        """Return a hash of the content of the files, in order, and of how they are read."""
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
        source: A file, a glob, a folder (every file below it in such a format, sorted by name), a
            Hub dataset (`hf:NAME`, see `hub_data`), or a list of these.
        texts: Documents in memory, instead of `source`.
        text_column: The column of tables that contains the text; guessed if unambiguous.
        strict: Whether every table must have `text_column`. If not, a table without it has its own
            guessed, for example where the name is also that of a column of labeled data.
        documents: What counts as a document in a text file: a `line`, a `paragraph` (the lines up
            to a blank line, each of one or more sentences) or the whole `file`. The default is
            `file` for several small files (64 KiB or less on average), else `paragraph` if blank
            lines separate groups of lines, else `line`.

    Raises:
        DataError: There is no such file, it contains no text, or its text column is unclear.
        SettingsError: Neither or both of `source` and `texts` are given, or `documents` is unknown.
    """
    if (source is None) == (texts is None):
        raise SettingsError("a corpus needs either files or texts, not both")
    if documents not in {None, *get_args(Documents)}:
        raise SettingsError(f"documents must be line, paragraph or file, got {documents!r}")
    if texts is not None:
        corpus = _in_memory(texts)
    else:
        named = [source] if isinstance(source, str | Path) else source or ()
        given = [pinned(Path(one)) for one in named]
        if not given:
            raise SettingsError("the list of files is empty; give at least one")
        ignored: list[str] = []
        paths = [path for one in given for path in _find_files(one, given, ignored)]
        description = f"{given[0]} and {len(given) - 1:,} more" if given[1:] else str(given[0])
        corpus = _from_files(description, paths, text_column, documents, strict=strict)
        corpus = replace(corpus, notes=(*corpus.notes, *dict.fromkeys(ignored)))
    if next(corpus.texts(), None) is None:
        raise DataError(f"{corpus.description}: contains no text")
    return corpus


def as_corpus(
    given: str | Path | Iterable[str] | Iterable[Path] | Corpus,
    *,
    text_column: str | None = None,
    strict: bool = True,
) -> Corpus:
    """Return a corpus unchanged; open a path, a list of paths, or a list of documents in memory.

    A list may also be an iterator or a column of a table.

    Raises:
        DataError, SettingsError: As in `read_corpus`, or the documents are names of files.
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
            f"the texts are names of files, such as {str(documents[0])!r}; "
            "pass pathlib.Path objects to read the files"
        )
    return read_corpus(texts=documents)


def _is_name(document: object) -> bool:
    text = str(document) if isinstance(document, str | Path) else ""
    if len(text) > _LONGEST_NAME:
        return False
    return is_hub_data(text) or os.path.isfile(text)  # Path.is_file raises on some texts


def _in_memory(texts: Iterable[str]) -> Corpus:
    if isinstance(texts, str):
        raise SettingsError("texts is one string; pass a list of documents")
    kept: list[str] = []
    size_bytes = 0
    for index, text in enumerate(as_list(texts, expected=_TEXTS)):
        if not isinstance(text, str):
            raise DataError(
                f"text {index} is of type {type(text).__name__}; every text must be a string"
            )
        try:
            size_bytes += len(text.encode())
        except UnicodeEncodeError:
            raise DataError(
                f"text {index} contains an unpaired surrogate; fix or remove it"
            ) from None
        kept.append(str(text))
    return Corpus(f"{len(kept):,} texts in memory", size_bytes, _memory=tuple(kept))


def _find_files(path: Path, given: Sequence[Path], notes: list[str]) -> list[Path]:
    """Return the files to read, and add a note on those of a folder that are not read."""
    if is_hub_data(path):
        return [path]
    if path.is_dir():
        every = list(_files_in(path))
        files = sorted(file for file in every if file_format(file) and file.is_file())
        if all((path / name).is_file() for name in (MANIFEST, "config.json")):
            raise DataError(f"{path}: is a saved model, not a corpus; give text")
        if not files:
            raise DataError(f"{path}: no file in this folder ends in {', '.join(ENDINGS)}")
        named = {one.absolute() for one in given}
        ignored = [f for f in every if not file_format(f) and f.absolute() not in named]
        if ignored:
            notes.append(
                f"{path}: ignored {several(len(ignored), 'file')} (for instance "
                f"{min(ignored).relative_to(path)}); only those that end in {', '.join(ENDINGS)} "
                "are read"
            )
        return files
    if path.exists():
        check_that_it_stays(path, "a corpus")
        return [path]
    found = sorted(Path(name) for name in glob.glob(str(path), recursive=True))
    files = [file for file in found if file.is_file()]
    if not files:
        raise DataError(f"{path}: no such file or folder, and no file matches it as a pattern")
    return files


def _files_in(folder: Path) -> Iterator[Path]:
    """Yield the files of a folder and its subfolders, without hidden ones."""
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(place, name) for name in names if not name.startswith("."))


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
    """Return what counts as a document, and how it was guessed ("" if each line is one)."""
    mean_bytes = sum(path.stat().st_size for path in paths) / len(paths)
    if len(paths) > 1 and mean_bytes <= _SMALL_FILE_BYTES:
        return "file", f"each of {len(paths):,} small files is read as one document"
    head = islice(read_lines(paths[0]), _LINES_TO_GUESS_FROM)
    lengths = [len(list(lines)) for has_text, lines in groupby(head, key=_has_text) if has_text]
    if len(lengths) > 1 and sum(length > 1 for length in lengths) > len(lengths) / 2:
        return "paragraph", "each group of lines up to a blank line is read as one document"
    return "line", ""
