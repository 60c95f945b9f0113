"""BERT's objectives: masked language modeling and next-sentence prediction.

Devlin, Chang, Lee and Toutanova, "BERT: Pre-training of Deep Bidirectional Transformers for
Language Understanding", NAACL 2019 (https://arxiv.org/abs/1810.04805), section 3.1. Of 15% of the
tokens, 80% become [MASK], 10% a random token, 10% stay, and the model predicts the originals;
half of the time the second segment does not follow the first, which the model is to tell from the
first token's state. The loss is the mean over targets plus the mean over pairs. `[code]` marks
details of the authors' code that the paper does not mention, `[ours]` marks where we differ:
corruption is drawn anew at each step instead of ten times in advance, and rows are packed without
padding.

Shapes: B rows, T tokens, N targets, P pairs, D width, M wanted tokens of a row, V vocabulary.
"""

import math
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from headstart.errors import DataError, SettingsError
from headstart.models.bert import Bert
from headstart.models.cross_entropy import linear_cross_entropy
from headstart.seeds import generator
from headstart.tokenize.batches import (
    Encoded,
    Packed,
    Rows,
    best_fit,
    by_row,
    counted,
    digest,
    offsets_of,
    pack,
)
from headstart.tokenize.documents import EncodedDocuments, hold_out, named
from headstart.tokenize.subwords import SubwordTokenizer

_POOL = 4096  # examples packed into rows together
_SHORT = 0.1  # [code] share of documents with shorter examples; [ours] at least a quarter as long
_VALIDATION_ROWS = 32


@dataclass(frozen=True, kw_only=True)
class MaskedLm:
    """Settings of BERT's pretraining.

    Attributes:
        mlm: Whether to predict masked tokens.
        nsp: Whether to predict if the second segment follows the first.
        mask_share: Share of the tokens that are targets.
        whole_words: Mask all pieces of a word or none.
        tokens_per_row: Length of a row, and of the longest example.
        rows_per_step: Rows per update, over all processes. Few rows train better in a few minutes:
            early on, more steps are worth more than exact gradients.
        rows_at_once: Rows per micro-batch; the gradients of a step are accumulated.
        learning_rate: The peak; for a model pretrained from scratch, 0.128 / width by default.
    """

    mlm: bool = True
    nsp: bool = True
    mask_share: float = 0.15
    whole_words: bool = False
    tokens_per_row: int = 128
    rows_per_step: int = 8
    rows_at_once: int = 32
    learning_rate: float = 1e-3

    def __post_init__(self) -> None:
        for name in ("mlm", "nsp", "whole_words"):
            if type(getattr(self, name)) is not bool:
                raise SettingsError(f"{name} must be true or false, got {getattr(self, name)!r}")
        if not (self.mlm or self.nsp):
            raise SettingsError("BERT needs an objective: mlm, nsp, or both")
        if type(self.mask_share) not in (int, float) or not 0 < self.mask_share < 1:
            raise SettingsError(f"mask_share must be between 0 and 1, got {self.mask_share!r}")
        for name, least in (("tokens_per_row", 8), ("rows_per_step", 1), ("rows_at_once", 1)):
            value = getattr(self, name)
            if type(value) is not int or value < least:
                raise SettingsError(f"{name} must be a whole number from {least}, got {value!r}")
        if type(self.learning_rate) not in (int, float) or not 0 < self.learning_rate < math.inf:
            raise SettingsError(f"learning_rate must be above 0, got {self.learning_rate!r}")


@dataclass(frozen=True)
class Examples:
    """Spans of the corpus: one per example, or two for a pair.

    Attributes:
        first: Start and end of the first segment in the corpus `[examples, 2]`.
        second: The same for the second segment; both 0 if there is none.
        random: Whether the second segment is a random one `[examples]`.
        document: The document of the first segment `[examples]`.
    """

    first: Rows
    second: Rows
    random: NDArray[np.bool_]
    document: Rows

    @property
    def lengths(self) -> Rows:
        """Number of tokens of each example, including special tokens."""
        first, second = (np.diff(part)[:, 0] for part in (self.first, self.second))
        lengths: Rows = first + second + 2 + (second > 0)
        return lengths

    def select(self, rows: Rows) -> "Examples":
        """Return the given examples."""
        return Examples(self.first[rows], self.second[rows], self.random[rows], self.document[rows])


