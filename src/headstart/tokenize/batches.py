"""Ids in one flat array, and batches of similar lengths with little padding.

Shapes: B batch, T tokens.
"""

import hashlib
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.errors import FormatError
from headstart.seeds import generator

Ids = NDArray[np.int32]
Rows = NDArray[np.int64]


def offsets_of(lengths: Sequence[int] | NDArray[np.integer[Any] | np.bool_]) -> Rows:
    """Return where each of several parts laid end to end begins, and the end."""
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, dtype=np.int64, out=offsets[1:])
    return offsets


def ranges(offsets: Rows, rows: Rows) -> Rows:
    """Return `offsets[row] .. offsets[row + 1] - 1` for each row, end to end."""
    lengths = offsets[rows + 1] - offsets[rows]
    return np.repeat(offsets[rows], lengths) + counted(lengths)


def digest(arrays: Iterable[NDArray[Any]]) -> str | None:
    """Return a short hash of the arrays in hexadecimal digits; None if they are empty."""
    found = hashlib.sha256()
    for array in arrays:
        found.update(np.ascontiguousarray(array).data)
    return None if found.digest() == hashlib.sha256().digest() else found.hexdigest()[:16]


def counted(lengths: Rows) -> Rows:
    """Return `0 .. length - 1` for each length, end to end."""
    return np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)


@dataclass(frozen=True)
class Encoded:
    """Texts as ids, end to end without padding.

    Attributes:
        ids: All ids `[tokens]`, or those of each word's characters `[tokens, characters]`.
        offsets: Where each text begins, and the end `[texts + 1]`.
        seconds: Where in each text the second of a pair begins, if the model needs it `[texts]`.
    """

    ids: Ids
    offsets: Rows
    seconds: Rows | None = None

    @classmethod
    def from_lists(cls, lists: Sequence[Sequence[int]]) -> "Encoded":
        """Join lists of ids, one per text."""
        lengths = np.fromiter(map(len, lists), np.int64, len(lists))
        ids = np.fromiter(chain.from_iterable(lists), np.int32, int(lengths.sum()))
        return cls(ids, offsets_of(lengths))

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
        chosen = np.fromiter(rows, np.int64)
        ids = self.ids[ranges(self.offsets, chosen)]
        seconds = None if self.seconds is None else self.seconds[chosen]
        return Encoded(ids, offsets_of(self.lengths[chosen]), seconds)

    def surround(self, before: Sequence[int], after: Sequence[int]) -> "Encoded":
        """Put the same ids before and after every text."""
        lengths = self.lengths + len(before) + len(after)
        offsets = offsets_of(lengths)
        ids = np.zeros(int(offsets[-1]), np.int32)
        inside = np.ones(len(ids), np.bool_)
        for place, identity in enumerate(before):
            ids[offsets[:-1] + place], inside[offsets[:-1] + place] = identity, False
        for place, identity in enumerate(after):
            at = offsets[1:] - len(after) + place
            ids[at], inside[at] = identity, False
        ids[inside] = self.ids
        return Encoded(ids, offsets)

    def truncate(self, max_tokens: int | Rows) -> tuple["Encoded", int]:
        """Truncate every text to `max_tokens` ids, or to its own number of them `[texts]`.

        Also return how many texts were truncated.
        """
        lengths = self.lengths
        cut = int((lengths > max_tokens).sum())
        if not cut:
            return self, 0
        position = counted(lengths)
        kept = np.minimum(lengths, max_tokens)
        ids = self.ids[position < np.repeat(kept, lengths)]
        return Encoded(ids, offsets_of(kept)), cut


@contextmanager
def library_errors() -> Iterator[None]:
    """Convert errors of the `tokenizers` library to a `FormatError`.

    The library raises a plain Exception, or panics, which is not an Exception at all.
    """
    try:
        yield
    except BaseException as error:
        if type(error) is not Exception and type(error).__name__ != "PanicException":
            raise
        raise FormatError(
            f"the tokenizer cannot tokenize a text: {error}; its tokenizer.json is corrupted or "
            "malicious"
        ) from None


def encode_batch(tokenizer: Any, texts: Sequence[str]) -> Encoded:  # noqa: ANN401 - a Rust class
    """Encode texts with a `tokenizers` tokenizer, in parallel and without special tokens."""
    with library_errors():
        encodings = tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
    return Encoded.from_lists([encoding.ids for encoding in encodings])


