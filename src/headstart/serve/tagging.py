"""Tagging of files of any size with a fitted tagger, and its evaluation.

Tags are written as columns (a word, a tab and its tag per line, and a blank line after each
sentence) or as JSONL, which keeps any word exactly.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Protocol

from headstart.data.columns import listed
from headstart.data.tagged import DOCUMENT, TaggedSentences, read_sentences
from headstart.data.unseen_labels import UnseenLabels, settle_unseen
from headstart.errors import DataError, SettingsError
from headstart.progress import SILENT, Progress
from headstart.storage import whole_file
from headstart.tasks.tagging import TagScores

Sentences = Sequence[Sequence[str]]
Write = Callable[[Sentences, Sentences], object]
_COLUMNS, _JSON = (".conll", ".tsv", ".txt"), (".jsonl", ".ndjson", ".json")


class Tagger(Protocol):
    """A fitted `TokenTagger`, or anything with the same interface."""

    tags_: list[str]

    def predict(self, X: Sentences) -> list[list[str]]: ...
    def as_learnt(self, y: Sentences) -> Sentences: ...
    def evaluate(self, X: Sentences, y: Sentences) -> TagScores: ...


def tag(
    model: Tagger, batches: Iterable[list[list[str]]]
) -> Iterator[tuple[list[list[str]], list[list[str]]]]:
    """Yield the sentences and tags of each batch, in order."""
    for sentences in batches:
        yield sentences, model.predict(sentences)


def tag_file(
    model: Tagger,
    source: Path,
    target: Path,
    *,
    word_column: str | None = None,
    batch_size: int = 1024,
    progress: Progress = SILENT,
) -> int:
    """Tag every sentence of `source` and write the results to `target` atomically.

    Args:
        model: A fitted tagger.
        source: Columns with one word per line, or JSONL.
        target: A `.conll`, `.tsv`, `.txt` or `.jsonl` file.
        word_column: The column of the words, if it is not the first, or their key in JSON.
        batch_size: Sentences in memory at once.
        progress: Receives progress reports.

    Returns:
        The number of sentences.

    Raises:
        DataError: A line of `source` cannot be read, or a word cannot be written; the message names
            it.
        SettingsError: `target` has another file extension, or is the source.
        StorageError: The file cannot be written; an existing `target` is unchanged.
    """
    ending = target.suffix.lower()
    if ending not in (*_COLUMNS, *_JSON):
        raise SettingsError(f"{target}: must end in {', '.join((*_COLUMNS, _JSON[0]))}")
    if target.exists() and source.exists() and target.samefile(source):
        raise SettingsError(f"{target}: is the input file; write the tags to another file")
    batches = read_sentences(
        source, word_column=word_column, batch_size=batch_size, progress=progress
    )
    count = 0
    with whole_file(target) as partial, partial.open("w", encoding="utf-8", newline="\n") as file:
        write = (write_json if ending in _JSON else write_columns)(file)
        for sentences, tags in tag(model, batches):
            write(sentences, tags)
            count += len(sentences)
    return count


def write_columns(file: IO[str]) -> Write:
    """Return the function that writes a word and tag per line, and a blank line per sentence."""
    first = True

    def write(sentences: Sentences, tags: Sentences) -> None:
        nonlocal first
        for words, its in zip(sentences, tags, strict=True):
            if not words:
                raise DataError(
                    "a sentence without words cannot be written in columns; write JSONL"
                )
            for word, name in zip(words, its, strict=True):
                if (
                    not _stands_in_a_column(word)
                    or DOCUMENT.fullmatch(word)
                    or (first and word.startswith("\ufeff"))  # would be read as a byte order mark
                ):
                    raise DataError(f"{word!r:.40}: word cannot be written in columns; write JSONL")
                if not _stands_in_a_column(name):
                    raise DataError(f"{name!r:.40}: tag cannot be written in columns; write JSONL")
                file.write(f"{word}\t{name}\n")
                first = False
            file.write("\n")

    return write


def _stands_in_a_column(text: str) -> bool:
    return text != "" and text == text.strip(" \t\r\n") and not {"\t", "\n", "\0"} & set(text)


def write_json(file: IO[str]) -> Write:
    """Return the function that writes one JSON object per sentence: its tokens and tags."""

    def write(sentences: Sentences, tags: Sentences) -> None:
        for words, its in zip(sentences, tags, strict=True):
            file.write(json.dumps({"tokens": words, "tags": its}, ensure_ascii=False) + "\n")

    return write


def evaluate_tags(
    model: Tagger,
    dataset: TaggedSentences,
    *,
    unseen_labels: UnseenLabels = "count-as-error",
    progress: Progress = SILENT,
) -> TagScores:
    """Score a tagger on tagged sentences.

    Args:
        model: The tagger.
        dataset: The sentences.
        unseen_labels: Whether tags that were not in the training data count as missed, as is
            customary, with a note to `progress`, or raise an error.
        progress: Receives progress reports.

    Raises:
        DataError: A tag was not in the training data and `unseen_labels` is `refuse`; the message
            names its line.
    """
    known = set(model.tags_)
    unseen = [
        (dataset.place(row, at), name)
        for row, tags in enumerate(model.as_learnt(dataset.tags))
        for at, name in enumerate(tags)
        if name not in known
    ]
    training = f"which had {listed(sorted(known))}"
    for note in settle_unseen(
        unseen, unseen_labels, training=training, what="tag", of="word", counts_as="missed"
    ):
        progress.note(note)
    with progress.stage(f"tagging {dataset.source}"):
        return model.evaluate(dataset.sentences, dataset.tags)
