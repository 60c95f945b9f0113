"""GloVe: word vectors whose dot products model how often words co-occur.

Pennington, Socher and Manning, "GloVe: Global Vectors for Word Representation", EMNLP 2014
(https://aclanthology.org/D14-1162). It minimizes, over the pairs that occur,

    sum f(X_ij) (w_i . w~_j + b_i + b~_j - log X_ij)^2,    f(x) = min(1, (x / x_max)^alpha)

with AdaGrad; the vectors are w + w~. X_ij counts how often word j is near word i, weighted by one
over their distance; w are word vectors, w~ context vectors, b biases. The weight f keeps rare
pairs, whose counts are noisy, from mattering as much as frequent ones. `[code]` marks details of
the authors' code that the paper does not mention, `[ours]` marks where we differ.
"""

import tempfile
import threading
import time
from collections import deque
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from headstart.budget import Budget
from headstart.errors import DataError, NonFiniteError, SettingsError
from headstart.pretrain.cooccurrence import TILE_BITS, WIDEST, Cooccurrences, count
from headstart.progress import SILENT, Advance, Progress
from headstart.seeds import generator
from headstart.storage import disk_errors
from headstart.tokenize.encoded import EncodedCorpus
from headstart.training.array_runs import SAVE_MINUTES, ArrayRun, array_run

Floats = NDArray[np.float32]

_LANES = 16  # vectors are zero-padded to whole registers; the padding stays zero
_CHUNK = 1 << 17  # approximate number of pairs between two checks of the budget
_CLIP = 100.0  # [code] every component of a gradient is clipped to this


@dataclass(frozen=True, kw_only=True)
class GloVe:
    """Settings of GloVe.

    Attributes:
        dim: Size of the vectors.
        window: Context words on each side.
        x_max: Pairs with at least this count have weight 1, rarer pairs less.
        alpha: How fast the weight falls with the count.
        learning_rate: AdaGrad's, before division by the root of the accumulated squares.
    """

    dim: int = 100
    window: int = 10
    x_max: float = 100.0
    alpha: float = 0.75
    learning_rate: float = 0.05

    def __post_init__(self) -> None:
        for name, most in (("dim", 65536), ("window", WIDEST)):
            value = getattr(self, name)
            if type(value) is not int or not 1 <= value <= most:
                raise SettingsError(
                    f"{name} must be a whole number from 1 to {most}, got {value!r}"
                )
        for name in ("x_max", "alpha", "learning_rate"):
            value = getattr(self, name)
            if not isinstance(value, int | float) or not 0 < value < np.inf:
                raise SettingsError(f"{name} must be above 0 and finite, got {value!r}")


@dataclass(frozen=True)
class Result:
    """The result of training.

    Attributes:
        vectors: Word vectors w + w~ `[vocabulary, dim]`; zero for words that never occurred, such
            as padding and unknown words.
        report: Iterations, cost, pairs per second and so on; plain values.
    """

    vectors: Floats
    report: dict[str, Any]


def train(
    corpus: EncodedCorpus,
    config: GloVe,
    *,
    budget: Budget,
    seed: int = 0,
    threads: int = 1,
    folder: Path | None = None,
    run_folder: Path | None = None,
    identity: Mapping[str, Any] | None = None,
    save_minutes: float = SAVE_MINUTES,
    progress: Progress = SILENT,
) -> Result:
    """Count pairs, then fit vectors; with one thread, training is deterministic bit for bit.

    An epoch is one iteration over all pairs, and a step is one pair. The minutes of a budget
    include counting. At least one iteration is completed, whatever the budget.

    Args:
        corpus: The text.
        config: The settings.
        budget: When to stop.
        seed: Controls everything random.
        threads: Number of threads, which train without locks (Recht et al. 2011).
        folder: Where counts are stored during training; next to the mapped corpus by default.
        run_folder: Where checkpoints of the fit go. A stopped run that is resumed counts again,
            which gives the same counts, and resumes the fit from its checkpoint.
        identity: What distinguishes this run from others with the same settings; plain values.
        save_minutes: Minutes between checkpoints.
        progress: Where progress goes.

    Raises:
        DataError: Fewer than two words occur, or no document contains two.
        NonFiniteError: Training diverged.
        SettingsError: `run_folder` holds a different run.
        InterruptedRunError: The run was stopped; the same call resumes it.
        StorageError: The files cannot be written.
    """
    if np.count_nonzero(corpus.counts) < 2:
        raise DataError(
            "GloVe needs a corpus with at least two different words, separated by spaces"
        )
    started = time.perf_counter()
    with disk_errors(parent := folder or _folder_of(corpus)):
        working = tempfile.TemporaryDirectory(prefix="pairs-", dir=parent)
    with working as name:
        counts = count(
            corpus,
            Path(name),
            window=config.window,
            seed=seed,
            threads=threads,
            progress=progress,
        )
        counting_seconds = time.perf_counter() - started
        fit = _Fit(corpus, counts, config, budget, seed, started, counting_seconds)
        with (
            array_run(
                fit.arrays(),
                folder=run_folder,
                description={
                    **(identity or {}),
                    "settings": asdict(config),
                    "budget": asdict(budget),
                    "seed": seed,
                },
                save_minutes=save_minutes,
                progress=progress,
            ) as kept,
            progress.stage("fitting GloVe", 1.0) as advance,
        ):
            if kept.place:
                fit.take_up(kept.place)
            fit.run(threads, kept, advance)
    training_seconds = time.perf_counter() - fit.started - fit.counting
    vectors = fit.vectors.sum(axis=0)[:, : config.dim]
    vectors[corpus.counts == 0] = 0.0
    report = {
        "epochs": round(fit.done / counts.pairs, 3),
        "cost": fit.costs,
        "pairs": counts.pairs,
        "counting_seconds": counting_seconds,
        "counting_words_per_second": int(corpus.counts.sum()) / counting_seconds,
        "training_seconds": training_seconds,
        "pairs_per_second": fit.done / training_seconds,
    }
    return Result(np.ascontiguousarray(vectors), report)


