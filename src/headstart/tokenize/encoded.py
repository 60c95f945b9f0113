"""A corpus as ids on disk: encoded once, streamed many times, never in memory as a whole."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from headstart.errors import DataError
from headstart.progress import SILENT, Progress
from headstart.storage import disk_errors
from headstart.tokenize.batches import Encoded, Ids, offsets_of

END = -1  # follows every document
_TEXTS_AT_ONCE = 4096
_CHARACTERS_AT_ONCE = 1 << 22


class _Tokenizer(Protocol):
    @property
    def vocabulary(self) -> list[str]: ...
    @property
    def unknown_id(self) -> int: ...
    def encode_batch(self, texts: list[str]) -> Encoded: ...


@dataclass(frozen=True)
class EncodedCorpus:
    """The ids of a corpus.

    Attributes:
        ids: Memory-mapped ids, `END` after every document. Unknown words are removed, which makes
            the words beside them neighbors, as in the code of word2vec and GloVe `[ids]`.
        counts: How often each id occurs `[vocabulary]`.
        documents: Number of documents.
        words: Number of running words, including unknown ones.
    """

    ids: Ids
    counts: NDArray[np.int64]
    documents: int
    words: int


def encode_corpus(
    texts: Iterable[str], tokenizer: _Tokenizer, folder: Path, *, progress: Progress = SILENT
) -> EncodedCorpus:
    """Encode every document into `folder / "ids.i32"` and map the file.

    Raises:
        DataError: No document has two words of the vocabulary.
        StorageError: The file cannot be written.
    """
    path = folder / "ids.i32"
    counts = np.zeros(len(tokenizer.vocabulary), np.int64)
    documents = words = longest = 0
    with (
        progress.stage("encoding the corpus", unit="documents") as advance,
        disk_errors(path),
        path.open("wb") as file,
    ):
        for batch in in_batches(texts):
            encoded = tokenizer.encode_batch(batch)
            known = encoded.ids != tokenizer.unknown_id
            ends = offsets_of(known)[encoded.offsets]
            kept = encoded.ids[known]
            file.write(np.insert(kept, ends[1:], END).astype(np.int32).tobytes())
            counts += np.bincount(kept, minlength=len(counts))
            documents += len(batch)
            words += len(encoded.ids)
            longest = max(longest, int(np.diff(ends).max(initial=0)))
            advance(len(batch))
    if longest < 2:
        raise DataError("no document of the corpus has two words of the vocabulary")
    return EncodedCorpus(np.memmap(path, np.int32, "r"), counts, documents, words)


def in_batches(texts: Iterable[str]) -> Iterator[list[str]]:
    """Yield texts in lists of up to 4096, fewer if they are long, to bound memory."""
    batch: list[str] = []
    size = 0
    for text in texts:
        batch.append(text)
        size += len(text)
        if len(batch) >= _TEXTS_AT_ONCE or size >= _CHARACTERS_AT_ONCE:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
