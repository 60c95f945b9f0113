"""ELMo: speed of its training step and of encoding, and its perplexity.

All parts use Wikipedia articles, split into sentences and words.

- `--part step`: training, words per second, with two layers of 512 cells and a projection of 128 in
  each direction, a vocabulary of 30,000, and 32 rows of 20 words. `plain` is the same model written
  plainly: convolutions over all 50 characters of every running word, `nn.LSTM(proj_size=..)` for
  each direction, the full softmax by `F.cross_entropy`, AdamW. `plain-bf16` uses bfloat16.
- `--part exact`: the same, but headstart computes the full softmax, too, and not a sampled one.
- `--part race`: seconds until held-out rows have a perplexity of `exp(--loss)` by the full softmax.
  All train at the same `--rate`, headstart with the sampled softmax. A contender that has not
  reached the loss after `--minutes` is stopped, and its figure is a lower bound.
- `--part encode`: sentences per second, the same model in float32 without gradients. `plain` takes
  the sentences in their order, 32 at a time, padded.
- `--part perplexity`: `headstart.pretrain("elmo")` for `--minutes`, then its perplexity on held-out
  articles by the full softmax. The reference is an interpolated 5-gram model with modified
  Kneser-Ney smoothing (Chen and Goodman 1999) on the same words, with the same vocabulary and
  unknown word. Both predict every word and every end of a sentence, in both directions. The network
  processes rows of 256 words, each from an empty state; n-grams never cross ends of sentences.

    python benchmarks/bidirectional_lm.py --part step
    python benchmarks/bidirectional_lm.py --part race --minutes 20 --repetitions 1
    python benchmarks/bidirectional_lm.py --part encode
    python benchmarks/bidirectional_lm.py --part perplexity --minutes 30 --repetitions 1
"""

import argparse
import math
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harness import (
    OURS,
    Contender,
    Figures,
    Metric,
    argument_parser,
    main,
    measure,
    measure_repeated,
    seconds_to,
)
from public_data import articles

if TYPE_CHECKING:
    import torch

    from headstart.models.elmo import Elmo
    from headstart.tokenize.documents import EncodedDocuments
    from headstart.tokenize.words import WordTokenizer

ROWS, WORDS, VOCABULARY = 32, 20, 30_000
FILTERS = ((1, 32), (2, 32), (3, 64), (4, 128), (5, 128))
ORDER = 5
SCORED_ROW = 256
SCORED = 8  # batches of held-out rows scored at each check
Ids = NDArray[np.int64]


def encode(texts: Sequence[str], tokenizer: "WordTokenizer", name: str) -> "EncodedDocuments":
    from headstart.tokenize.documents import encode_documents

    folder = Path(tempfile.mkdtemp(prefix=f"headstart-benchmark-{name}-"))
    return encode_documents(texts, tokenizer, folder, by_sentence=True)


@cache
def corpus(data: Path, number: int) -> tuple["WordTokenizer", "EncodedDocuments"]:
    """Return a tokenizer of all words of some articles, by frequency, and the articles as ids."""
    from headstart.tokenize.words import WordTokenizer

    texts = articles(data, "train")[:number]
    every = WordTokenizer.train(texts, min_count=1, lowercase=False)
    return every, encode(texts, every, "words")


def model_of(arguments: argparse.Namespace) -> "Elmo":
    import torch

    from headstart.models.elmo import Elmo, ElmoConfig

    torch.set_num_threads(arguments.threads)
    config = ElmoConfig(filters=FILTERS, vocabulary_size=VOCABULARY, skip=False)
    return Elmo(config, generator=torch.Generator().manual_seed(0))


# Steps of training


@dataclass(frozen=True)
class Trained:
    """A model in training: its next step, and its exact loss per word on held-out rows."""

    step: Callable[[], object]
    held_out: Callable[[], float]


