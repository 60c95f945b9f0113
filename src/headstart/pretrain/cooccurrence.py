"""Count how often words co-occur, from disk to disk in bounded memory.

Pairs of nearby words are packed into 64-bit keys and sorted one buffer at a time. Equal keys are
summed, and each buffer becomes a sorted run on disk. Runs are merged part by part into records.
Keys group pairs into square tiles of words, so that training stays in the CPU cache. The first
tile, of the most frequent words, contains about a third of all pairs and is counted in a table.
"""

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from headstart.devices import map_in_order
from headstart.errors import DataError
from headstart.progress import SILENT, Progress
from headstart.seeds import derive
from headstart.storage import disk_errors
from headstart.tokenize.batches import offsets_of
from headstart.tokenize.encoded import EncodedCorpus

WIDEST = 255  # words on each side: a distance fits into the 8 lowest bits of a packed pair
TILE_BITS = 9  # tiles of 512 x 512 words: their vectors and gradients fit into a core's cache
RECORD = np.dtype([("row", np.uint16), ("column", np.uint16), ("count", np.float32)])

BUFFER = 1 << 23  # pairs per thread at a time: 64 MiB
_FAN_IN = 16  # runs of one level that are merged into one run of the next
_PART = 1 << 21  # approximate number of entries that a thread merges at a time
_SAMPLE = 1 << 12  # entries between the sampled keys by which runs are split into parts
_TILE_SHIFT = np.uint64(2 * TILE_BITS)

Run = tuple[NDArray[np.uint64], NDArray[np.float32]]  # sorted keys, and the sum of each


@dataclass(frozen=True)
class Cooccurrences:
    """The symmetric matrix X of counts: X_ij is the sum of 1 / distance over every i near a j.

    Attributes:
        records: X_ij for i <= j, memory-mapped `[records]`. Rows and columns count from the first
            word of their tile. Tiles are stored one after another, each shuffled.
        tiles: Row and column of each tile, in units of tiles `[tiles, 2]`.
        offsets: Where each tile's records begin, and the end `[tiles + 1]`.
        pairs: Number of nonzero entries of X, on both sides of the diagonal.
    """

    records: NDArray[Any]
    tiles: NDArray[np.int64]
    offsets: NDArray[np.int64]
    pairs: int