@dataclass(frozen=True)
class Batch:
    """Packed rows, corrupted, with their targets.

    Attributes:
        packed: The rows before corruption.
        corrupted_BT: The model's input.
        segments_BT: 0 in the first segment of an example and 1 in the second.
        targets_N: Positions of the targets in the flattened rows.
        random_P: Whether the second segment of each example is a random one.
        pair_weight: Weight of a pair's loss relative to a target's. It makes the loss of a step the
            mean over targets plus the mean over pairs.
        documents: The documents that the examples come from.
    """

    packed: Packed
    corrupted_BT: NDArray[np.int64]
    segments_BT: NDArray[np.int64]
    targets_N: Rows
    random_P: NDArray[np.bool_]
    pair_weight: float
    documents: Rows

    def describe(self) -> str:
        """Name the documents, for error messages."""
        return named("documents", np.unique(self.documents).tolist())

    def split(self, rows_at_once: int) -> list["Batch"]:
        """Split the rows into batches of at most `rows_at_once`."""
        num_rows, tokens = self.packed.ids_BT.shape
        return [
            self._rows(start, min(start + rows_at_once, num_rows), tokens)
            for start in range(0, num_rows, rows_at_once)
        ]

    def _rows(self, start: int, end: int, tokens: int) -> "Batch":
        whole, rows = self.packed, slice(start, end)
        here_P = (whole.first_N >= start * tokens) & (whole.first_N < end * tokens)
        renumbered = np.append(np.cumsum(here_P) - 1, -1)  # the last is for padding's -1
        packed = Packed(
            whole.ids_BT[rows],
            renumbered[whole.sequences_BT[rows]],
            whole.positions_BT[rows],
            whole.first_N[here_P] - start * tokens,
            whole.last_N[here_P] - start * tokens,
        )
        low, high = np.searchsorted(self.targets_N, [start * tokens, end * tokens])
        return Batch(
            packed,
            self.corrupted_BT[rows],
            self.segments_BT[rows],
            self.targets_N[low:high] - start * tokens,
            self.random_P[here_P],
            self.pair_weight,
            self.documents[here_P],
        )


