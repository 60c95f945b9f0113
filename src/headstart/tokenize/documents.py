"""Documents as ids on disk, sentence by sentence, for pretraining language models."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from headstart.data.sentences import split_sentences, split_with_space
from headstart.errors import DataError
from headstart.progress import SILENT, Progress
from headstart.seeds import generator
from headstart.storage import disk_errors
from headstart.tokenize.batches import Ids, Rows
from headstart.tokenize.encoded import in_batches
from headstart.tokenize.subwords import SubwordTokenizer
from headstart.tokenize.words import WordTokenizer

_HELD_OUT_SHARE = 0.02
_MOST_HELD_OUT = 50_000  # ids; more would only slow down each validation
_FEWEST_DOCUMENTS = 10  # with fewer, nothing is held out
_NAMED = 8  # in a message
_CHUNK = 65_536  # documents that are searched at once
_MOST_OF_ALL = 1 / 8  # held out at most if documents are large; of ten equal ones, one may be


@dataclass(frozen=True)
class EncodedDocuments:
    """A corpus as ids, documents and sentences end to end.

    Attributes:
        ids: Memory-mapped ids, without special tokens `[ids]`.
        sentences: Where each sentence begins, and the end `[sentences + 1]`.
        documents: The sentence with which each document begins, and the end `[documents + 1]`.
        words: The number of words in all documents, separated by white space.
    """

    ids: Ids
    sentences: Rows
    documents: Rows
    words: int = 0

    def __len__(self) -> int:
        return len(self.documents) - 1

    @property
    def starts(self) -> Rows:
        """Where each document begins in `ids`, and the end `[documents + 1]`."""
        starts: Rows = self.sentences[self.documents]
        return starts


def encode_documents(
    texts: Iterable[str],
    tokenizer: SubwordTokenizer | WordTokenizer,
    folder: Path,
    *,
    by_sentence: bool,
    progress: Progress = SILENT,
) -> EncodedDocuments:
    """Encode every document into `folder / "ids.i32"` and map the file.

    If subwords include white space (byte-level BPE), each sentence keeps the space before it: end
    to end, the ids spell the documents. A tokenizer that adds a space before each text adds one
    before each sentence.

    Args:
        texts: The documents.
        tokenizer: Encodes them.
        folder: The folder of the file.
        by_sentence: Split documents into sentences first; otherwise a document is one sentence.
        progress: Receives progress.

    Raises:
        DataError: No document contains a token.
        StorageError: The file cannot be written.
    """
    path = folder / "ids.i32"
    spaced = isinstance(tokenizer, SubwordTokenizer) and tokenizer.spells_bytes
    split = split_with_space if spaced else split_sentences
    lengths: list[Rows] = []
    counts: list[Rows] = []
    words = 0
    with (
        progress.stage("encoding the corpus", unit="documents") as advance,
        disk_errors(path),
        path.open("wb") as file,
    ):
        for batch in in_batches(texts):
            cut = [split(text) if by_sentence else [text] for text in batch]
            encoded = tokenizer.encode_batch(list(chain.from_iterable(cut)))
            file.write(encoded.ids.tobytes())
            words += sum(len(text.split()) for text in batch)
            filled = encoded.lengths > 0
            of_document = np.repeat(np.arange(len(cut)), [len(sentences) for sentences in cut])
            lengths.append(encoded.lengths[filled])
            per_document = np.bincount(of_document[filled], minlength=len(cut))
            counts.append(per_document[per_document > 0])
            advance(len(batch))
    sentences, documents = (
        np.concatenate([[0], *parts]).cumsum().astype(np.int64) for parts in (lengths, counts)
    )
    if sentences[-1] == 0:
        raise DataError("no document of the corpus contains a token")
    return EncodedDocuments(np.memmap(path, np.int32, "r"), sentences, documents, words)


def hold_out(documents: EncodedDocuments, *, seed: int, least: int = 1) -> tuple[Rows, Rows]:
    """Return the documents for training and those for validation, both in order.

    About 2% of the ids, at most 50,000, are held out, as whole documents. If documents are too
    large for that, `least` of them are held out: those of which `least` come closest to that number
    without exceeding an eighth of the ids.

    Copies of held-out documents are in neither part. Held-out documents whose copies together
    exceed an eighth of the ids are used for training instead. If fewer than `least` others remain,
    the choice stays and the copies are used for training.

    Args:
        documents: The corpus; nothing is held out if it has fewer than 10 times `least` documents.
        seed: Determines the choice.
        least: The minimum number of held-out documents.
    """
    everything = np.arange(len(documents))
    if len(documents) < _FEWEST_DOCUMENTS * least:
        return everything, everything[:0]
    order = generator(seed, "held out").permutation(everything)
    sizes = np.diff(documents.starts)[order]
    most = min(_MOST_HELD_OUT, int(sizes.sum() * _HELD_OUT_SHARE))
    chosen = np.flatnonzero(sizes.cumsum() <= most)
    if len(chosen) < least or 2 * sizes[chosen].sum() < most:
        far = np.abs(np.log(sizes * least / max(1, most)))
        far[sizes * least > sizes.sum() * _MOST_OF_ALL] = np.inf  # never all: enough documents
        chosen = np.argsort(far, kind="stable")[:least]
    return _without_copies(documents, np.sort(order[chosen]), least)


def _without_copies(documents: EncodedDocuments, held_out: Rows, least: int) -> tuple[Rows, Rows]:
    """Return the training documents without copies of held-out ones, and those still held out."""
    everything, sizes = np.arange(len(documents)), np.diff(documents.starts)
    alike = _alike(documents, held_out)
    as_chosen = np.delete(everything, held_out), held_out
    if sum(map(len, alike)) == len(held_out):
        return as_chosen
    alike.sort(key=lambda rows: sizes[rows].sum())
    away = np.cumsum([sizes[rows].sum() for rows in alike])
    light = alike[: np.searchsorted(away, sizes.sum() * _MOST_OF_ALL, "right")]
    left_out = np.concatenate([everything[:0], *light])
    held_out, training = held_out[np.isin(held_out, left_out)], np.delete(everything, left_out)
    return as_chosen if min(len(held_out), len(training)) < least else (training, held_out)


def _alike(documents: EncodedDocuments, held_out: Rows) -> list[Rows]:
    """Return, for each distinct held-out document, the rows in which it occurs.

    Only the held-out documents, which are few, are in memory.
    """
    starts, ids = documents.starts, np.asarray(documents.ids)
    sizes = np.diff(starts)
    alike: dict[bytes, list[int]] = {
        ids[starts[row] : starts[row + 1]].tobytes(): [] for row in held_out
    }
    lengths = np.unique(sizes[held_out])
    for at in range(0, len(documents), _CHUNK):
        rows = at + np.flatnonzero(np.isin(sizes[at : at + _CHUNK], lengths))
        begins, ends = starts[rows].tolist(), starts[rows + 1].tolist()
        for row, begin, end in zip(rows.tolist(), begins, ends, strict=True):
            if (same := alike.get(ids[begin:end].tobytes())) is not None:
                same.append(row)
    return [np.array(rows) for rows in alike.values()]


def told_of_copies(documents: EncodedDocuments, training: Rows, held_out: Rows) -> str:
    """Return a note on copies of held-out documents; an empty string if there are none."""
    if copies := len(documents) - len(training) - len(held_out):
        return f"{copies:,} copies of held-out documents are not trained on"
    if sum(map(len, _alike(documents, held_out))) > len(held_out):
        return (
            "the held-out documents have too many copies in the corpus to exclude them: they are "
            "also trained on, and the validation perplexity is too low"
        )
    return ""


def named(what: str, numbers: Iterable[int]) -> str:
    """Return the first few numbers of documents or other items, each once, for messages.

    Example:
        >>> named("documents", [7, 3, 7])
        'documents 7, 3'
    """
    distinct = [str(number) for number in dict.fromkeys(numbers)]
    return f"{what} {', '.join(distinct[:_NAMED])}{', ..' * (len(distinct) > _NAMED)}"


def first_place(documents: Rows, left_over: int, *, seed: int, epoch: int) -> int:
    """Return where the rows of an epoch begin in documents laid end to end.

    The tokens after the last full row are not used. With several documents, whose order changes in
    each epoch, these tokens differ. With one document they would always be its end, so the
    beginning is drawn at random.

    Args:
        documents: The training documents.
        left_over: Tokens after the last full row, if the first row begins at 0.
        seed: Determines the beginning, together with the epoch.
        epoch: The number of epochs before.
    """
    if len(documents) > 1:
        return 0
    return int(generator(seed, "first place", epoch).integers(left_over + 1))