def count(
    corpus: EncodedCorpus,
    folder: Path,
    *,
    window: int,
    seed: int = 0,
    threads: int = 1,
    buffer: int = BUFFER,
    progress: Progress = SILENT,
) -> Cooccurrences:
    """Count which words occur within `window` words of each other in one document.

    A word near itself counts from both sides, as in the authors' code `[code]`. The result does not
    depend on the number of threads.

    Args:
        corpus: The text.
        folder: Where runs and records are written.
        window: Context words on each side, at most `WIDEST`.
        seed: Controls the order of the records within a tile.
        threads: Number of threads.
        buffer: Pairs that each thread buffers, 8 bytes each.
        progress: Where progress goes.

    Raises:
        DataError: No document contains two words of the vocabulary.
        StorageError: The files cannot be written.
    """
    across = ((len(corpus.counts) - 1) >> TILE_BITS) + 1
    stretch = max(buffer // window, 1)

    def count_stretch(start: int) -> Run:
        before = max(start - window, 0)
        ids = np.asarray(corpus.ids[before : start + stretch])
        packed = np.empty(window * (before + len(ids) - start), np.uint64)
        table = np.zeros(1 << 2 * TILE_BITS)
        packed = packed[: _pack(ids, start - before, window, across, packed, table)]
        packed.sort()
        sums = np.empty(len(packed), np.float32)
        entries = _sum_packed(packed, sums)
        frequent = np.flatnonzero(table).astype(np.uint64)  # the lowest keys
        first = frequent, table[frequent].astype(np.float32)
        return _store(folder, [first, (packed[:entries], sums[:entries])])

    levels: list[list[Run]] = [[]]
    with disk_errors(folder), ThreadPoolExecutor(threads) as pool:
        with progress.stage("counting pairs of words", len(corpus.ids), "words") as advance:
            starts = range(0, len(corpus.ids), stretch)
            for start, run in zip(
                starts, map_in_order(pool, threads, count_stretch, starts), strict=True
            ):
                _add_run(levels, run, folder, pool, threads)
                advance(min(stretch, len(corpus.ids) - start))
        runs = [run for level in reversed(levels) for run in level]
        if not any(len(keys) for keys, _ in runs):
            raise DataError("no document contains two words of the vocabulary")
        return _write_records(folder, _merged(runs, pool, threads), across, seed)


def _add_run(
    levels: list[list[Run]], run: Run, folder: Path, pool: ThreadPoolExecutor, threads: int
) -> None:
    """Add a run to the lowest level; a full level is merged into one run of the next."""
    for level in levels:
        level.append(run)
        if len(level) < _FAN_IN:
            return
        run = _store(folder, _merged(level, pool, threads))
        for keys, sums in level:
            for stored in (keys, sums):
                if isinstance(stored, np.memmap):
                    Path(str(stored.filename)).unlink()
        level.clear()
    levels.append([run])


def _store(folder: Path, parts: Iterable[Run]) -> Run:
    """Write a run part by part, and memory-map it."""
    name = tempfile.mkdtemp(dir=folder)
    keys_path, sums_path = Path(name, "keys"), Path(name, "sums")
    with keys_path.open("wb") as keys_file, sums_path.open("wb") as sums_file:
        for keys, sums in parts:
            keys.tofile(keys_file)
            sums.tofile(sums_file)
    return _mapped(keys_path, np.uint64), _mapped(sums_path, np.float32)


def _mapped(path: Path, dtype: Any) -> Any:  # noqa: ANN401 - any type that numpy accepts
    """Memory-map a file, writable as compiled code expects; an empty one cannot be mapped."""
    return np.memmap(path, dtype, "r+") if path.stat().st_size else np.empty(0, dtype)


def _merged(runs: Sequence[Run], pool: ThreadPoolExecutor, threads: int) -> Iterator[Run]:
    """Yield the sum of runs in sorted parts that fit into memory and split no tile."""

    def merge(edges: tuple[np.uint64, np.uint64]) -> Run:
        bounds = [np.searchsorted(keys, edges) for keys, _ in runs]
        parts = [
            (keys[low:high], sums[low:high])
            for (keys, sums), (low, high) in zip(runs, bounds, strict=True)
        ]
        while len(parts) > 1:
            halves = zip(parts[::2], parts[1::2], strict=False)
            parts = [_add(first, second) for first, second in halves] + parts[len(parts) & ~1 :]
        return parts[0]

    samples = np.sort(np.concatenate([keys[::_SAMPLE] for keys, _ in runs]))
    cuts = np.unique(samples[:: _PART // _SAMPLE] >> _TILE_SHIFT) << _TILE_SHIFT
    last = np.iinfo(np.uint64).max
    return map_in_order(pool, threads, merge, pairwise(np.append(cuts, np.uint64(last))))


def _add(first: Run, second: Run) -> Run:
    keys = np.empty(len(first[0]) + len(second[0]), np.uint64)
    sums = np.empty(len(keys), np.float32)
    entries = _add_sorted(*first, *second, keys, sums)
    return keys[:entries], sums[:entries]


def _write_records(folder: Path, parts: Iterable[Run], across: int, seed: int) -> Cooccurrences:
    """Write the merged counts as records, and return where each tile is."""
    path = folder / "records"
    numbers, lengths, diagonal = [], [], 0
    with path.open("wb") as file:
        for keys, sums in parts:
            records = np.empty(len(keys), RECORD)
            fields = (records[name] for name in ("row", "column", "count"))
            diagonal += _shuffle_tiles(
                keys, sums, across, np.uint64(derive(seed, "tiles")), *fields
            )
            records.tofile(file)
            found, sizes = np.unique(keys >> _TILE_SHIFT, return_counts=True)
            numbers.append(found)
            lengths.append(sizes)
    tiles = np.stack(np.divmod(np.concatenate(numbers).astype(np.int64), across), axis=1)
    offsets = offsets_of(np.concatenate(lengths))
    return Cooccurrences(_mapped(path, RECORD), tiles, offsets, int(2 * offsets[-1] - diagonal))


_compiled = numba.njit(nogil=True, cache=True, error_model="numpy")


@_compiled
def _pack(ids, start, window, across, packed, table):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Write tile, row, column and distance of every pair whose later word is at or after `start`.

    Pairs of the first tile are summed in `table` instead.
    """
    inside = 2**TILE_BITS - 1
    weights = 1.0 / np.maximum(np.arange(WIDEST + 1), 1)
    entries = 0
    for at in range(start, len(ids)):
        word = np.int64(ids[at])
        if word < 0:
            continue
        for distance in range(1, min(window, at) + 1):
            other = np.int64(ids[at - distance])
            if other < 0:  # a document boundary
                break
            row, column = min(word, other), max(word, other)
            if column <= inside:
                table[row << TILE_BITS | column] += weights[distance]
                continue
            tile = (row >> TILE_BITS) * across + (column >> TILE_BITS)
            key = (tile << TILE_BITS | row & inside) << TILE_BITS | column & inside
            packed[entries] = key << 8 | distance
            entries += 1
    return entries


@_compiled
def _sum_packed(packed, sums):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Reduce sorted pairs in place to distinct keys and their sums of 1 / distance."""
    weights = 1.0 / np.maximum(np.arange(WIDEST + 1), 1)
    entries = at = 0
    while at < len(packed):
        key = packed[at] >> np.uint64(8)
        total = 0.0
        while at < len(packed) and packed[at] >> np.uint64(8) == key:
            total += weights[packed[at] & np.uint64(WIDEST)]
            at += 1
        packed[entries] = key
        sums[entries] = total
        entries += 1
    return entries


@_compiled
def _add_sorted(keys_a, sums_a, keys_b, sums_b, keys, sums):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    entries = a = b = 0
    while a < len(keys_a) or b < len(keys_b):
        from_a = b == len(keys_b) or (a < len(keys_a) and keys_a[a] <= keys_b[b])
        from_b = a == len(keys_a) or (b < len(keys_b) and keys_b[b] <= keys_a[a])
        keys[entries] = keys_a[a] if from_a else keys_b[b]
        sums[entries] = (sums_a[a] if from_a else np.float32(0)) + (
            sums_b[b] if from_b else np.float32(0)
        )
        a += from_a
        b += from_b
        entries += 1
    return entries


@_compiled
def _shuffle_tiles(keys, sums, across, seed, rows, columns, counts):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Unpack keys in random order within each tile; return how many have i = j."""
    inside = np.uint64(2**TILE_BITS - 1)
    state = seed
    begin = diagonal = 0
    for at in range(len(keys)):
        tile = keys[at] >> np.uint64(2 * TILE_BITS)
        if at == 0 or tile != keys[at - 1] >> np.uint64(2 * TILE_BITS):
            begin = at
            state = (seed ^ tile) * np.uint64(0x9E3779B97F4A7C15) | np.uint64(1)
        state ^= state << np.uint64(13)  # xorshift64 (Marsaglia 2003)
        state ^= state >> np.uint64(7)
        state ^= state << np.uint64(17)
        place = begin + np.int64((state >> np.uint64(32)) % np.uint64(at - begin + 1))
        rows[at], columns[at], counts[at] = rows[place], columns[place], counts[place]
        row, column = (keys[at] >> np.uint64(TILE_BITS)) & inside, keys[at] & inside
        same = row == column and tile // np.uint64(across) == tile % np.uint64(across)
        diagonal += same
        rows[place] = row
        columns[place] = column
        counts[place] = 2 * sums[at] if same else sums[at]
    return diagonal