def pad(encoded: Encoded, rows: Rows) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return `ids_BT`, padded with zeros, and `mask_BT`, which is true for tokens.

    Words as characters are returned as `ids_BTC`.
    """
    starts = encoded.offsets[rows]
    lengths = encoded.offsets[rows + 1] - starts
    positions = np.arange(max(1, int(lengths.max(initial=0))))
    mask_BT = positions < lengths[:, None]
    ids_BT = np.zeros((*mask_BT.shape, *encoded.ids.shape[1:]), np.int64)
    ids_BT[mask_BT] = encoded.ids[(starts[:, None] + positions)[mask_BT]]
    return ids_BT, mask_BT


def training_batches(
    lengths: Rows, *, batch_size: int, generator: np.random.Generator, jitter: float = 0.0
) -> list[Rows]:
    """Split all rows into random batches of `batch_size`, each of similar lengths.

    Rows are shuffled, sorted by length within pools of 16 batches, and the batches are shuffled.
    This avoids most padding and keeps the order random. With `jitter`, lengths are first changed at
    random by up to this share, to vary the batches of small datasets between epochs.
    """
    blurred: NDArray[Any] = lengths
    if jitter:
        blurred = lengths * generator.uniform(1.0 - jitter, 1.0 + jitter, len(lengths))
    order = generator.permutation(len(lengths))
    pool = 16 * batch_size
    batches = []
    for start in range(0, len(order), pool):
        rows = order[start : start + pool]
        rows = rows[np.argsort(blurred[rows], kind="stable")]
        batches += [rows[at : at + batch_size] for at in range(0, len(rows), batch_size)]
    return [batches[at] for at in generator.permutation(len(batches))]


def endless_batches(
    lengths: Rows, *, batch_size: int, seed: int, jitter: float = 0.0
) -> Iterator[Rows]:
    """Yield batches as by `training_batches`, epoch after epoch, each in a different order."""
    epoch = 0
    while True:
        order = generator(seed, "order", epoch)
        yield from training_batches(lengths, batch_size=batch_size, generator=order, jitter=jitter)
        epoch += 1


def inference_batches(lengths: Rows, *, max_tokens: int = 16_384) -> list[Rows]:
    """Split all rows into batches sorted by length, each of at most `max_tokens` padded ids."""
    order = np.argsort(-lengths, kind="stable")
    batches = []
    start = 0
    while start < len(order):
        size = max(1, max_tokens // max(1, int(lengths[order[start]])))
        batches.append(order[start : start + size])
        start += size
    return batches


@dataclass(frozen=True)
class Packed:
    """Texts packed side by side in rows of one length, each with its own positions.

    Attributes:
        ids_BT: Tokens; 0 where a row is empty.
        sequences_BT: The number of the text of each token; -1 where there is none.
        positions_BT: Each token's position in its text, from 0.
        first_N: Where each text begins, as an index into the flattened rows.
        last_N: Where each text's last token is.
        segments_BT: 0 in the first text of a pair and 1 in the second, if the model needs it.
    """

    ids_BT: NDArray[np.int64]
    sequences_BT: NDArray[np.int64]
    positions_BT: NDArray[np.int64]
    first_N: Rows
    last_N: Rows
    segments_BT: NDArray[np.int64] | None = None

    @property
    def filled(self) -> float:
        """The share of positions that contain a token."""
        return float((self.sequences_BT >= 0).mean())


def pack(encoded: Encoded, rows: Rows, *, tokens: int | None = None) -> Packed:
    """Pack some texts into few rows of `tokens`; by default, of the longest text's length.

    Texts must not be empty; special tokens around them ensure that.
    """
    lengths = encoded.lengths[rows]
    width = int(lengths.max(initial=1)) if tokens is None else tokens
    in_row, start = best_fit(lengths, width)
    first_N = in_row * width + start
    within = counted(lengths)
    at = np.repeat(first_N, lengths) + within
    shape = (int(in_row.max(initial=-1)) + 1, width)
    ids, positions = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    sequences = np.full(shape, -1, np.int64)
    ids.flat[at] = encoded.ids[np.repeat(encoded.offsets[rows], lengths) + within]
    positions.flat[at] = within
    sequences.flat[at] = np.repeat(np.arange(len(rows)), lengths)
    segments = segments_of(encoded, rows, sequences, positions)
    return Packed(ids, sequences, positions, first_N, first_N + lengths - 1, segments)


def segments_of(
    encoded: Encoded,
    rows: Rows,
    sequences_BT: NDArray[np.int64],
    positions_BT: NDArray[np.int64],
) -> NDArray[np.int64] | None:
    """Return which text of its pair each token belongs to, 0 or 1; None without pairs."""
    if encoded.seconds is None:
        return None
    after = positions_BT >= encoded.seconds[rows][sequences_BT]
    return (after & (sequences_BT >= 0)).astype(np.int64)


def by_row(places_N: Rows, shape: tuple[int, int]) -> tuple[NDArray[np.int64], Rows]:
    """Sort places in flattened rows by row.

    Args:
        places_N: Indices into the flattened rows.
        shape: Rows and columns.

    Returns:
        The requested columns of each row `[rows, most of a row]`, 0 where a row has fewer, and
        where each place is among them, as an index into the flattened array `[N]`.
    """
    rows_N, columns_N = np.divmod(places_N, shape[1])
    counts = np.bincount(rows_N, minlength=shape[0])
    order = np.argsort(rows_N, kind="stable")
    rank_N = np.empty_like(rows_N)
    rank_N[order] = counted(counts)
    columns_BM = np.zeros((shape[0], int(counts.max(initial=1))), np.int64)
    columns_BM[rows_N, rank_N] = columns_N
    return columns_BM, rows_N * columns_BM.shape[1] + rank_N


def best_fit(lengths: Rows, width: int) -> tuple[Rows, Rows]:
    """Assign each text a place in a row: the longest first, each in the row with least room left.

    Returns:
        The row of each text, and the place of its first token in the row, both `[texts]`.

    Raises:
        ValueError: A text is longer than a row.
    """
    if int(lengths.max(initial=0)) > width:
        raise ValueError(f"a text of {int(lengths.max())} tokens does not fit rows of {width}")
    rows, starts = np.zeros(len(lengths), np.int64), np.zeros(len(lengths), np.int64)
    free: list[tuple[int, int]] = []  # remaining room and row, sorted
    num_rows = 0
    for text in np.argsort(-lengths, kind="stable").tolist():
        length = int(lengths[text])
        place = bisect_left(free, (length, -1))
        if place < len(free):
            room, row = free.pop(place)
        else:
            room, row = width, num_rows
            num_rows += 1
        rows[text], starts[text] = row, width - room
        if room > length:
            insort(free, (room - length, row))
    return rows, starts
