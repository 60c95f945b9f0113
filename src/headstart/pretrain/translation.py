"""CoVe's objective: translate x into y, `L = - sum_t log p(y_t | y_<t, x)`.

McCann, Bradbury, Xiong and Socher, "Learned in Translation: Contextualized Word Vectors", NeurIPS
2017, section 3. [ours] Adam instead of SGD with a halved rate; target words are split into
byte-pair subwords, so none is unknown; sentences of similar lengths are batched together, so there
is little padding, and the softmax is computed for real tokens only.

Shapes: B pairs, S source words, T target tokens, N target tokens of all pairs, D width.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headstart.errors import DataError, MissingExtraError, SettingsError
from headstart.models.beam_search import Found, search
from headstart.models.cove import Cove
from headstart.models.cross_entropy import linear_cross_entropy
from headstart.seeds import generator
from headstart.tokenize.batches import Encoded, Rows, digest, inference_batches, pad
from headstart.tokenize.documents import named
from headstart.tokenize.subwords import SubwordTokenizer

_HELD_OUT_SHARE = 0.02
_MOST_HELD_OUT = 500  # pairs; more would only slow down validation
FEWEST_PAIRS = 50  # with fewer, none is held out
_MOST_OF_ONE = 0.1  # of the pairs: the most that are held out for a single source
_POOL = 50  # steps' worth of pairs that are sorted by length together
_ALIKE = 3  # target lengths that count as equal in sorting, so that sources are sorted, too
_BATCH_WORDS = 2048
_TOKENS_A_WORD, _TOKENS_MORE = 3, 10  # maximum length of a translation


@dataclass(frozen=True, kw_only=True)
class Translation:
    """Settings of CoVe's pretraining.

    Attributes:
        pairs_per_step: Sentence pairs per update, over all processes.
        pairs_at_once: Pairs per micro-batch; the gradients of a step are accumulated.
        max_tokens: Pairs with a longer side are left out: neither trained on nor held out.
        train_vectors: Whether the word vectors are trained, too, instead of frozen.
        learning_rate: The peak.
    """

    pairs_per_step: int = 64
    pairs_at_once: int = 64
    max_tokens: int = 100
    train_vectors: bool = False
    learning_rate: float = 4e-3

    def __post_init__(self) -> None:
        for name in ("pairs_per_step", "pairs_at_once", "max_tokens"):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise SettingsError(f"{name} must be a whole number from 1, got {value!r}")
        if type(self.train_vectors) is not bool:
            raise SettingsError(f"train_vectors must be true or false, got {self.train_vectors!r}")
        if type(self.learning_rate) not in (int, float) or not 0 < self.learning_rate < math.inf:
            raise SettingsError(f"learning_rate must be above 0, got {self.learning_rate!r}")


@dataclass(frozen=True)
class Pairs:
    """Sentence pairs as ids.

    Attributes:
        sources: Words of each source sentence.
        targets: Subwords of each target sentence, without special tokens.
        source_texts: The source sentences, used to find identical ones.
        references: The original target sentences, which BLEU compares with.
    """

    sources: Encoded
    targets: Encoded
    source_texts: Sequence[str]
    references: Sequence[str]

    def __len__(self) -> int:
        return len(self.sources)


@dataclass(frozen=True)
class Batch:
    """Pairs of similar lengths, the longest target first.

    Attributes:
        ids_BS: Source word ids.
        mask_BS: True at words, False at padding.
        before_BT: The token before each target token; the first is the end-of-text token.
        after_N: Target tokens with the end token, in time-step order: the first of all pairs, ..
        lengths: Target tokens of each pair, including the end token.
        pairs: Indices of the pairs.
    """

    ids_BS: NDArray[np.int64]
    mask_BS: NDArray[np.bool_]
    before_BT: NDArray[np.int64]
    after_N: NDArray[np.int64]
    lengths: list[int]
    pairs: Rows

    def describe(self) -> str:
        """Name the pairs, for error messages."""
        return named("pairs", self.pairs.tolist())


class Objective:
    """The objective with which `training.runs.run` pretrains a CoVe.

    The batches and their order are a function of (seed, step) alone.

    Args:
        model: The encoder with its decoder.
        pairs: The parallel text.
        tokenizer: The tokenizer of the targets, with an end-of-text token.
        settings: Batch sizes, maximum length and learning rate.
        seed: Controls everything random.
        most_validated: Maximum number of held-out pairs per validation; None: all.
        share: The rank of this process, and the number of processes.

    Raises:
        DataError: Every pair is longer than `max_tokens`.
        SettingsError: The model has no decoder.
        MissingExtraError: sacrebleu, which computes BLEU, is not installed.
    """

    def __init__(
        self,
        model: Cove,
        pairs: Pairs,
        tokenizer: SubwordTokenizer,
        settings: Translation,
        *,
        seed: int,
        most_validated: int | None = None,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        model.translator()
        import_sacrebleu()
        self.model, self.pairs, self.settings, self.seed = model, pairs, settings, seed
        self.tokenizer = tokenizer
        self.end = end_token(tokenizer)
        self.rank, self.size = share
        fits = np.maximum(pairs.sources.lengths, pairs.targets.lengths) <= settings.max_tokens
        self.training, self.held_out = (
            rows[fits[rows]] for rows in hold_out(pairs.source_texts, seed=seed)
        )
        self.validated = _some(self.held_out, most_validated)
        if not len(self.training):
            raise DataError(
                f"every pair has a side of more than {settings.max_tokens} tokens; raise max_tokens"
            )

    @property
    def steps_per_epoch(self) -> int:
        """Number of steps in an epoch."""
        return -(-len(self.training) // self.settings.pairs_per_step)

    def batches(self, first_step: int) -> Iterator[Sequence[Batch]]:
        """Yield the micro-batches of step `first_step`, of the next, and so on, endlessly."""
        epoch, at = divmod(first_step - 1, self.steps_per_epoch)
        while True:
            for rows in self._order(epoch)[at:]:
                at_once = min(self.settings.pairs_at_once, -(-len(rows) // self.size))
                parts = [rows[start : start + at_once] for start in range(0, len(rows), at_once)]
                yield [self._batch(part) for part in parts[self.rank :: self.size]]
            epoch, at = epoch + 1, 0

    def _order(self, epoch: int) -> list[Rows]:
        """Assign pairs to steps: shuffle pairs, sort pools by length, and shuffle the steps."""
        random = generator(self.seed, "pairs", epoch)
        order = random.permutation(self.training)
        step = self.settings.pairs_per_step
        sources, targets = self.pairs.sources.lengths, self.pairs.targets.lengths
        steps = []
        for start in range(0, len(order), _POOL * step):
            rows = order[start : start + _POOL * step]
            rows = rows[np.lexsort((sources[rows], targets[rows] // _ALIKE))]
            steps += [rows[at : at + step] for at in range(0, len(rows), step)]
        return [steps[at] for at in random.permutation(len(steps))]

    def _batch(self, rows: Rows) -> Batch:
        rows = rows[np.argsort(-self.pairs.targets.lengths[rows], kind="stable")]
        ids_BS, mask_BS = pad(self.pairs.sources, rows)
        lengths = self.pairs.targets.lengths[rows] + 1
        targets_BT, inside_BT = pad(self.pairs.targets, rows)
        after_BT = np.full((len(rows), int(lengths[0])), self.end)
        after_BT[:, : targets_BT.shape[1]][inside_BT] = targets_BT[inside_BT]
        before_BT = np.concatenate([np.full((len(rows), 1), self.end), after_BT[:, :-1]], 1)
        here_TB = np.arange(after_BT.shape[1])[:, None] < lengths
        return Batch(ids_BS, mask_BS, before_BT, after_BT.T[here_TB], lengths.tolist(), rows)

    def epochs(self, step: int) -> float:
        """Return how many epochs are done after a step."""
        return step / self.steps_per_epoch

    def tokens(self, batch: Batch) -> int:
        """Return the number of target tokens in a batch."""
        return len(batch.after_N)

    def loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the loss of a batch as `(sum, count)`."""
        return translation_loss(self.model, batch), torch.tensor(float(len(batch.after_N)))

    def validate(self) -> dict[str, float] | None:
        """Return loss, perplexity per token and greedy translations' BLEU on held-out pairs."""
        if not len(self.validated):
            return None
        total, count = 0.0, 0
        with torch.inference_mode():
            lengths = self.pairs.sources.lengths[self.validated]
            for places in inference_batches(lengths, max_tokens=_BATCH_WORDS):
                batch = self._batch(self.validated[places])
                total += float(translation_loss(self.model, batch))
                count += len(batch.after_N)
        loss = total / count
        scores = {"loss": loss, "perplexity": math.exp(min(loss, 700.0))}
        return {**scores, "bleu": self.bleu(beam=1)}

    def validated_on(self) -> str | None:
        """Return a digest of the validation pairs, or None if there are none."""
        sides = (self.pairs.sources, self.pairs.targets)
        return digest(side.select(self.validated).ids for side in sides)

    def bleu(self, *, beam: int) -> float:
        """Return BLEU on the held-out pairs that are used for validation."""
        found = translate(
            self.model, self.pairs.sources.select(self.validated), end=self.end, beam=beam
        )
        texts = [self.tokenizer.decode(each.tokens) for each in found]
        return bleu(texts, [self.pairs.references[row] for row in self.validated])

    def report(self) -> dict[str, Any]:
        """Return what the run records: how many pairs were held out, too long, or validated."""
        left_out = len(self.pairs) - len(self.training) - len(self.held_out)
        counts = {"pairs_held_out": len(self.held_out), "pairs_too_long": left_out}
        if len(self.validated) < len(self.held_out):
            counts["pairs_validated"] = len(self.validated)
        return counts


