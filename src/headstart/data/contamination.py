"""Find test rows seen before the test: in the training rows or in the pretraining corpus.

A row overlaps with a corpus if a document contains a run of its words (`word_runs`), even across
sentences and lines, or if the row is nearly a sentence or a whole document (`near_duplicates`).
Rows too short for a run are not searched for inside longer texts. Each text of a pair is searched
for by itself. The corpus is read once, in batches; only the rows are kept in memory.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from headstart.data.corpora import Corpus
from headstart.data.labelled import Dataset
from headstart.data.near_duplicates import Matches, index_rows, match
from headstart.data.normal_text import Encoded, encode, hash_words, normal_words
from headstart.data.overlap import NUM_EXAMPLES, Leaks, find_leaks, sentence, shortened
from headstart.data.pairs import PairDataset
from headstart.data.tagged import TaggedSentences
from headstart.data.word_runs import RUN, SHORTEST, Hits, index_runs, match_runs
from headstart.progress import SILENT, Progress

_BATCH_CHARACTERS = 1 << 20
_LONGEST = 2  # times the longest row: of longer documents only the sentences are compared

Examples = Dataset | PairDataset | TaggedSentences


@dataclass(frozen=True)
class NearExample:
    """A test row and the training row of which it is a near duplicate, with their lines."""

    text: str
    line: int
    train_text: str
    train_line: int
    likeness: float

    def __str__(self) -> str:
        return (
            f"{shortened(self.text)} on line {self.line} is {self.likeness:.0%} similar to line "
            f"{self.train_line} of the training rows"
        )


@dataclass(frozen=True)
class NearLeaks:
    """Test rows that are near duplicates of a training row, but not equal to one.

    Attributes:
        num_test_rows: How many there are.
        share: Their share of all test rows.
        test_indices: Their indices.
        examples: The first few.
    """

    num_test_rows: int
    share: float
    test_indices: tuple[int, ...]
    examples: tuple[NearExample, ...]

    def __str__(self) -> str:
        count = f"test rows that are nearly a training row: {self.num_test_rows:,}"
        return sentence(f"{count}, {self.share:.1%}", self.examples)


@dataclass(frozen=True)
class CorpusExample:
    """Words of a row, and the document (counted from 1) that contains or nearly contains them."""

    words: str
    line: int
    document: int

    def __str__(self) -> str:
        return f"{shortened(self.words)} of line {self.line} is in document {self.document:,}"


@dataclass(frozen=True)
class CorpusOverlap:
    """Rows that a corpus contains, in part or nearly.

    Attributes:
        rows: What the rows are called: `test rows`, or just `rows`.
        corpus: A description of the corpus.
        num_documents: How many documents it has.
        num_rows: How many rows overlap with it.
        share: Their share of all rows.
        num_run_rows: How many share a run of words with it: 13, or all words of a shorter row.
        num_near_rows: How many are near duplicates of a sentence or a document of it.
        num_short_rows: How many others are too short to be searched for inside longer texts.
        indices: The indices of the rows that overlap.
        examples: The first few.
    """

    rows: str
    corpus: str
    num_documents: int
    num_rows: int
    share: float
    num_run_rows: int
    num_near_rows: int
    num_short_rows: int
    indices: tuple[int, ...]
    examples: tuple[CorpusExample, ...]

    def __str__(self) -> str:
        count = f"{self.rows} that overlap with the corpus {self.corpus}: {self.num_rows:,}"
        if self.num_rows:
            count += (
                f", {self.share:.1%}: {self.num_run_rows:,} by {RUN} words in a row "
                f"(or all words of a row of {SHORTEST} to {RUN - 1}), "
                f"{self.num_near_rows:,} as near duplicates"
            )
        if self.num_short_rows:
            count += f"; {too_few_words(self.num_short_rows)}"
        return sentence(count, self.examples)


def too_few_words(num_rows: int) -> str:
    """Return a phrase on the rows that are too short to be searched for inside longer texts."""
    has = "has" if num_rows == 1 else "have"
    return f"{num_rows:,} {has} too few words to be searched for inside longer texts"


@dataclass(frozen=True)
class SeenRows:
    """Test rows that may have been seen before the test.

    Attributes:
        leaks: Those that are training rows.
        near_leaks: Those that are near duplicates of training rows.
        overlap: Those that overlap with the corpus; None without a corpus.
        clean: Whether each test row is none of these `[rows]`.
    """

    leaks: Leaks
    near_leaks: NearLeaks
    overlap: CorpusOverlap | None
    clean: tuple[bool, ...]

    @property
    def num_clean(self) -> int:
        """The number of test rows that were not found in the training rows or the corpus."""
        return sum(self.clean)


def texts_of(examples: Examples) -> list[str]:
    """Return all texts of examples in order: one per example, or both of each pair."""
    if isinstance(examples, PairDataset):
        return [text for pair in examples.texts for text in pair]
    return examples.as_texts().texts


def find_seen(
    train: Examples,
    test: Examples,
    corpus: Corpus | None = None,
    *,
    symmetric: bool = False,
    progress: Progress = SILENT,
) -> SeenRows:
    """Find the test rows that are in the training rows or in the corpus, exactly or nearly.

    Args:
        train: The training rows.
        test: The test rows.
        corpus: The pretraining corpus, if it is to be searched.
        symmetric: Whether the order of the texts in a pair is ignored.
        progress: Receives progress.

    Raises:
        DataError: The corpus cannot be read.
    """
    learnt, asked = (
        part.as_texts(symmetric=symmetric) if isinstance(part, PairDataset) else part.as_texts()
        for part in (train, test)
    )
    leaks = find_leaks(learnt, asked)
    near_leaks = _find_near_leaks(learnt, asked, leaks, progress)
    seen = {*leaks.test_indices, *near_leaks.test_indices}
    overlap = None
    if corpus is not None:
        overlap = find_overlap(corpus, test, rows="test rows", progress=progress)
        seen.update(overlap.indices)
    return SeenRows(leaks, near_leaks, overlap, tuple(row not in seen for row in range(len(test))))


def _find_near_leaks(train: Dataset, test: Dataset, leaks: Leaks, progress: Progress) -> NearLeaks:
    """Count the test rows that are near duplicates of a training row, without the exact leaks."""
    leaked = set(leaks.test_indices)
    others = [row for row in range(len(test)) if row not in leaked]
    rows = index_rows([test.texts[row] for row in others])
    found = Matches.none(len(others))
    with progress.stage(
        "looking for test rows in the training rows", len(train), "rows"
    ) as advance:
        start = 0
        for batch in _batches([text] for text in train.texts):
            texts = encode([text for (text,) in batch])
            match(rows, texts, start + np.arange(len(batch)), found)
            start += len(batch)
            advance(len(batch))
    near = [
        NearExample(
            test.texts[index], test.lines[index], train.texts[like], train.lines[like], much
        )
        for index, like, much in zip(others, found.numbers, found.likeness.tolist(), strict=True)
        if like >= 0
    ]
    indices = tuple(index for index, like in zip(others, found.numbers, strict=True) if like >= 0)
    return NearLeaks(len(near), len(near) / max(len(test), 1), indices, tuple(near[:NUM_EXAMPLES]))


def find_overlap(
    corpus: Corpus, dataset: Examples, *, rows: str = "rows", progress: Progress = SILENT
) -> CorpusOverlap:
    """Count the rows that overlap with a corpus, which is read once.

    Args:
        corpus: The corpus.
        dataset: The rows.
        rows: What the rows are called in messages.
        progress: Receives progress.

    Raises:
        DataError: The corpus cannot be read.
    """
    texts = texts_of(dataset)
    _, offsets = hash_words(encode(texts))
    row_of = np.arange(len(texts)) // max(1, len(texts) // max(1, len(dataset)))  # a pair has two
    runs, sets = index_runs(texts), index_rows(texts)
    hits, near = Hits.none(len(texts)), Matches.none(len(texts))
    longest = _LONGEST * max(map(len, texts), default=0)
    num_documents = 0
    with progress.stage(f"looking for {rows} in the corpus", unit="documents") as advance:
        for batch in _batches(corpus):
            sentences = encode([text for document in batch for text in document])
            sizes = np.array([len(document) for document in batch])
            documents = Encoded(sentences.codes, sentences.offsets[np.append(0, sizes.cumsum())])
            numbers = num_documents + np.arange(len(batch))
            match_runs(runs, documents, numbers, hits)
            match(sets, sentences, numbers.repeat(sizes), near)
            match(sets, documents, numbers, near, longest=longest)
            num_documents += len(batch)
            advance(len(batch))
    is_seen = (hits.numbers >= 0) | (near.numbers >= 0)
    seen, told = np.flatnonzero(is_seen), is_seen | (np.diff(offsets) >= SHORTEST)
    found, first = np.unique(row_of[seen], return_index=True)
    return CorpusOverlap(
        rows=rows,
        corpus=corpus.description,
        num_documents=num_documents,
        num_rows=len(found),
        share=len(found) / max(len(dataset), 1),
        num_run_rows=len(np.unique(row_of[hits.numbers >= 0])),
        num_near_rows=len(np.unique(row_of[near.numbers >= 0])),
        num_short_rows=len(dataset) - len(np.unique(row_of[told])),
        indices=tuple(found.tolist()),
        examples=tuple(
            _shared(texts[at], dataset.lines[row], hits, near, at)
            for row, at in zip(found[:NUM_EXAMPLES], seen[first], strict=False)
        ),
    )


def _shared(text: str, line: int, hits: Hits, near: Matches, at: int) -> CorpusExample:
    """Return what text number `at` shares with a document."""
    words, document = normal_words(text), near.numbers[at]
    if hits.numbers[at] >= 0:
        place, document = hits.places[at], hits.numbers[at]
        words = words[place : place + RUN]
    return CorpusExample(" ".join(words), line, int(document) + 1)


def _batches(documents: Iterable[Sequence[str]]) -> Iterator[list[Sequence[str]]]:
    """Yield documents in lists large enough to be fast and small enough for memory."""
    batch: list[Sequence[str]] = []
    size = 0
    for document in documents:
        batch.append(document)
        size += sum(map(len, document)) + 1
        if size >= _BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
