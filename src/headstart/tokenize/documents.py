"""Documents as ids on disk, sentence by sentence: what language models are pretrained on."""

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
_MOST_HELD_OUT = 50_000  # ids; more would only make every validation slower
_FEWEST_DOCUMENTS = 10  # with fewer, none is held out
_NAMED = 8  # in a message
_CHUNK = 65_536  # documents that are looked through at once
_MOST_OF_ALL = 1 / 8  # where documents are too large for that share; of ten alike, one may be


@dataclass(frozen=True)
class EncodedDocuments:
    """A corpus as ids, documents and sentences end to end.

    Attributes:
        ids: Memory-mapped ids, without special tokens `[ids]`.
        sentences: Where each sentence begins, and the end `[sentences + 1]`.
        documents: The sentence with which each document begins, and the end `[documents + 1]`.
        words: Words of all documents, as white space parts them.
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

    Where pieces hold white space, a sentence keeps that before it: end to end, the ids spell the
    documents (where the tokenizer puts a space before a text, it does so before a sentence).

    Args:
        texts: The documents.
        tokenizer: What cuts them.
        folder: Where the file goes.
        by_sentence: Cut documents into sentences first; otherwise a document is one sentence.
        progress: Where progress goes.

    Raises:
        DataError: No document holds a token.
        StorageError: The disk refuses.
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
        raise DataError("no document of the corpus holds a token")
    return EncodedDocuments(np.memmap(path, np.int32, "r"), sentences, documents, words)


def hold_out(documents: EncodedDocuments, *, seed: int, least: int = 1) -> tuple[Rows, Rows]:
    """Return the documents to train on and those to validate on, both in order.

    About 2 % of the ids are held out, in whole documents. Where documents are too large for that,
    it is `least` of them, those of which so many come nearest to it without an eighth of the ids
    being held out.

    Copies of what is held out are on neither side; a document of so many that they would all be
    more than an eighth of the ids is trained on instead, or both where there is no other.

    Args:
        documents: The corpus; none of it is held out where `least` would be more than a tenth.
        seed: Decides which.
        least: How few documents there is something to say of.
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
        far[sizes * least > sizes.sum() * _MOST_OF_ALL] = np.inf  # never all: documents are enough
        chosen = np.argsort(far, kind="stable")[:least]
    return _without_copies(documents, np.sort(order[chosen]), least)


def _without_copies(documents: EncodedDocuments, held_out: Rows, least: int) -> tuple[Rows, Rows]:
    """Return those to train on, without copies of held-out ones, and those that stay held out."""
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
    """Return, of each distinct document that is held out, the rows where it stands.

    Only the held-out ones, which are few, are in memory.
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
    """Return what there is to say of copies of held-out documents; an empty string if nothing."""
    if copies := len(documents) - len(training) - len(held_out):
        return f"{copies:,} copies of held-out documents are not trained on"
    if sum(map(len, _alike(documents, held_out))) > len(held_out):
        return (
            "the held-out documents stand too often in the corpus to be left out of it: what "
            "validations are on is trained on, too, and their perplexity is too good"
        )
    return ""


def named(what: str, numbers: Iterable[int]) -> str:
    """Name the first few documents, or what else has numbers, each once, for messages.

    Example:
        >>> named("documents", [7, 3, 7])
        'documents 7, 3'
    """
    distinct = [str(number) for number in dict.fromkeys(numbers)]
    return f"{what} {', '.join(distinct[:_NAMED])}{', ..' * (len(distinct) > _NAMED)}"


def first_place(documents: Rows, left_over: int, *, seed: int, epoch: int) -> int:
    """Return where the rows of an epoch begin, of documents that stand end to end.

    Full rows leave something over. Of several documents, whose order is another in each epoch, that
    is never the same for long; of one it would always be its end, so that the beginning is drawn.

    Args:
        documents: Those that are trained on.
        left_over: Tokens after the last full row, if the first begins at 0.
        seed: Decides it, with the epoch.
        epoch: How many there were before.
    """
    if len(documents) > 1:
        return 0
    return int(generator(seed, "first place", epoch).integers(left_over + 1))
