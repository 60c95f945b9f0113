"""Ids in one flat array, and batches of them grouped by length so that little is padding.

Shapes: B batch, T tokens.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int32]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Encoded:
    """Texts as ids, end to end without padding.

    Attributes:
        ids: All ids `[tokens]`.
        offsets: Where each text begins, and the end `[texts + 1]`.
    """

    ids: Ids
    offsets: Rows

    @classmethod
    def from_lists(cls, lists: Sequence[Sequence[int]]) -> "Encoded":
        """Join lists of ids, one a text."""
        lengths = np.fromiter(map(len, lists), np.int64, len(lists))
        ids = np.fromiter(chain.from_iterable(lists), np.int32, int(lengths.sum()))
        return cls(ids, np.concatenate([[0], np.cumsum(lengths)]))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> Ids:
        return self.ids[self.offsets[row] : self.offsets[row + 1]]

    @property
    def lengths(self) -> Rows:
        """Number of ids of each text `[texts]`."""
        return np.diff(self.offsets)

    def select(self, rows: Iterable[int]) -> "Encoded":
        """Return only these texts, in this order."""
        return Encoded.from_lists([self[row].tolist() for row in rows])

    def truncate(self, max_tokens: int) -> tuple["Encoded", int]:
        """Cut every text after `max_tokens` ids; also return how many texts were cut."""
        lengths = self.lengths
        cut = int((lengths > max_tokens).sum())
        if not cut:
            return self, 0
        position = np.arange(len(self.ids)) - np.repeat(self.offsets[:-1], lengths)
        kept = np.minimum(lengths, max_tokens)
        return Encoded(self.ids[position < max_tokens], np.concatenate([[0], np.cumsum(kept)])), cut


def encode_batch(tokenizer: Any, texts: Sequence[str]) -> Encoded:  # noqa: ANN401 - a Rust class
    """Encode texts with a tokenizer of the `tokenizers` library, in parallel, without specials."""
    encodings = tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
    return Encoded.from_lists([encoding.ids for encoding in encodings])


def pad(encoded: Encoded, rows: Rows) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return `ids_BT`, zeros after each text's end, and `mask_BT`, true where there is a token."""
    starts = encoded.offsets[rows]
    lengths = encoded.offsets[rows + 1] - starts
    positions = np.arange(max(1, int(lengths.max(initial=0))))
    mask_BT = positions < lengths[:, None]
    ids_BT = np.zeros(mask_BT.shape, np.int64)
    ids_BT[mask_BT] = encoded.ids[(starts[:, None] + positions)[mask_BT]]
    return ids_BT, mask_BT


def training_batches(
    lengths: Rows, *, batch_size: int, generator: np.random.Generator
) -> list[Rows]:
    """Deal all rows into batches of `batch_size`, at random but each of similar lengths.

    Rows are shuffled, sorted by length within pools of 16 batches, and the batches shuffled: most
    of the padding goes, and the order stays random.
    """
    order = generator.permutation(len(lengths))
    pool = 16 * batch_size
    batches = []
    for start in range(0, len(order), pool):
        rows = order[start : start + pool]
        rows = rows[np.argsort(lengths[rows], kind="stable")]
        batches += [rows[at : at + batch_size] for at in range(0, len(rows), batch_size)]
    return [batches[at] for at in generator.permutation(len(batches))]


def inference_batches(lengths: Rows, *, max_tokens: int = 16_384) -> list[Rows]:
    """Deal all rows into batches sorted by length, each of at most `max_tokens` padded ids."""
    order = np.argsort(-lengths, kind="stable")
    batches = []
    start = 0
    while start < len(order):
        size = max(1, max_tokens // max(1, int(lengths[order[start]])))
        batches.append(order[start : start + size])
        start += size
    return batches