def _some(rows: Rows, most: int | None) -> Rows:
    """Return at most `most` rows, evenly spaced."""
    if most is None or len(rows) <= most:
        return rows
    return rows[np.linspace(0, len(rows) - 1, most).astype(np.int64)]


def translation_loss(model: Cove, batch: Batch) -> Tensor:
    """Return the summed loss of all predictions of a batch."""
    states_ND = model.target_states(
        torch.from_numpy(batch.ids_BS),
        torch.from_numpy(batch.mask_BS),
        torch.from_numpy(batch.before_BT),
        batch.lengths,
    )
    decoder = model.translator()
    return linear_cross_entropy(
        states_ND, decoder.tokens.weight, decoder.token_bias, torch.from_numpy(batch.after_N)
    )


def hold_out(source_texts: Sequence[str], *, seed: int) -> tuple[Rows, Rows]:
    """Return the pairs to train on and the held-out pairs, both in order.

    Of fifty pairs or more, about 2% are held out, at most 500. All translations of one source
    sentence are on the same side. If every source has more translations than that, those of the
    source with the fewest are held out, provided they are at most a tenth of the pairs.
    """
    everything = np.arange(len(source_texts))
    if len(everything) < FEWEST_PAIRS:
        return everything, everything[:0]
    groups: dict[str, list[int]] = {}
    for row, text in enumerate(source_texts):
        groups.setdefault(text, []).append(row)
    distinct = list(groups.values())
    most = min(_MOST_HELD_OUT, max(1, int(len(everything) * _HELD_OUT_SHARE)))
    chosen: list[int] = []
    for place in generator(seed, "held out").permutation(len(distinct)).tolist():
        if len(chosen) >= most:
            break
        if len(chosen) + len(distinct[place]) <= most:
            chosen += distinct[place]
    if not chosen:
        fewest = min(distinct, key=len)
        chosen = fewest if len(fewest) <= _MOST_OF_ONE * len(everything) else []
    held_out = np.sort(np.array(chosen, np.int64))
    return np.setdiff1d(everything, held_out), held_out