def our_training(arguments: argparse.Namespace, *, exact: bool = False) -> Trained:
    import torch

    from headstart.pretrain.bidirectional_lm import Batch, BidirectionalLm, Objective
    from headstart.training.loop import train
    from headstart.training.optimizers import adamw
    from headstart.training.precision import has_fast_bf16

    model = model_of(arguments)
    every, documents = corpus(arguments.data, arguments.articles)
    settings = BidirectionalLm(words_per_row=WORDS, rows_per_step=ROWS, rows_at_once=ROWS)
    objective = Objective(model, documents, every.vocabulary, settings, seed=arguments.seed)
    optimizer = adamw(model, learning_rate=arguments.rate)
    bf16 = has_fast_bf16(torch.device("cpu"))

    def loss(batch: "Batch") -> tuple[torch.Tensor, torch.Tensor]:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            if not exact:
                return objective.loss(batch)
            top_DNP, targets_DN = objective.predict(batch)
            total = model.prediction_loss(top_DNP.flatten(0, 1), targets_DN.flatten())
            return total, torch.tensor(float(batch.predictions))

    def held_out() -> float:
        model.eval()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            found = objective.score(objective.validation[:SCORED])["loss"]
        model.train()
        return found

    batches, seed = objective.batches(1), arguments.seed
    steps = train(batches, loss, optimizer, schedule=lambda step: 1.0, seed=seed)
    model.train()
    return Trained(lambda: next(steps), held_out)


