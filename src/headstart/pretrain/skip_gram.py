"""word2vec: skip-gram and CBOW with negative sampling.

Mikolov, Sutskever, Chen, Corrado and Dean, "Distributed Representations of Words and Phrases and
their Compositionality", NeurIPS 2013 (https://arxiv.org/abs/1310.4546). It maximizes

    log s(u_o . v_c) + sum_k log s(-u_k . v_c),    k drawn from count^0.75

over every word o and each word c around it, where s is the sigmoid. A word has two vectors: v, as a
neighbor, is the result; u, as the predicted word, is only needed for training. The noise words k
stand for the rest of the vocabulary, over which a softmax would be too expensive. `[code]` marks
details of the authors' code that the paper does not mention, `[ours]` marks where we differ.
"""

import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from headstart.budget import Budget
from headstart.errors import DataError, SettingsError
from headstart.progress import SILENT, Advance, Progress
from headstart.seeds import derive, generator
from headstart.tokenize.batches import Ids
from headstart.tokenize.encoded import EncodedCorpus
from headstart.training.array_runs import SAVE_MINUTES, ArrayRun, array_run

Floats = NDArray[np.float32]

_NOISE_DRAWS = 1 << 21  # entries of the table that noise words are drawn from
_CHUNK = 20_000  # ids between two checks of the budget
_LANES = 16  # vectors are zero-padded to whole registers; the padding stays zero
_TOGETHER = 6  # output vectors per pass over an input vector
_LONGEST = 1000  # [code] windows do not extend beyond a span of this many words
_FINAL_RATE = 1e-4  # share of the learning rate that remains at the end


@dataclass(frozen=True, kw_only=True)
class SkipGram:
    """Settings of word2vec.

    Attributes:
        dim: Size of the vectors.
        window: Maximum context words on each side; each word draws its own number, 1 to `window`.
        negatives: Noise words drawn for each word.
        learning_rate: At the start; it falls linearly to nearly zero over the budget. By default
            0.035 [ours], which scores higher than the authors' 0.025 here; 0.05 for CBOW.
        sample: A word with share f of the corpus is kept with probability
            `sqrt(sample / f) + sample / f`, at most 1: frequent words are often skipped.
        cbow: Predict a word from the mean of its context words, instead of from each of them.
    """

    dim: int = 100
    window: int = 5
    negatives: int = 5
    learning_rate: float | None = None
    sample: float = 1e-3
    cbow: bool = False

    def __post_init__(self) -> None:
        for name, most in (("dim", 65536), ("window", _LONGEST), ("negatives", _LONGEST)):
            value = getattr(self, name)
            if type(value) is not int or not 1 <= value <= most:
                raise SettingsError(
                    f"{name} must be a whole number from 1 to {most}, got {value!r}"
                )
        if type(self.cbow) is not bool:
            raise SettingsError(f"cbow must be true or false, got {self.cbow!r}")
        if not isinstance(self.sample, int | float) or not self.sample > 0:
            raise SettingsError(f"sample must be above 0, got {self.sample!r}")
        if not isinstance(self.rate, int | float) or not 0 < self.rate < np.inf:
            raise SettingsError(f"learning_rate must be above 0, got {self.learning_rate!r}")

    @property
    def rate(self) -> float:
        """The learning rate at the start."""
        if self.learning_rate is not None:
            return self.learning_rate
        return 0.05 if self.cbow else 0.035


@dataclass(frozen=True)
class Result:
    """The result of training.

    Attributes:
        vectors: Word vectors v `[vocabulary, dim]`; those of padding and unknown words are zero.
        outputs: The vectors u, on the other side of the product `[vocabulary, dim]`.
        report: Epochs, words per second and so on; plain values.
    """

    vectors: Floats
    outputs: Floats
    report: dict[str, Any]