def _folder_of(corpus: EncodedCorpus) -> Path:
    """Return the folder of a mapped corpus, or the system's folder for temporary files."""
    if isinstance(corpus.ids, np.memmap) and corpus.ids.filename:
        return Path(str(corpus.ids.filename)).parent
    return Path(tempfile.gettempdir())


class _Fit:
    """What the threads of a run share: weights without locks, and the position in the tiles.

    The first axis of every weight is its side: words, then contexts. Each tile is visited twice per
    iteration, for X_ij and for its mirror image X_ji. [ours] The authors' code visits all pairs in
    one random order; random tiles, shuffled within, need far less memory bandwidth.
    """

    def __init__(
        self,
        corpus: EncodedCorpus,
        counts: Cooccurrences,
        config: GloVe,
        budget: Budget,
        seed: int,
        started: float,
        counting: float,
    ) -> None:
        words, dim = len(corpus.counts), config.dim
        random = generator(seed, "weights")
        self.vectors = np.zeros((2, words, -(-dim // _LANES) * _LANES), np.float32)
        for side in self.vectors:
            side[:, :dim] = (random.random((words, dim), np.float32) - 0.5) / dim
        self.biases = (random.random((2, words), np.float32) - 0.5) / dim
        self.squares = np.ones_like(self.vectors)  # [code] AdaGrad's sums start at 1
        self.bias_squares = np.ones_like(self.biases)
        self.corpus, self.counts, self.config = corpus, counts, config
        self.budget, self.seed, self.started = budget, seed, started
        self.counting = counting  # seconds, including earlier runs: each counts again
        self.costs: list[float] = []  # mean cost of each whole iteration
        self.cost = 0.0  # of this iteration so far
        self.visited = 0  # completed chunks of this iteration
        self.done = 0  # pairs fitted, over all iterations
        self.share = 0.0  # of the budget, as last reported to progress
        self.stopped = False
        self.lock = threading.Lock()

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the trained arrays by name."""
        names = ("vectors", "biases", "squares", "bias_squares")
        return {name: getattr(self, name) for name in names}

    def place(self) -> dict[str, Any]:
        """Return the position of the run."""
        names = ("costs", "cost", "visited", "done", "counting")
        seconds = time.perf_counter() - self.started
        return {**{name: getattr(self, name) for name in names}, "seconds": seconds}

    def take_up(self, place: Mapping[str, Any]) -> None:
        """Resume from a saved position."""
        self.costs, self.cost = list(place["costs"]), place["cost"]
        self.visited, self.done = place["visited"], place["done"]
        self.started -= place["seconds"]
        self.counting += place.get("counting", 0.0)

    def run(self, threads: int, kept: ArrayRun, advance: Advance) -> None:
        """Iterate until the budget is spent; the first iteration is always completed."""
        while not self.costs or self.spent() < 1.0:
            chunks = self.chunks()
            with ThreadPoolExecutor(threads) as pool:
                workers = [pool.submit(self.work, chunks, kept, advance) for _ in range(threads)]
                try:
                    for worker in workers:
                        worker.result()
                finally:  # after an error or Ctrl-C, let the other workers end soon
                    self.stopped = True
            self.stopped = False
            if not np.isfinite(self.cost):
                raise NonFiniteError(
                    f"GloVe diverged: the cost of iteration {len(self.costs) + 1} is not finite; "
                    f"lower learning_rate ({self.config.learning_rate})"
                )
            if not chunks:
                self.costs.append(self.cost / self.counts.pairs)
                self.cost, self.visited = 0.0, 0
            if kept.rest_is_due():
                kept.save(self.done, self.place())
        kept.save(self.done, self.place())

    def chunks(self) -> deque[NDArray[np.int64]]:
        """Return the remaining visits of this iteration, in random order."""
        sizes = np.diff(self.counts.offsets)
        order = generator(self.seed, "tiles", len(self.costs)).permutation(2 * len(sizes))
        cuts = np.flatnonzero(np.diff(np.cumsum(sizes[order >> 1]) // _CHUNK)) + 1
        return deque(np.split(order, cuts)[self.visited :])

    def spent(self) -> float:
        """Return the share of the budget that is spent."""
        epochs = self.done / self.counts.pairs
        return self.budget.spent(
            epochs=epochs,
            tokens=int(epochs * self.corpus.words),
            steps=self.done,
            seconds=time.perf_counter() - self.started,
        )

    def work(self, chunks: deque[NDArray[np.int64]], kept: ArrayRun, advance: Advance) -> None:
        """Fit chunks until the iteration or the budget ends, or it is time to save."""
        config, records = self.config, self.counts.records
        while chunks and not (self.stopped or (self.costs and self.spent() >= 1.0)):
            try:
                chunk = chunks.popleft()
            except IndexError:  # another thread took the last one
                return
            error, pairs = _fit_tiles(
                chunk,
                self.counts.tiles,
                self.counts.offsets,
                (records["row"], records["column"], records["count"]),
                (self.vectors, self.squares, self.biases, self.bias_squares),
                np.float32(np.log(config.x_max)),
                np.float32(config.alpha),
                np.float32(config.learning_rate),
            )
            with self.lock:
                self.cost += error
                self.visited += 1
                self.done += pairs
                share = min(self.spent(), 1.0)
                advance(share - self.share)
                self.share = share
            if kept.rest_is_due():
                return


@numba.njit(
    nogil=True,
    cache=True,
    error_model="numpy",
    fastmath={"reassoc", "contract", "arcp", "nsz", "afn"},  # infinity and NaN are kept
)
def _fit_tiles(visits, tiles, offsets, records, weights, log_x_max, alpha, rate):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Fit the pairs of some tiles; return their cost and their number."""
    rows, columns, counts = records
    vectors, squares, biases, bias_squares = weights
    cost, fitted = 0.0, 0
    for visit in visits:
        tile, side = visit >> 1, visit & 1
        first_row, first_column = tiles[tile, 0] << TILE_BITS, tiles[tile, 1] << TILE_BITS
        for at in range(offsets[tile], offsets[tile + 1]):
            i, j = first_row + rows[at], first_column + columns[at]
            if i == j and side == 1:  # the diagonal has no mirror image
                continue
            w, w_squares = vectors[side, i], squares[side, i]
            c, c_squares = vectors[1 - side, j], squares[1 - side, j]
            product = np.float32(0)
            for d in range(len(w)):
                product += w[d] * c[d]
            log_count = np.log(counts[at])
            error = product + biases[side, i] + biases[1 - side, j] - log_count
            slope = error * np.exp(alpha * min(log_count - log_x_max, np.float32(0)))
            cost += 0.5 * slope * error
            fitted += 1
            for d in range(len(w)):
                # [code] the accumulated squares include the learning rate
                w_step = rate * min(max(slope * c[d], np.float32(-_CLIP)), np.float32(_CLIP))
                c_step = rate * min(max(slope * w[d], np.float32(-_CLIP)), np.float32(_CLIP))
                w[d] -= w_step / np.sqrt(w_squares[d])
                c[d] -= c_step / np.sqrt(c_squares[d])
                w_squares[d] += w_step * w_step
                c_squares[d] += c_step * c_step
            # [code] the updates of biases do not use the learning rate
            biases[side, i] -= slope / np.sqrt(bias_squares[side, i])
            biases[1 - side, j] -= slope / np.sqrt(bias_squares[1 - side, j])
            bias_squares[side, i] += slope * slope
            bias_squares[1 - side, j] += slope * slope
    return cost, fitted