class Objective:
    """The objective with which `training.runs.run` pretrains a BERT.

    The examples, their order and their corruption are a function of (seed, step) alone.

    Args:
        model: The BERT to train.
        documents: The corpus, by sentence.
        tokenizer: The corpus's tokenizer, with [CLS], [SEP] and [MASK].
        settings: Objectives, masking, batch sizes and learning rate.
        seed: Controls everything random.
        share: The rank of this process, and the number of processes.

    Raises:
        DataError: NSP is on and no document has two sentences.
        SettingsError: Rows are longer than the model's positions, or a special token is missing.
    """

    def __init__(
        self,
        model: Bert,
        documents: EncodedDocuments,
        tokenizer: SubwordTokenizer,
        settings: MaskedLm,
        *,
        seed: int,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        specials = tokenizer.specials
        if specials.cls is None or specials.sep is None or specials.mask is None:
            raise SettingsError("BERT needs a tokenizer with [CLS], [SEP] and [MASK]")
        if settings.tokens_per_row > model.config.positions:
            raise SettingsError(
                f"rows of {settings.tokens_per_row} tokens are longer than the model's "
                f"{model.config.positions} positions; lower tokens_per_row"
            )
        if settings.nsp and (np.diff(documents.documents) < 2).all():
            raise DataError(
                "nsp: no document of the corpus has two sentences; provide documents with several "
                "sentences, or pretrain without nsp (--set nsp=false, options={'nsp': False})"
            )
        self.model, self.documents, self.settings, self.seed = model, documents, settings, seed
        self.rank, self.size = share
        self.cls, self.sep, self.mask = specials.cls, specials.sep, specials.mask
        self.continues = tokenizer.continues
        special = [one for one in vars(specials).values() if one is not None]
        self.ordinary = np.setdiff1d(np.arange(len(tokenizer.vocabulary)), special)
        least = 2 if settings.nsp else 1  # a random segment comes from another document
        self.training, self.held_out = hold_out(documents, seed=seed, least=least)
        self.steps_before: list[int] = [0]  # steps before each epoch, as far as known
        self.filled, self.rows_seen = 0.0, 0
        self.validation = self._validation_batches()

    def batches(self, first_step: int) -> Iterator[Sequence[Batch]]:
        """Yield the micro-batches of step `first_step`, of the next, and so on, endlessly."""
        self.epochs(first_step - 1)  # computes `steps_before` up to this epoch
        epoch = int(np.searchsorted(self.steps_before, first_step, "left")) - 1
        skipped = first_step - 1 - self.steps_before[epoch]
        while True:
            examples, rows = self._epoch(epoch)
            before, after = self.steps_before[epoch : epoch + 2]
            for at in range(skipped, after - before):
                of_step = rows[at * self.settings.rows_per_step :][: self.settings.rows_per_step]
                yield self._step(examples, of_step, before + at + 1)
            epoch, skipped = epoch + 1, 0

    def epochs(self, step: int) -> float:
        """Return how many epochs are done after a step."""
        while self.steps_before[-1] < step:  # a resumed run asks before it has batches
            self._epoch(len(self.steps_before) - 1)
        epoch = int(np.searchsorted(self.steps_before, step, "left")) - 1
        if epoch < 0:
            return 0.0
        start, end = self.steps_before[epoch : epoch + 2]
        return epoch + (step - start) / (end - start)

    def tokens(self, batch: Batch) -> int:
        """Return the number of tokens in a batch, including special tokens."""
        return int((batch.packed.sequences_BT >= 0).sum())

    def loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the loss of a batch as `(sum, count)`."""
        settings = self.settings
        targets_ND, first_PD = last_states(self.model, batch)
        total, count = torch.zeros(()), len(batch.targets_N)
        if settings.mlm:
            total = total + mlm_loss(self.model, targets_ND, batch)
        if settings.nsp:
            weight = batch.pair_weight if settings.mlm else 1.0
            total = total + weight * self._nsp_scores_loss(first_PD, batch)[1]
        return total, torch.tensor(float(count if settings.mlm else len(batch.random_P)))

    def validate(self) -> dict[str, float] | None:
        """Return loss, masked-token perplexity and NSP accuracy on the held-out documents."""
        if not self.validation:
            return None
        sums = {"mlm": 0.0, "targets": 0.0, "nsp": 0.0, "right": 0.0, "pairs": 0.0}
        with torch.inference_mode():
            for batch in self.validation:
                targets_ND, first_PD = last_states(self.model, batch)
                if self.settings.mlm:
                    sums["mlm"] += float(mlm_loss(self.model, targets_ND, batch))
                    sums["targets"] += len(batch.targets_N)
                if self.settings.nsp:
                    scores_P2, total = self._nsp_scores_loss(first_PD, batch)
                    right_P = scores_P2.argmax(1).cpu().numpy() == batch.random_P
                    sums["nsp"] += float(total)
                    sums["right"] += float(right_P.sum())
                    sums["pairs"] += len(right_P)
        found: dict[str, float] = {"loss": 0.0}
        if self.settings.mlm:
            found["mlm_loss"] = sums["mlm"] / sums["targets"]
            found["perplexity"] = math.exp(min(found["mlm_loss"], 700.0))
            found["loss"] += found["mlm_loss"]
        if self.settings.nsp:
            found["nsp_loss"] = sums["nsp"] / sums["pairs"]
            found["nsp_accuracy"] = sums["right"] / sums["pairs"]
            found["loss"] += found["nsp_loss"]
        return found

    def validated_on(self) -> str | None:
        """Return a digest of the held-out rows, or None if there are none."""
        return digest(batch.corrupted_BT for batch in self.validation)

    def report(self) -> dict[str, Any]:
        """Return what the run records: how full the rows were."""
        return {"positions_filled": self.filled / self.rows_seen} if self.rows_seen else {}

    def _nsp_scores_loss(self, first_PD: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        if self.model.nsp is None:
            raise SettingsError("this BERT has no head for nsp; pretrain it without (nsp=false)")
        scores_P2 = self.model.nsp(self.model.pool(first_PD)).float()
        labels_P = torch.from_numpy(batch.random_P).to(scores_P2.device).long()  # [code] 1: random
        return scores_P2, F.cross_entropy(scores_P2, labels_P, reduction="sum")

    def _epoch(self, epoch: int) -> tuple[Examples, list[Rows]]:
        """Return the examples of an epoch and, for each row, those packed into it, in order."""
        examples = make_examples(
            self.documents,
            self.training,
            tokens=self.settings.tokens_per_row,
            pairs=self.settings.nsp,
            random=generator(self.seed, "examples", epoch),
        )
        order = generator(self.seed, "order", epoch)
        rows = pack_examples(examples.lengths, self.settings.tokens_per_row, order)
        if len(self.steps_before) == epoch + 1:
            steps = max(1, len(rows) // self.settings.rows_per_step)
            self.steps_before.append(self.steps_before[-1] + steps)
        return examples, rows

    def _step(self, examples: Examples, rows: list[Rows], step: int) -> Sequence[Batch]:
        """Return this process's micro-batches of a step; the split does not affect the step."""
        whole = self._batch(examples.select(np.concatenate(rows)), step)
        self.filled += whole.packed.filled * len(whole.packed.ids_BT)
        self.rows_seen += len(whole.packed.ids_BT)
        at_once = min(self.settings.rows_at_once, -(-len(whole.packed.ids_BT) // self.size))
        return whole.split(at_once)[self.rank :: self.size]

    def _batch(self, examples: Examples, *name: int | str) -> Batch:
        encoded, second = surround(self.documents.ids, examples, self.cls, self.sep)
        packed = pack(encoded, np.arange(len(encoded)), tokens=self.settings.tokens_per_row)
        segments_BT = np.zeros_like(packed.ids_BT)
        here = packed.sequences_BT >= 0
        segments_BT[here] = packed.positions_BT[here] >= second[packed.sequences_BT[here]]
        open_BT = here & (packed.ids_BT != self.cls) & (packed.ids_BT != self.sep)
        targets_N, corrupted_BT = corrupt(
            packed,
            open_BT,
            share=self.settings.mask_share,
            mask=self.mask,
            ordinary=self.ordinary,
            continues=self.continues if self.settings.whole_words else None,
            random=generator(self.seed, "mask", *name),
        )
        pair_weight = len(targets_N) / len(examples.random)
        return Batch(
            packed,
            corrupted_BT,
            segments_BT,
            targets_N,
            examples.random,
            pair_weight,
            examples.document,
        )

    def _validation_batches(self) -> list[Batch]:
        if not len(self.held_out):
            return []
        examples = make_examples(
            self.documents,
            self.held_out,
            tokens=self.settings.tokens_per_row,
            pairs=self.settings.nsp,
            random=generator(self.seed, "validation examples"),
        )
        order = generator(self.seed, "validation order")
        rows = pack_examples(examples.lengths, self.settings.tokens_per_row, order)
        return [
            self._batch(
                examples.select(np.concatenate(rows[at : at + _VALIDATION_ROWS])),
                "validation",
                at,
            )
            for at in range(0, len(rows), _VALIDATION_ROWS)
        ]


def last_states(model: Bert, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return the last states of the targets `[N, D]` and of every example's first token `[P, D]`.

    The losses need only these, and the last block computes only these.
    """
    places = np.concatenate([batch.targets_N, batch.packed.first_N])
    wanted_BM, at = by_row(places, batch.packed.ids_BT.shape)
    last_BMD = model(
        torch.from_numpy(batch.corrupted_BT),
        torch.from_numpy(batch.packed.sequences_BT),
        torch.from_numpy(batch.packed.positions_BT),
        torch.from_numpy(batch.segments_BT),
        torch.from_numpy(wanted_BM),
    )[-1]
    states = last_BMD.flatten(0, 1)[torch.from_numpy(at)]
    return states[: len(batch.targets_N)], states[len(batch.targets_N) :]


def mlm_loss(model: Bert, targets_ND: Tensor, batch: Batch) -> Tensor:
    """Return the summed loss at the targets; scores are computed only there."""
    head, weight_VD = model.token_head()
    labels_N = torch.from_numpy(batch.packed.ids_BT.ravel()[batch.targets_N])
    return linear_cross_entropy(head(targets_ND), weight_VD, head.bias, labels_N)


def make_examples(
    documents: EncodedDocuments,
    chosen: Rows,
    *,
    tokens: int,
    pairs: bool,
    random: np.random.Generator,
) -> Examples:
    """Split the chosen documents into examples of at most `tokens`, including special tokens.

    An example takes whole sentences until it is full; the last one is truncated to fit. The next
    example begins with the truncated sentence [ours], so rows are full and nothing is lost. A
    sentence longer than an example is split into several; for pairs, of half an example each.

    The first segment of a pair is a random share of the sentences. The second is what follows them
    or, equally often, a random span of another document; the sentences that such a span displaced
    begin the next example. Nothing follows a document's last sentence, so its second segment is
    always random [code]. To compensate, a later segment that would have been random is a true one,
    so that half of all are true [ours].

    Raises:
        DataError: `pairs` is set and there are fewer than two documents.
    """
    room = tokens - (3 if pairs else 2)
    if pairs and len(chosen) < 2:
        raise DataError("nsp needs at least two documents, to draw random segments from")
    first, second, from_document = (array("q") for _ in range(3))  # a tenth of a list's memory
    is_random = array("b")
    owed = 0  # true segments that could not be formed so far
    sentences = documents.sentences
    for document in random.permutation(chosen).tolist():
        bounds = sentences[documents.documents[document] : documents.documents[document + 1] + 1]
        short = int(random.integers(max(2, room // 4), room + 1))
        target = short if random.random() < _SHORT else room
        most, size = (target - 1, -(-target // 2)) if pairs else (target, target)
        bounds = _cut_long(bounds, most, size)
        ends = bounds.tolist()
        at, last = 0, len(ends) - 1
        while at < last:
            start = ends[at]
            end = int(np.searchsorted(bounds, start + target, "left"))
            full = min(max(end, at + 1), last)  # sentences up to this one fill the example
            stop = min(ends[full], start + target)
            if not pairs:
                first.extend((start, stop))
                second.extend((0, 0))
                is_random.append(False)
                at = full if stop == ends[full] or full == at + 1 else full - 1
            else:
                only = full == at + 1
                middle = full if only else int(random.integers(at + 1, full))
                split = min(ends[middle], start + target - 1)
                drawn = random.random() < 0.5
                if only and not drawn:
                    drawn, owed = True, owed + 1
                elif owed and drawn and not only:
                    drawn, owed = False, owed - 1
                first.extend((start, split))
                if drawn:
                    second.extend(
                        _random_stretch(
                            documents, chosen, document, max(1, target - (split - start)), random
                        )
                    )
                    at = middle
                else:
                    second.extend((split, stop))
                    at = full if stop == ends[full] else max(full - 1, middle)
                is_random.append(drawn)
            from_document.append(document)
    return Examples(
        np.array(first, np.int64).reshape(-1, 2),
        np.array(second, np.int64).reshape(-1, 2),
        np.array(is_random, np.bool_),
        np.array(from_document, np.int64),
    )


def _cut_long(bounds: Rows, most: int, size: int) -> Rows:
    """Return sentence bounds, splitting sentences of more than `most` ids into pieces of `size`."""
    lengths = np.diff(bounds)
    if lengths.max() <= most:
        return bounds
    pieces = np.where(lengths > most, -(-lengths // size), 1)
    return np.append(np.repeat(bounds[:-1], pieces) + size * counted(pieces), bounds[-1])


def _random_stretch(
    documents: EncodedDocuments,
    chosen: Rows,
    other_than: int,
    length: int,
    random: np.random.Generator,
) -> tuple[int, int]:
    """Return start and end of at most `length` ids of another document, from a sentence on."""
    document = other_than
    while document == other_than:
        document = int(chosen[random.integers(len(chosen))])
    sentence = random.integers(documents.documents[document], documents.documents[document + 1])
    start = int(documents.sentences[sentence])
    end = int(documents.sentences[documents.documents[document + 1]])
    return start, min(end, start + length)


def pack_examples(lengths: Rows, tokens: int, random: np.random.Generator) -> list[Rows]:
    """Return the examples of every row; rows are in random order, and nearly all are full."""
    order = random.permutation(len(lengths))
    rows: list[Rows] = []
    for start in range(0, len(order), _POOL):
        pool = order[start : start + _POOL]
        in_row, _ = best_fit(lengths[pool], tokens)
        by_row = np.argsort(in_row, kind="stable")
        rows += np.split(pool[by_row], np.flatnonzero(np.diff(in_row[by_row])) + 1)
    return [rows[at] for at in random.permutation(len(rows))]


def surround(
    ids: NDArray[np.int32], examples: Examples, cls: int, sep: int
) -> tuple[Encoded, Rows]:
    """Return `[CLS] first [SEP] second [SEP]` for every example, and where the second begins."""
    before, after = np.array([cls], np.int32), np.array([sep], np.int32)
    texts = []
    for (a, b), (c, d) in zip(examples.first.tolist(), examples.second.tolist(), strict=True):
        texts.append(np.concatenate([before, ids[a:b], after, *((ids[c:d], after) if d else ())]))
    lengths = np.array([len(text) for text in texts], np.int64)
    return Encoded(np.concatenate(texts), offsets_of(lengths)), np.diff(examples.first)[:, 0] + 2


def corrupt(
    packed: Packed,
    open_BT: NDArray[np.bool_],
    *,
    share: float,
    mask: int,
    ordinary: Rows,
    continues: NDArray[np.bool_] | None,
    random: np.random.Generator,
) -> tuple[Rows, NDArray[np.int64]]:
    """Choose the targets of every example and corrupt 90% of them.

    Args:
        packed: The rows.
        open_BT: Where targets are allowed: at every token that is not special.
        share: Share of an example's tokens that become targets, at least one.
        mask: The id of [MASK].
        ordinary: The ids that may replace a token; [ours] no special tokens.
        continues: For whole words, whether each piece continues a word `[vocabulary]`.
        random: The random generator.

    Returns:
        Positions of the targets in the flattened rows, ascending, and the corrupted rows.
    """
    ids = packed.ids_BT.ravel()
    at = np.flatnonzero(open_BT)
    text = packed.sequences_BT.ravel()[at]
    if continues is None:
        unit = np.arange(len(at))
    else:  # all pieces of a word are one unit
        goes_on = continues[ids[at]]
        goes_on[1:] &= (np.diff(at) == 1) & (np.diff(text) == 0)
        goes_on[:1] = False
        unit = np.cumsum(~goes_on) - 1
    chance = random.random(len(at))[unit]
    order = np.lexsort((np.arange(len(at)), chance, text))
    by_text = text[order]
    begins = np.concatenate([[0], np.flatnonzero(np.diff(by_text)) + 1])[: len(by_text)]
    sizes = np.diff(np.concatenate([begins, [len(by_text)]]))
    rank = counted(sizes)
    tokens = np.bincount(packed.sequences_BT[packed.sequences_BT >= 0])  # [code] with special ones
    wanted = np.minimum(np.maximum(1, np.round(share * tokens[by_text[begins]])), sizes)
    chosen = rank < np.repeat(wanted, sizes)
    if continues is not None:  # words are masked as a whole
        words = np.unique(unit[order[chosen]])
        targets = at[np.isin(unit, words)]
    else:
        targets = np.sort(at[order[chosen]])
    corrupted = ids.copy()
    fate = random.random(len(targets))
    corrupted[targets[fate < 0.8]] = mask
    replaced = targets[(fate >= 0.8) & (fate < 0.9)]
    corrupted[replaced] = random.choice(ordinary, len(replaced))
    return targets, corrupted.reshape(packed.ids_BT.shape)