def train(
    corpus: EncodedCorpus,
    config: SkipGram,
    *,
    budget: Budget,
    seed: int = 0,
    threads: int = 1,
    run_folder: Path | None = None,
    identity: Mapping[str, Any] | None = None,
    save_minutes: float = SAVE_MINUTES,
    progress: Progress = SILENT,
) -> Result:
    """Train word vectors; with one thread, training is deterministic bit for bit.

    Args:
        corpus: The text.
        config: The settings.
        budget: When to stop.
        seed: Controls everything random.
        threads: Number of threads, which train without locks (Recht et al. 2011).
        run_folder: Where checkpoints go; a stopped run found there is resumed.
        identity: What distinguishes this run from others with the same settings; plain values.
        save_minutes: Minutes between checkpoints.
        progress: Where progress goes.

    Raises:
        DataError: Fewer than two words occur.
        NonFiniteError: Training diverged.
        SettingsError: `run_folder` holds a different run.
        InterruptedRunError: The run was stopped; the same call resumes it.
        StorageError: The files cannot be written.
    """
    if np.count_nonzero(corpus.counts) < 2:
        raise DataError(
            "word2vec needs a corpus with at least two different words, separated by spaces"
        )
    vocabulary = len(corpus.counts)
    width = -(-config.dim // _LANES) * _LANES
    inputs = np.zeros((vocabulary, width), np.float32)
    fresh = generator(seed, "vectors").random((vocabulary, config.dim), np.float32)
    inputs[:, : config.dim] = (fresh - 0.5) / config.dim
    inputs[corpus.counts == 0] = 0.0
    outputs = np.zeros((vocabulary + 1, width), np.float32)  # the spare row is not trained
    run = _Run(corpus, config, budget, seed, inputs, outputs)
    label = "CBOW" if config.cbow else "skip-gram"
    with (
        array_run(
            {"inputs": inputs, "outputs": outputs},
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
        progress.stage(f"training {label}", 1.0) as advance,
        ThreadPoolExecutor(threads) as pool,
    ):
        if kept.place:
            run.take_up(kept.place)
            run.tell(advance, run.spent())
        while run.spent() < 1.0:
            workers = [pool.submit(run.work, kept, advance) for _ in range(threads)]
            try:
                for worker in workers:
                    worker.result()
            finally:
                run.stopped = True  # after an error in one thread, or Ctrl-C in this one
            run.stopped = False
            kept.save(run.handed_out, run.place())
    seconds = time.perf_counter() - run.started
    words = float(run.done * corpus.counts.sum() / len(corpus.ids))
    report = {
        "epochs": round(run.done / len(corpus.ids), 3),
        "training_seconds": seconds,
        "words_per_second": words / seconds,
    }
    vectors, others = (
        np.ascontiguousarray(matrix[:vocabulary, : config.dim]) for matrix in (inputs, outputs)
    )
    return Result(vectors, others, report)


class _Run:
    """What a run's threads share: vectors without locks (Recht et al. 2011), and a position."""

    def __init__(
        self,
        corpus: EncodedCorpus,
        config: SkipGram,
        budget: Budget,
        seed: int,
        inputs: Floats,
        outputs: Floats,
    ) -> None:
        share = corpus.counts / corpus.counts.sum()
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = config.sample / share
            self.keep = np.minimum(np.sqrt(ratio) + ratio, 1.0).astype(np.float32)  # [code]
        noise = corpus.counts**0.75
        draws = np.round(noise / noise.sum() * _NOISE_DRAWS).astype(np.int64)
        self.noise = np.repeat(
            np.arange(len(draws), dtype=np.int32), np.maximum(draws, corpus.counts > 0)
        )
        self.corpus, self.config, self.budget, self.seed = corpus, config, budget, seed
        self.inputs, self.outputs = inputs, outputs
        self.handed_out = 0  # chunks, over all epochs
        self.done = 0  # their ids
        self.order: NDArray[np.int64] = np.empty(0, np.int64)
        self.share = 0.0  # of the budget, as last reported to progress
        self.started = time.perf_counter()
        self.stopped = False
        self.lock = threading.Lock()

    def spent(self) -> float:
        size = len(self.corpus.ids)
        epochs = self.done / size
        return self.budget.spent(
            epochs=epochs,
            tokens=int(epochs * self.corpus.words),
            seconds=time.perf_counter() - self.started,
        )

    def tell(self, advance: Advance, share: float) -> None:
        """Report the share of the budget that is spent."""
        share = max(self.share, min(1.0, share))
        advance(share - self.share)
        self.share = share

    def place(self) -> dict[str, Any]:
        """Return the position of the run."""
        seconds = time.perf_counter() - self.started
        return {"stretches": self.handed_out, "ids": self.done, "seconds": seconds}

    def take_up(self, place: Mapping[str, Any]) -> None:
        """Resume from a saved position."""
        self.handed_out, self.done = place["stretches"], place["ids"]
        self.started -= place["seconds"]

    def work(self, kept: ArrayRun, advance: Advance) -> None:
        """Train on chunk after chunk until the budget is spent, or it is time to save."""
        kernel = _cbow if self.config.cbow else _skip_gram
        while (chunk := self.next_chunk(advance)) is not None:
            number, ids, share = chunk
            rate = np.float32(self.config.rate * max(1.0 - share, _FINAL_RATE))
            kernel(
                ids,
                self.keep,
                self.noise,
                self.inputs,
                self.outputs,
                self.config.window,
                self.config.negatives,
                rate,
                np.uint64(derive(self.seed, "stretch", number) | 1),
            )
            if kept.rest_is_due():
                return

    def next_chunk(self, advance: Advance) -> tuple[int, Ids, float] | None:
        """Return a chunk's number, its ids, and the share of the budget spent; None at the end.

        [ours] The chunks of an epoch come in random order, so that threads work on the same words
        only by chance, and no part of the corpus always comes last.
        """
        ids = self.corpus.ids
        per_epoch = -(-len(ids) // _CHUNK)
        with self.lock:
            share = self.spent()
            self.tell(advance, share)
            if share >= 1.0 or self.stopped:
                return None
            number = self.handed_out
            epoch, place = divmod(number, per_epoch)
            if place == 0 or not len(self.order):
                self.order = generator(self.seed, "order", epoch).permutation(per_epoch)
            start = int(self.order[place]) * _CHUNK
            chunk = ids[start : start + _CHUNK]
            self.handed_out += 1
            self.done += len(chunk)
        return number, chunk, share


_compiled = numba.njit(fastmath=True, nogil=True, cache=True, error_model="numpy")


@numba.njit(inline="always")
def _next(state):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Xorshift64 (Marsaglia 2003)."""
    state ^= state << np.uint64(13)
    state ^= state >> np.uint64(7)
    state ^= state << np.uint64(17)
    return state


@numba.njit(fastmath=True, inline="always")
def _sigmoid(x):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Return the sigmoid to 1e-5 by `exp(y) = exp(y / 256)^256`, which is vectorized.

    [ours] The authors' lookup table is flat beyond 6, where a pair still has a gradient.
    """
    y = min(max(-x, np.float32(-30)), np.float32(30)) * np.float32(1 / 256)
    power = np.float32(1) + y * (np.float32(1) + y * (np.float32(0.5) + y * np.float32(1 / 6)))
    for _ in range(8):
        power *= power
    return np.float32(1) / (np.float32(1) + power)


@_compiled
def _keep_some(ids, at, keep, words, state):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Fill `words`, up to the document's end, with the words that subsampling keeps."""
    count = 0
    while at < len(ids) and count < len(words):
        word = ids[at]
        at += 1
        if word < 0:
            if count > 0:
                break
            continue
        state = _next(state)
        if np.float32(state >> np.uint64(40)) * np.float32(2.0**-24) < keep[word]:
            words[count] = word
            count += 1
    return at, count, state


@_compiled
def _draw(drawn, times, word, noise, negatives, spare, state):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Set the word and its noise words, and how often each counts.

    All rows of `outputs` that are updated together are read before any is written, so each may
    occur only once: a repeat is replaced by the spare row, which counts zero times.
    """
    drawn[:], times[:] = spare, 0
    drawn[0], times[0] = word, 1
    for k in range(1, negatives + 1):
        state = _next(state)
        one = noise[((state >> np.uint64(32)) * np.uint64(len(noise))) >> np.uint64(32)]
        first = 0
        while first < k and drawn[first] != one:
            first += 1
        if first == k:
            drawn[k] = one
        if first > 0:  # [code] a noise word that is the word itself is skipped
            times[first] += 1
    return state


@_compiled
def _descend(vector, drawn, times, outputs, rate, slopes, gradient):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Update the drawn words' output vectors; store the update of `vector` in `gradient`.

    Each pass over `vector`, one for the products and one for the updates, serves six output vectors
    at a time: this is where most of the time is spent.
    """
    dim = len(vector)
    gradient[:] = 0
    for k in range(0, len(drawn), _TOGETHER):
        a, b, c = outputs[drawn[k]], outputs[drawn[k + 1]], outputs[drawn[k + 2]]
        d, e, f = outputs[drawn[k + 3]], outputs[drawn[k + 4]], outputs[drawn[k + 5]]
        pa = pb = pc = pd = pe = pf = np.float32(0)
        for i in range(dim):
            x = vector[i]
            pa += x * a[i]
            pb += x * b[i]
            pc += x * c[i]
            pd += x * d[i]
            pe += x * e[i]
            pf += x * f[i]
        slopes[0], slopes[1], slopes[2] = pa, pb, pc
        slopes[3], slopes[4], slopes[5] = pd, pe, pf
        for j in range(8):
            slopes[j] = -rate * _sigmoid(slopes[j])
        if k == 0:
            slopes[0] += rate
        for j in range(_TOGETHER):
            slopes[j] *= times[k + j]
        pa, pb, pc = slopes[0], slopes[1], slopes[2]
        pd, pe, pf = slopes[3], slopes[4], slopes[5]
        for i in range(dim):
            x = vector[i]
            xa, xb, xc, xd, xe, xf = a[i], b[i], c[i], d[i], e[i], f[i]
            gradient[i] += pa * xa + pb * xb + pc * xc + pd * xd + pe * xe + pf * xf
            a[i] = xa + pa * x
            b[i] = xb + pb * x
            c[i] = xc + pc * x
            d[i] = xd + pd * x
            e[i] = xe + pe * x
            f[i] = xf + pf * x


@_compiled
def _skip_gram(ids, keep, noise, inputs, outputs, window, negatives, rate, state):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, PLR0917
    """Train skip-gram on a chunk of the corpus.

    [code] The trained input vector is the neighbor's, and the center word is predicted.
    [ours] All neighbors of a word share one draw of noise words, and the gradients of a window are
    computed before its vectors change. The products can then combine two neighbors with six output
    vectors at a time, and the updates one neighbor: intermediate values stay in registers.
    """
    words = np.empty(_LONGEST, np.int32)
    size = -(-(negatives + 1) // _TOGETHER) * _TOGETHER
    drawn, times, spare = np.empty(size, np.int32), np.empty(size, np.float32), len(outputs) - 1
    beside = np.zeros(2 * window + 1, np.int32)  # of an odd number, the last has any partner
    slopes = np.empty((2 * window + 1) * size, np.float32)
    dim = inputs.shape[1]
    at = 0
    while at < len(ids):
        at, count, state = _keep_some(ids, at, keep, words, state)
        for center in range(count):
            state = _next(state)
            reach = window - np.int64((state >> np.uint64(33)) % np.uint64(window))
            state = _draw(drawn, times, words[center], noise, negatives, spare, state)
            neighbors = 0
            for place in range(max(0, center - reach), min(count, center + reach + 1)):
                if place != center:
                    beside[neighbors] = words[place]
                    neighbors += 1
            for k in range(0, size, _TOGETHER):
                a, b, c = outputs[drawn[k]], outputs[drawn[k + 1]], outputs[drawn[k + 2]]
                d, e, f = outputs[drawn[k + 3]], outputs[drawn[k + 4]], outputs[drawn[k + 5]]
                for n in range(0, neighbors, 2):
                    one, two = inputs[beside[n]], inputs[beside[n + 1]]
                    pa = pb = pc = pd = pe = pf = np.float32(0)
                    qa = qb = qc = qd = qe = qf = np.float32(0)
                    for i in range(dim):
                        x, y = one[i], two[i]
                        xa, xb, xc, xd, xe, xf = a[i], b[i], c[i], d[i], e[i], f[i]
                        pa, qa = pa + x * xa, qa + y * xa
                        pb, qb = pb + x * xb, qb + y * xb
                        pc, qc = pc + x * xc, qc + y * xc
                        pd, qd = pd + x * xd, qd + y * xd
                        pe, qe = pe + x * xe, qe + y * xe
                        pf, qf = pf + x * xf, qf + y * xf
                    at_one, at_two = n * size + k, (n + 1) * size + k
                    slopes[at_one], slopes[at_one + 1], slopes[at_one + 2] = pa, pb, pc
                    slopes[at_one + 3], slopes[at_one + 4], slopes[at_one + 5] = pd, pe, pf
                    slopes[at_two], slopes[at_two + 1], slopes[at_two + 2] = qa, qb, qc
                    slopes[at_two + 3], slopes[at_two + 4], slopes[at_two + 5] = qd, qe, qf
            for place in range(neighbors * size):
                slopes[place] = -rate * _sigmoid(slopes[place])
            for n in range(neighbors):
                slopes[n * size] += rate
            for k in range(1, size):
                if times[k] != 1:
                    for n in range(neighbors):
                        slopes[n * size + k] *= times[k]
            for k in range(0, size, _TOGETHER):
                a, b, c = outputs[drawn[k]], outputs[drawn[k + 1]], outputs[drawn[k + 2]]
                d, e, f = outputs[drawn[k + 3]], outputs[drawn[k + 4]], outputs[drawn[k + 5]]
                for n in range(neighbors):
                    one, at_one = inputs[beside[n]], n * size + k
                    pa, pb, pc = slopes[at_one], slopes[at_one + 1], slopes[at_one + 2]
                    pd, pe, pf = slopes[at_one + 3], slopes[at_one + 4], slopes[at_one + 5]
                    for i in range(dim):
                        x = one[i]
                        xa, xb, xc, xd, xe, xf = a[i], b[i], c[i], d[i], e[i], f[i]
                        one[i] = x + pa * xa + pb * xb + pc * xc + pd * xd + pe * xe + pf * xf
                        a[i] = xa + pa * x
                        b[i] = xb + pb * x
                        c[i] = xc + pc * x
                        d[i] = xd + pd * x
                        e[i] = xe + pe * x
                        f[i] = xf + pf * x
    return state


@_compiled
def _cbow(ids, keep, noise, inputs, outputs, window, negatives, rate, state):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, PLR0917
    """Train CBOW on a chunk of the corpus: the mean of a word's neighbors predicts it.

    [code] The inputs are averaged, but each one receives the full gradient.
    """
    words = np.empty(_LONGEST, np.int32)
    size = -(-(negatives + 1) // _TOGETHER) * _TOGETHER
    drawn, times, spare = np.empty(size, np.int32), np.empty(size, np.float32), len(outputs) - 1
    slopes = np.zeros(8, np.float32)
    gradient = np.empty(inputs.shape[1], np.float32)
    mean = np.empty(inputs.shape[1], np.float32)
    at = 0
    while at < len(ids):
        at, count, state = _keep_some(ids, at, keep, words, state)
        for center in range(count):
            state = _next(state)
            reach = window - np.int64((state >> np.uint64(33)) % np.uint64(window))
            first, last = max(0, center - reach), min(count, center + reach + 1)
            if last - first < 2:
                continue
            state = _draw(drawn, times, words[center], noise, negatives, spare, state)
            mean[:] = 0
            for beside in range(first, last):
                if beside != center:
                    for i in range(len(mean)):
                        mean[i] += inputs[words[beside], i]
            share = np.float32(1) / np.float32(last - first - 1)
            for i in range(len(mean)):
                mean[i] *= share
            _descend(mean, drawn, times, outputs, rate, slopes, gradient)
            for beside in range(first, last):
                if beside != center:
                    for i in range(len(mean)):
                        inputs[words[beside], i] += gradient[i]
    return state
