"""ELMo's objective: predict each word from the words before it, and from the words after it.

Peters et al., "Deep contextualized word representations", NAACL 2018, section 3.1
(https://arxiv.org/abs/1802.05365): `sum_k log p(t_k | t_<k) + log p(t_k | t_>k)`, with the token
layer and the softmax shared by both directions. Sentences are concatenated into full rows.
[ours] Three departures. (1) Both directions read the same row, each from its own end, so each
distinct word's characters are encoded once for both. A single boundary separates two sentences; the
forward direction reads it as a beginning, the backward direction as an end. (2) LSTMs start every
row from an empty state, where the original carried it over from the previous row. Rows are longer
to make up for it, a step is a function of (seed, number) alone, and training matches later
encoding, which also starts empty. (3) The softmax samples each word independently, so its estimate
of the sum is unbiased.

Shapes: B rows, T predictions a row, D directions, K sampled words, W distinct words, C characters,
P projection size, N predictions of a direction.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headstart.errors import DataError, SettingsError
from headstart.models.elmo import Elmo
from headstart.seeds import generator
from headstart.tokenize.batches import Rows, digest, offsets_of, ranges
from headstart.tokenize.characters import BEGIN, END, words_to_characters
from headstart.tokenize.documents import EncodedDocuments, first_place, hold_out, named
from headstart.tokenize.words import UNKNOWN_ID

BOUNDARY = 0  # between sentences; the id of padding, of which there is none
_VALIDATION_ROWS = 32


@dataclass(frozen=True, kw_only=True)
class BidirectionalLm:
    """Settings of ELMo's pretraining.

    Attributes:
        words_per_row: Length of a row: the most context that a prediction can use.
        rows_per_step: Rows per update, over all processes.
        rows_at_once: Rows per micro-batch; the gradients of a step are accumulated.
        samples: Average number of words sampled for the softmax of a step; validation uses the full
            vocabulary.
        learning_rate: The peak.
    """

    words_per_row: int = 64
    rows_per_step: int = 32
    rows_at_once: int = 32
    samples: int = 2048
    learning_rate: float = 4e-3

    def __post_init__(self) -> None:
        least = {"words_per_row": 2, "rows_per_step": 1, "rows_at_once": 1, "samples": 1}
        for name, number in least.items():
            value = getattr(self, name)
            if type(value) is not int or value < number:
                raise SettingsError(f"{name} must be a whole number from {number}, got {value!r}")
        if type(self.learning_rate) not in (int, float) or not 0 < self.learning_rate < math.inf:
            raise SettingsError(f"learning_rate must be above 0, got {self.learning_rate!r}")


@dataclass(frozen=True)
class Batch:
    """Rows of concatenated sentences, and the sampled part of the vocabulary.

    Attributes:
        ids_BT: Words and boundaries, one more than the predictions per direction.
        sampled_K: Sampled words of the vocabulary.
        documents: The documents in the rows.
    """

    ids_BT: NDArray[np.int64]
    sampled_K: NDArray[np.int64]
    documents: Rows

    def describe(self) -> str:
        """Name the documents, for error messages."""
        return named("documents", self.documents.tolist())

    @property
    def predictions(self) -> int:
        """Number of predictions in both directions."""
        return 2 * self.ids_BT[:, 1:].size


class LogUniform:
    """Samples of a vocabulary that is sorted by descending frequency.

    A draw is word `n` with a probability proportional to `log(n + 2) - log(n + 1)`, close to Zipf's
    law. Each word is sampled independently, with the probability that it comes up at least once in
    a number of draws with replacement. That number is set for the requested average sample size.

    Args:
        vocabulary_size: Number of words.
        samples: Average number of words in a sample.
    """

    def __init__(self, vocabulary_size: int, samples: int) -> None:
        one_draw = np.diff(np.log(np.arange(1, vocabulary_size + 2))) / np.log(vocabulary_size + 1)
        if samples >= vocabulary_size:
            self.chances = np.ones(vocabulary_size)
            return
        low, high = 0.0, 1.0
        while self._chances(one_draw, high).sum() < samples:
            high *= 2
        for _ in range(60):
            middle = (low + high) / 2
            too_few = self._chances(one_draw, middle).sum() < samples
            low, high = (middle, high) if too_few else (low, middle)
        self.chances = self._chances(one_draw, high)

    @staticmethod
    def _chances(one_draw: NDArray[np.float64], draws: float) -> NDArray[np.float64]:
        return -np.expm1(draws * np.log1p(-one_draw))

    def draw(self, random: np.random.Generator) -> NDArray[np.int64]:
        """Return a sample in ascending order."""
        return np.flatnonzero(random.random(len(self.chances)) < self.chances)


class Objective:
    """The objective with which `training.runs.run` pretrains an ELMo.

    The rows, their order and the samples are a function of (seed, step) alone.

    Args:
        model: The ELMo to train; it predicts the first words of `words`, the others as unknown.
        documents: The corpus as ids of `words`, sentence by sentence.
        words: Every word of the corpus, most frequent first, after padding and the unknown word.
        settings: Row length, batch sizes, samples and learning rate.
        seed: Controls everything random.
        share: The rank of this process, and the number of processes.

    Raises:
        DataError: The corpus contains no words.
    """

    def __init__(
        self,
        model: Elmo,
        documents: EncodedDocuments,
        words: Sequence[str],
        settings: BidirectionalLm,
        *,
        seed: int,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        self.model, self.documents, self.words = model, documents, words
        self.settings, self.seed = settings, seed
        self.rank, self.size = share
        self.sampler = LogUniform(model.config.vocabulary_size, settings.samples)
        self.log_chances = torch.from_numpy(np.log(self.sampler.chances)).float()
        self.training, self.held_out = hold_out(documents, seed=seed)
        self.words_per_row, self.rows_per_epoch, self.left_over = self._shape(self.training)
        self.validation = self.rows_of(self.held_out) if len(self.held_out) else []

    def _shape(self, chosen: Rows) -> tuple[int, int, int]:
        """Return the row length, the number of full rows, and the predictions left over."""
        ids = np.diff(self.documents.starts)[chosen].sum()
        predictions = int(ids + np.diff(self.documents.documents)[chosen].sum())
        if not ids:
            raise DataError("the corpus contains no words; there is nothing to predict")
        words = min(self.settings.words_per_row, predictions)
        return words, predictions // words, predictions % words

    @property
    def steps_per_epoch(self) -> int:
        """Number of full steps per epoch, at least one; then rows are drawn again."""
        return max(1, self.rows_per_epoch // self.settings.rows_per_step)

    def batches(self, first_step: int) -> Iterator[Sequence[Batch]]:
        """Yield the micro-batches of step `first_step`, of the next, and so on, endlessly."""
        epoch, at = divmod(first_step - 1, self.steps_per_epoch)
        while True:
            order = generator(self.seed, "documents", epoch).permutation(self.training)
            stream = _Stream(self.documents, order)
            rows = generator(self.seed, "rows", epoch).permutation(self.rows_per_epoch)
            first = first_place(self.training, self.left_over, seed=self.seed, epoch=epoch)
            for step in range(at, self.steps_per_epoch):
                of_step = rows[step * self.settings.rows_per_step :][: self.settings.rows_per_step]
                at_once = min(self.settings.rows_at_once, -(-len(of_step) // self.size))
                parts = [
                    of_step[start : start + at_once] for start in range(0, len(of_step), at_once)
                ]
                sample = self.sampler.draw(generator(self.seed, "sample", epoch, step))
                yield [
                    Batch(*stream.rows(part, self.words_per_row, sample, first))
                    for part in parts[self.rank :: self.size]
                ]
            epoch, at = epoch + 1, 0

    def epochs(self, step: int) -> float:
        """Return how many epochs the first `step` steps are."""
        return step * min(self.settings.rows_per_step, self.rows_per_epoch) / self.rows_per_epoch

    def tokens(self, batch: Batch) -> int:
        """Return the number of words in a batch, including boundaries."""
        return batch.predictions // 2

    def loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the loss of a batch over both directions as `(sum, count)`."""
        top_DNP, targets_DN = self.predict(batch)
        sampled_K = torch.from_numpy(batch.sampled_K)
        total = self.model.sampled_loss(
            top_DNP.flatten(0, 1), targets_DN.flatten(), sampled_K, self.log_chances[sampled_K]
        )
        return total, torch.tensor(float(batch.predictions))

    def predict(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the states to predict from `[D, T * B, P]`, and the targets `[D, T * B]`."""
        characters_WC, numbers_BT = self.characters(batch.ids_BT)
        rightward, leftward = numbers_BT[:, :-1], numbers_BT[:, :0:-1]
        leftward = np.where(leftward == 0, 1, leftward)  # a boundary is an end here
        numbers_DBT = np.stack([rightward, leftward])
        top_DTBP = self.model(
            torch.from_numpy(characters_WC).long(), torch.from_numpy(numbers_DBT.swapaxes(1, 2))
        )
        known_BT = np.where(
            batch.ids_BT < self.model.config.vocabulary_size, batch.ids_BT, UNKNOWN_ID
        )
        targets_DBT = np.stack([known_BT[:, 1:], known_BT[:, -2::-1]])
        targets_DTB = torch.from_numpy(targets_DBT.swapaxes(1, 2).copy())
        return top_DTBP.flatten(1, 2), targets_DTB.flatten(1)

    def characters(self, ids_BT: NDArray[np.int64]) -> tuple[NDArray[np.int16], NDArray[np.int64]]:
        """Return the two boundary words with the distinct words of rows, and indices into them.

        A boundary gets the index of a beginning.
        """
        distinct, numbers = np.unique(ids_BT, return_inverse=True)
        between = int(distinct[0] == BOUNDARY)
        written = words_to_characters([self.words[identity] for identity in distinct[between:]])
        numbers = np.where(ids_BT == BOUNDARY, 0, numbers.reshape(ids_BT.shape) + 2 - between)
        return np.concatenate([np.stack([BEGIN, END]), written]), numbers

    def validate(self) -> dict[str, float] | None:
        """Return loss and perplexity per word on the held-out documents, with the full softmax."""
        return self.score(self.validation) if self.validation else None

    def validated_on(self) -> str | None:
        """Return a digest of the held-out words, or None if there are none."""
        return digest(batch.ids_BT for batch in self.validation)

    def score(self, batches: Sequence[Batch]) -> dict[str, float]:
        """Return the mean loss of both directions on rows, and the perplexities."""
        totals, count = np.zeros(2), 0
        with torch.inference_mode():
            for batch in batches:
                top_DNP, targets_DN = self.predict(batch)
                for direction in range(2):
                    loss = self.model.prediction_loss(top_DNP[direction], targets_DN[direction])
                    totals[direction] += float(loss)
                count += targets_DN.shape[1]
        rightward, leftward = (totals / count).tolist()
        loss = (rightward + leftward) / 2
        return {
            "loss": loss,
            "perplexity": math.exp(min(loss, 700.0)),
            "forward_perplexity": math.exp(min(rightward, 700.0)),
            "backward_perplexity": math.exp(min(leftward, 700.0)),
        }

    def rows_of(self, chosen: Rows) -> list[Batch]:
        """Return all full rows of the given documents, in order."""
        words, count, _ = self._shape(chosen)
        stream, nothing = _Stream(self.documents, chosen), np.zeros(0, np.int64)
        return [
            Batch(*stream.rows(np.arange(at, min(count, at + _VALIDATION_ROWS)), words, nothing))
            for at in range(0, count, _VALIDATION_ROWS)
        ]


class _Stream:
    """Concatenated sentences of documents in order, a boundary before each and after the last."""

    def __init__(self, documents: EncodedDocuments, order: Rows) -> None:
        self.ids = documents.ids
        counts = np.diff(documents.documents)[order]
        sentences = ranges(documents.documents, order)
        self.document = np.repeat(order, counts)  # of each sentence
        self.begins_at = documents.sentences[sentences]  # in the corpus
        lengths = documents.sentences[sentences + 1] - self.begins_at
        self.offsets = offsets_of(lengths + 1)  # in the stream

    def rows(
        self, numbers: Rows, words: int, sample: NDArray[np.int64], first: int = 0
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], Rows]:
        """Return rows starting at `first + number * words`, the sample, and their documents."""
        places = first + numbers[:, None] * words + np.arange(words + 1)
        of = np.searchsorted(self.offsets, places, "right") - 1
        of = np.minimum(of, len(self.begins_at) - 1)  # the last boundary is after all sentences
        within = places - self.offsets[of]
        inside = (within > 0) & (places < self.offsets[-1])
        at = np.where(inside, self.begins_at[of] + within - 1, 0)
        ids = np.where(inside, self.ids[at], BOUNDARY).astype(np.int64)
        return ids, sample, np.unique(self.document[of])