def plain_training(arguments: argparse.Namespace, *, bf16: bool = False) -> Trained:
    import torch
    from torch.nn import functional as F

    from headstart.pretrain.bidirectional_lm import Batch, BidirectionalLm, Objective
    from headstart.tokenize.characters import BEGIN, END, words_to_characters

    warnings.filterwarnings("ignore", "LSTM with projections")
    model = model_of(arguments)
    every, documents = corpus(arguments.data, arguments.articles)
    settings = BidirectionalLm(words_per_row=WORDS, rows_per_step=ROWS, rows_at_once=ROWS)
    objective = Objective(model, documents, every.vocabulary, settings, seed=arguments.seed)
    lstms = torch.nn.ModuleList(
        torch.nn.LSTM(128, 512, 2, proj_size=128, dropout=0.1) for _ in range(2)
    )
    parts = torch.nn.ModuleList([model.tokens, model.softmax, lstms])
    optimizer = torch.optim.AdamW(parts.parameters(), lr=arguments.rate)
    batches = objective.batches(1)
    letters = np.concatenate([np.stack([BEGIN, END]), words_to_characters(every.vocabulary[1:])])

    def mean_loss(batch: "Batch", dropout: float) -> torch.Tensor:
        total = torch.zeros(())
        for direction, lstm in enumerate(lstms):
            ids = batch.ids_BT if direction == 0 else batch.ids_BT[:, ::-1].copy()
            known = torch.from_numpy(np.where(ids < VOCABULARY, ids, 1))
            places = np.where(ids == 0, direction, ids + 1)
            rows, words = len(ids), ids.shape[1] - 1
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                characters = torch.from_numpy(letters[places[:, :-1].T].astype(np.int64))
                tokens = plain_tokens(model, characters.flatten(0, 1)).unflatten(0, (words, rows))
                states, _ = lstm(F.dropout(tokens, dropout))
                scores = model.softmax(F.dropout(states, dropout))
            targets = known[:, 1:].T
            total = total + F.cross_entropy(scores.flatten(0, 1).float(), targets.flatten())
        return total

    def step() -> None:
        (batch,) = next(batches)
        mean_loss(batch, 0.1).backward()
        torch.nn.utils.clip_grad_norm_(parts.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    def held_out() -> float:
        parts.eval()
        unread = objective.validation[:SCORED]
        with torch.inference_mode():
            losses = [float(mean_loss(batch, 0.0)) / 2 for batch in unread]
        parts.train()
        counts = [batch.predictions for batch in unread]
        return float(np.average(losses, weights=counts))

    return Trained(step, held_out)


CONTENDERS: dict[str, Callable[[argparse.Namespace], Trained]] = {
    OURS: our_training,
    "plain": plain_training,
    "plain-bf16": lambda arguments: plain_training(arguments, bf16=True),
}


def speed(training: Callable[[argparse.Namespace], Trained]) -> Contender:
    """Return a contender that measures training steps."""

    def figures(arguments: argparse.Namespace) -> Figures:
        step = training(arguments).step
        for _ in range(3):
            step()
        timed = measure_repeated(step, least_seconds=arguments.seconds)
        return {"words_per_second": ROWS * WORDS / timed.seconds, "others": timed.others}

    return figures


def race(training: Callable[[argparse.Namespace], Trained]) -> Contender:
    """Return a contender that trains to a held-out loss, for at most `--minutes` without checks."""

    def figures(arguments: argparse.Namespace) -> Figures:
        trained = training(arguments)
        return seconds_to(
            arguments.loss,
            trained.step,
            trained.held_out,
            look=arguments.seconds,
            most=60 * arguments.minutes,
        )

    return figures


def plain_tokens(model: "Elmo", characters: "torch.Tensor") -> "torch.Tensor":
    """Return the token layer's output for running words, from all of their 50 characters."""
    import torch

    layer = model.tokens
    x = layer.characters(characters).transpose(1, 2)
    x = torch.relu(torch.cat([convolve(x).amax(2) for convolve in layer.convolutions], 1))
    for highway in layer.highways:
        x = highway(x)
    return layer.projection(x)


# Encoding of sentences


def sentences_of(arguments: argparse.Namespace) -> list[list[str]]:
    every, documents = corpus(arguments.data, arguments.articles)
    ends = documents.sentences[: arguments.sentences + 1]
    return [
        [every.vocabulary[identity] for identity in documents.ids[start:end]]
        for start, end in pairwise(ends)
    ]


def our_encoding(arguments: argparse.Namespace) -> Figures:
    from headstart.hub.elmo import PretrainedElmo

    every, _ = corpus(arguments.data, arguments.articles)
    encoder = PretrainedElmo.of(model_of(arguments), every, lineage={})
    given = sentences_of(arguments)
    encoder.word_states(given[:32])
    timed = measure(lambda: encoder.word_states(given))
    return {"sentences_per_second": len(given) / timed.seconds, "others": timed.others}


def plain_encoding(arguments: argparse.Namespace) -> Figures:
    import torch

    from headstart.tokenize.characters import BEGIN, END, words_to_characters

    warnings.filterwarnings("ignore", "LSTM with projections")
    model = model_of(arguments).eval()
    lstms = [torch.nn.LSTM(128, 512, 2, proj_size=128) for _ in range(2)]
    given = sentences_of(arguments)

    def encode_all() -> list[Any]:
        found = []
        for start in range(0, len(given), 32):
            batch = given[start : start + 32]
            longest = max(map(len, batch)) + 2
            ids = np.zeros((len(batch), longest, 50), np.int64)
            for row, words in enumerate(batch):
                ids[row, : len(words) + 2] = [BEGIN, *words_to_characters(words), END]
            x = plain_tokens(model, torch.from_numpy(ids).flatten(0, 1))
            x = x.unflatten(0, (len(batch), longest)).transpose(0, 1)
            lengths = torch.tensor([len(words) + 2 for words in batch])
            back = torch.arange(longest)[:, None]
            back = torch.where(back < lengths, lengths - 1 - back, back)
            rows = torch.arange(len(batch))
            right, left = lstms[0](x)[0], lstms[1](x[back, rows])[0][back, rows]
            both = torch.cat([right, left], -1).transpose(0, 1)
            found += [each[1 : len(words) + 1] for each, words in zip(both, batch, strict=True)]
        return found

    with torch.no_grad():
        timed = measure(encode_all)
    return {"sentences_per_second": len(given) / timed.seconds, "others": timed.others}


# Perplexity


class KneserNey:
    """An interpolated n-gram model with modified Kneser-Ney smoothing, counted with numpy.

    Sentences are ids, preceded by `ORDER - 1` boundaries and followed by one, which is predicted.
    An n-gram's key combines the number of its first n - 1 words' n-gram with its last word.

    Args:
        sentences: Concatenated ids, and the offsets of the sentences, the end included.
        vocabulary: Number of ids; 0 is the boundary.
    """

    def __init__(self, sentences: tuple[Ids, Ids], vocabulary: int) -> None:
        self.size = vocabulary
        stream, predicted = self.lay_out(*sentences)
        self.keys: list[Ids] = []  # of every n-gram of an order, sorted
        numbers = [np.zeros(len(stream), np.int64)]
        for _ in range(ORDER):
            keys = self.shifted(numbers[-1]) * self.size + stream
            known, number = np.unique(keys, return_inverse=True)
            self.keys.append(known)
            numbers.append(number)
        at = np.flatnonzero(predicted)
        self.counts: list[NDArray[np.float64]] = []
        for order in range(1, ORDER + 1):
            number = numbers[order]
            counts = np.bincount(number[at], minlength=len(self.keys[order - 1])).astype(float)
            if order < ORDER:  # count longer n-grams, except at the start of a sentence
                _, first = np.unique(numbers[order + 1][at], return_index=True)
                longer = np.bincount(number[at[first]], minlength=len(counts)).astype(float)
                begins = np.zeros(len(counts), np.bool_)
                begins[number[at]] = stream[at - order + 1] == 0
                if order == 1:
                    begins[:] = False
                counts = np.where(begins, counts, longer)
            self.counts.append(counts)
        self.discounts = [self.discounts_of(counts) for counts in self.counts]
        self.totals, self.rests = [], []
        for keys, counts, discount in zip(self.keys, self.counts, self.discounts, strict=True):
            context = keys // self.size
            total = np.bincount(context, counts)
            taken = np.bincount(context, discount[np.minimum(counts, 3).astype(int)])
            self.totals.append(total)
            self.rests.append(np.where(total > 0, taken / np.maximum(total, 1), 1.0))

    @staticmethod
    def lay_out(ids: Ids, starts: Ids) -> tuple[Ids, NDArray[np.bool_]]:
        lengths = np.diff(starts)
        offsets = np.concatenate([[0], np.cumsum(lengths + ORDER)])
        stream = np.zeros(offsets[-1], np.int64)
        places = np.arange(len(ids)) + np.repeat(offsets[:-1] + ORDER - 1 - starts[:-1], lengths)
        stream[places] = ids
        predicted = np.zeros(len(stream), np.bool_)
        predicted[places] = True
        predicted[offsets[1:] - 1] = True
        return stream, predicted

    @staticmethod
    def shifted(numbers: Ids) -> Ids:
        return np.concatenate([[0], numbers[:-1]])

    @staticmethod
    def discounts_of(counts: NDArray[np.float64]) -> NDArray[np.float64]:
        n = [max(1, int((counts == number).sum())) for number in range(1, 5)]
        share = n[0] / (n[0] + 2 * n[1])
        found = [number - (number + 1) * share * n[number] / n[number - 1] for number in (1, 2, 3)]
        return np.array([0.0, *np.clip(found, 0.0, [1.0, 2.0, 3.0])])

    def chances(self, sentences: tuple[Ids, Ids]) -> NDArray[np.float64]:
        """Return the probability of every word and every end of a sentence."""
        stream, predicted = self.lay_out(*sentences)
        chance = np.full(len(stream), 1 / self.size)
        before = np.zeros(len(stream), np.int64)  # number of the n-gram that ends here; -1: unseen
        for order in range(1, ORDER + 1):
            context = self.shifted(before)
            keys, counts = self.keys[order - 1], self.counts[order - 1]
            wanted = context * self.size + stream
            at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
            seen = (keys[at] == wanted) & (context >= 0)
            count = np.where(seen, counts[at], 0.0)
            known = np.where((context >= 0) & (context < len(self.totals[order - 1])), context, 0)
            total = np.where(context == known, self.totals[order - 1][known], 0.0)
            discount = self.discounts[order - 1][np.minimum(count, 3).astype(int)]
            higher = (count - discount) / np.maximum(total, 1)
            rest = np.where(total > 0, self.rests[order - 1][known], 1.0)
            chance = higher + rest * chance
            before = np.where(seen, at, -1)
        return chance[predicted]


def perplexity(arguments: argparse.Namespace) -> Figures:
    import torch

    from headstart.hub.elmo import PretrainedElmo
    from headstart.hub.elmo_pretraining import extended
    from headstart.hub.store import load_encoder, pretrain
    from headstart.pretrain.bidirectional_lm import BidirectionalLm, Objective
    from headstart.tokenize.words import WordTokenizer
    from headstart.training.precision import has_fast_bf16

    texts = articles(arguments.data, "train")[: arguments.articles]
    encoder = (
        load_encoder(arguments.encoder)
        if arguments.encoder
        else pretrain(
            "elmo",
            texts,
            size=arguments.size,
            minutes=None if arguments.steps else arguments.minutes,
            steps=arguments.steps,
            seed=arguments.seed,
            threads=arguments.threads,
        )
    )
    if not isinstance(encoder, PretrainedElmo):
        raise SystemExit(f"{arguments.encoder} is not an ELMo")
    if arguments.out:
        encoder.save(arguments.out, overwrite=True)
    torch.set_num_threads(arguments.threads)
    unread = articles(arguments.data, "test")
    own = encoder.tokenizer
    every = extended(own, WordTokenizer.train(unread, min_count=1, lowercase=False))
    documents = encode(unread, every, "test")
    settings = BidirectionalLm(words_per_row=SCORED_ROW)
    objective = Objective(encoder.model, documents, every.vocabulary, settings, seed=0)
    bf16 = has_fast_bf16(torch.device("cpu"))
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        scores = objective.score(objective.rows_of(np.arange(len(documents))))
    figures = {
        "elmo_perplexity": scores["perplexity"],
        "elmo_forward_perplexity": scores["forward_perplexity"],
        "elmo_backward_perplexity": scores["backward_perplexity"],
        "words_read": float(encoder.lineage.get("tokens", 0)),
    }
    read = encode(texts, own, "train")
    vocabulary, nats = len(own.vocabulary), []
    for side in ("forward", "backward"):
        train, test = (_turned(each, vocabulary, side) for each in (read, documents))
        nats.append(float(-np.log(KneserNey(train, vocabulary).chances(test)).mean()))
        figures[f"5gram_{side}_perplexity"] = math.exp(nats[-1])
    figures["5gram_perplexity"] = math.exp(sum(nats) / 2)
    figures["margin_nats"] = sum(nats) / 2 - scores["loss"]
    return figures


def _turned(documents: "EncodedDocuments", vocabulary: int, side: str) -> tuple[Ids, Ids]:
    """Return sentences with unknown words replaced, reversed for `backward`."""
    ids = np.asarray(documents.ids, np.int64)
    ids = np.where(ids < vocabulary, ids, 1)
    if side == "forward":
        return ids, documents.sentences
    return ids[::-1].copy(), len(ids) - documents.sentences[::-1]


PARTS = {
    "step": {name: speed(training) for name, training in CONTENDERS.items()},
    "exact": {
        name: speed(partial(our_training, exact=True) if name == OURS else training)
        for name, training in CONTENDERS.items()
    },
    "race": {name: race(training) for name, training in CONTENDERS.items()},
    "encode": {OURS: our_encoding, "plain": plain_encoding},
    "perplexity": {OURS: perplexity},
}


if __name__ == "__main__":
    parser = argument_parser(__doc__)
    parser.add_argument("--part", choices=PARTS, default="step")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--articles", type=int, default=2688, help="use the first N")
    parser.add_argument(
        "--seconds", type=float, default=20.0, help="minimum seconds of timed steps"
    )
    parser.add_argument("--sentences", type=int, default=2000)
    parser.add_argument("--minutes", type=float, default=30.0, help="minutes of pretraining")
    parser.add_argument("--steps", type=int, help="steps of pretraining, instead of minutes")
    parser.add_argument("--rate", type=float, default=4e-3, help="learning rate")
    parser.add_argument("--loss", type=float, default=6.0, help="nats per word to reach")
    parser.add_argument("--size", default="mini")
    parser.add_argument("--encoder", type=Path, help="folder of an ELMo, to skip pretraining")
    parser.add_argument("--out", type=Path, help="folder to save the pretrained ELMo in")
    chosen = parser.parse_known_args()[0].part
    names = ["words_per_second", "seconds", "reached", "sentences_per_second"]
    names += [f"elmo_{name}perplexity" for name in ("", "forward_", "backward_")]
    names += [f"5gram_{name}perplexity" for name in ("", "forward_", "backward_")]
    main(
        f"bidirectional_lm_{chosen}",
        PARTS[chosen],
        [
            Metric(name, {"reached": "difference", "seconds": "saving"}.get(name, "ratio"))
            for name in [*names, "margin_nats", "words_read"]
        ],
        parser,
        prepare=lambda arguments: articles(arguments.data, "test"),
        ours=tuple(PARTS[chosen]),
        quick={"articles": 60, "seconds": 3.0, "sentences": 200, "steps": 3},
    )