def translate(model: Cove, sources: Encoded, *, end: int, beam: int = 1) -> list[Found]:
    """Return the likeliest translation found for each source, batched by length.

    Args:
        model: The encoder with its decoder, in evaluation mode.
        sources: Words of each sentence.
        end: The token that begins and ends a target sentence.
        beam: Number of candidates kept at each step; 1 is greedy search.

    Raises:
        SettingsError: `beam` is below 1, or the model has no decoder.
    """
    if type(beam) is not int or beam < 1:
        raise SettingsError(f"beam must be a whole number from 1, got {beam!r}")
    decoder = model.translator()
    found: list[Found | None] = [None] * len(sources)
    lengths = sources.lengths
    with torch.inference_mode():
        for rows in inference_batches(lengths, max_tokens=max(1, _BATCH_WORDS // beam)):
            ids_BS, mask_BS = map(torch.from_numpy, pad(sources, rows))
            memory = decoder.look_at(model.read(ids_BS, mask_BS), mask_BS)
            most = _TOKENS_A_WORD * np.maximum(1, lengths[rows]) + _TOKENS_MORE
            of_rows = search(
                partial(decoder.step, memory),
                decoder.begin(memory),
                sequences=len(rows),
                begin=end,
                end=end,
                max_tokens=most.tolist(),
                beam=beam,
            )
            for row, each, words in zip(rows, of_rows, lengths[rows], strict=True):
                attention_TS = each.attention_TS[:, : max(1, words)]
                found[row] = Found(each.tokens, each.score, attention_TS)
    return [each for each in found if each is not None]


def end_token(tokenizer: SubwordTokenizer) -> int:
    """Return the id of the token that begins and ends a target sentence.

    Raises:
        SettingsError: There is no such token.
    """
    if tokenizer.specials.end is None:
        raise SettingsError(
            "the target tokenizer has no end-of-text token; use a byte-pair tokenizer"
        )
    return tokenizer.specials.end


def bleu(translations: Sequence[str], references: Sequence[str]) -> float:
    """Return corpus BLEU of plain text, by sacrebleu's own tokenization (13a), 0 to 100.

    Post, "A Call for Clarity in Reporting BLEU Scores", WMT 2018
    (https://aclanthology.org/W18-6319).

    Raises:
        MissingExtraError: sacrebleu is not installed.
    """
    score = import_sacrebleu().corpus_bleu(list(translations), [list(references)])
    return float(score.score)


def import_sacrebleu() -> Any:  # noqa: ANN401 - a module
    """Return sacrebleu.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        import sacrebleu
    except ImportError:
        raise MissingExtraError(
            "BLEU needs sacrebleu, which is not installed; run: pip install sacrebleu"
        ) from None
    return sacrebleu
