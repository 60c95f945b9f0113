"""How well BERT and GPT model a language after ten minutes, compared with n-gram counts.

Pretrains both on Wikipedia articles with `size="mini"` and scores them on held-out articles. The
count models use the same subwords of the same articles.

- GPT: nats per word, the summed loss of every subword given its left context, divided by the number
  of words between spaces. The references are a unigram model and a bigram model with interpolated
  Kneser-Ney smoothing (Kneser and Ney 1995; Chen and Goodman 1999, section 4.1.6), which
  redistributes all the probability it takes from seen pairs, so no subword is unknown to it.
- BERT: nats per masked token. 15% of the tokens of every stretch of 126 are replaced by [MASK].
  The references are a unigram model, the bigram model given the left neighbor, and its exact
  probability given both neighbors: p(w | l, r) is p(w | l) p(r | w), normalized. These see the
  neighbors even where BERT sees a mask or the end of the stretch.

A margin is the count model's nats minus the network's. The network's settings are the defaults of
`headstart.pretrain`, except that dropout is 0 because a run is hardly more than one epoch.

    python benchmarks/language_models.py --minutes 10
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness import OURS, Figures, Metric, argument_parser, main, measure
from public_data import articles

WINDOW, STRIDE = 128, 32  # GPT's context: as long as in training, 96 tokens or more
STRETCH, MASKED = 126, 0.15
ROWS_AT_ONCE = 256
OPTIONS = {"dropout": 0.0}
Ids = NDArray[np.int64]


class Counts:
    """Unigrams and interpolated Kneser-Ney bigrams of documents of ids.

    Args:
        documents: The ids of each document.
        vocabulary: Number of ids; the model adds one for the borders of documents.
    """

    def __init__(self, documents: list[Ids], vocabulary: int) -> None:
        self.border, self.size = vocabulary, vocabulary + 1
        left = np.concatenate([[self.border, *ids] for ids in documents])
        right = np.concatenate([[*ids, self.border] for ids in documents])
        counts = np.bincount(right, minlength=self.size)
        self.unigrams = (counts + 1) / (counts + 1).sum()  # add-one, so no probability is 0
        pairs, times = np.unique(left * self.size + right, return_counts=True)
        self.pairs, self.times = pairs, times
        discount = (times == 1).sum() / ((times == 1).sum() + 2 * (times == 2).sum())
        self.discount = float(discount)
        of_left = pairs // self.size
        self.totals = np.bincount(of_left, weights=times, minlength=self.size)
        kinds = np.bincount(of_left, minlength=self.size)
        self.rest = np.where(
            self.totals > 0, self.discount * kinds / np.maximum(self.totals, 1), 1.0
        )
        before = np.bincount(pairs % self.size, minlength=self.size)  # distinct left neighbors
        self.lower = (before + 1) / (before + 1).sum()

    def given_left(self, left: Ids, right: Ids) -> NDArray[np.float64]:
        """Return p(right | left) for each pair."""
        wanted = left * self.size + right
        at = np.minimum(np.searchsorted(self.pairs, wanted), len(self.pairs) - 1)
        times = np.where(self.pairs[at] == wanted, self.times[at], 0)
        seen = np.maximum(times - self.discount, 0.0) / np.maximum(self.totals[left], 1)
        return seen + self.rest[left] * self.lower[right]

    def given_both(self, left: Ids, word: Ids, right: Ids) -> NDArray[np.float64]:
        """Return p(word | left, right) for each triple."""
        found = np.zeros(len(word))
        everything = np.arange(self.size)
        for row, (before, here, after) in enumerate(zip(left, word, right, strict=True)):
            each = self.given_left(np.full(self.size, before), everything)
            each = each * self.given_left(everything, np.full(self.size, after))
            found[row] = each[here] / each.sum()
        return found


def encode(encoder: Any, texts: list[str]) -> list[Ids]:  # noqa: ANN401 - a pretrained encoder
    encoded = encoder.tokenizer.encode_batch(texts)
    return [encoded[row].astype(np.int64) for row in range(len(texts))]


def gpt_nats(gpt: Any, documents: list[Ids]) -> float:  # noqa: ANN401
    """Return the summed loss of every id of the documents."""
    import torch

    windows = list(_windows(documents, gpt.tokenizer.specials.end))
    total = 0.0
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=_fast_bf16()):
        for at in range(0, len(windows), ROWS_AT_ONCE):
            ids = torch.from_numpy(np.stack([ids for ids, _ in windows[at : at + ROWS_AT_ONCE]]))
            scored = torch.tensor([mask for _, mask in windows[at : at + ROWS_AT_ONCE]])
            states = gpt.model.encode(ids[:, :-1], torch.ones_like(ids[:, :-1]).bool())[-1]
            scores = gpt.model.token_scores(states[scored]).float()
            targets = ids[:, 1:][scored]
            total += float(torch.nn.functional.cross_entropy(scores, targets, reduction="sum"))
    return total


def _windows(documents: list[Ids], end: int) -> Iterator[tuple[Ids, list[bool]]]:
    """Yield windows of a document with the positions to score; each id is scored once."""
    for ids in documents:
        stream = np.concatenate([[end], ids])
        scored = 1  # ids of the stream before this one are scored
        while scored < len(stream):
            stop = min(len(stream), WINDOW + 1 if scored == 1 else scored + STRIDE)
            start = max(0, stop - WINDOW - 1)
            row = np.zeros(WINDOW + 1, np.int64)
            row[: stop - start] = stream[start:stop]
            places = np.arange(start + 1, start + WINDOW + 1)
            yield row, ((places >= scored) & (places < stop)).tolist()
            scored = stop


def masked_positions(documents: list[Ids]) -> list[tuple[int, int, Ids]]:
    """Return stretches as (document, start, positions to mask within the stretch)."""
    random = np.random.default_rng(0)
    found = []
    for number, ids in enumerate(documents):
        for start in range(0, len(ids), STRETCH):
            length = min(STRETCH, len(ids) - start)
            count = max(1, round(MASKED * length))
            found.append((number, start, np.sort(random.permutation(length)[:count])))
    return found


def bert_nats(bert: Any, documents: list[Ids], masked: list[tuple[int, int, Ids]]) -> float:  # noqa: ANN401
    """Return the summed loss of the masked ids."""
    import torch

    specials, total = bert.tokenizer.specials, 0.0
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=_fast_bf16()):
        for at in range(0, len(masked), ROWS_AT_ONCE):
            part = masked[at : at + ROWS_AT_ONCE]
            ids = np.zeros((len(part), STRETCH + 2), np.int64)
            wanted = np.zeros(ids.shape, np.bool_)
            text = np.zeros(ids.shape, np.bool_)
            for row, (number, start, places) in enumerate(part):
                stretch = documents[number][start : start + STRETCH]
                ids[row, : len(stretch) + 2] = [specials.cls, *stretch, specials.sep]
                text[row, : len(stretch) + 2] = True
                wanted[row, places + 1] = True
            targets = torch.from_numpy(ids[wanted])
            ids[wanted] = specials.mask
            states = bert.model.encode(torch.from_numpy(ids), torch.from_numpy(text))[-1]
            scores = bert.model.token_scores(states[torch.from_numpy(wanted)]).float()
            total += float(torch.nn.functional.cross_entropy(scores, targets, reduction="sum"))
    return total


def _fast_bf16() -> bool:
    import torch

    from headstart.training.precision import has_fast_bf16

    return has_fast_bf16(torch.device("cpu"))


def pretrained(kind: str, texts: list[str], arguments: argparse.Namespace) -> Any:  # noqa: ANN401
    import headstart as hs

    given: Path | None = getattr(arguments, kind)
    if given is not None:
        return hs.load(given)
    limit = (
        {"minutes": arguments.minutes} if arguments.steps is None else {"steps": arguments.steps}
    )
    encoder = hs.pretrain(
        kind,
        corpus=texts,
        size="mini",
        seed=arguments.seed,
        threads=arguments.threads,
        options=OPTIONS,
        **limit,
    )
    print({**encoder.config, **encoder.lineage}, file=sys.stderr)
    return encoder


def ours(arguments: argparse.Namespace) -> Figures:
    figures: Figures = {}
    timed = measure(lambda: figures.update(_figures(arguments)))
    return {**figures, "others": timed.others}


def _figures(arguments: argparse.Namespace) -> Figures:
    texts, held_out = (articles(arguments.data, part) for part in ("train", "test"))
    texts, held_out = texts[: arguments.articles], held_out[: arguments.articles]
    words = sum(len(text.split()) for text in held_out)
    figures: Figures = {}

    gpt = pretrained("gpt", texts, arguments)
    documents = encode(gpt, held_out)
    counts = Counts(encode(gpt, texts), len(gpt.tokenizer.vocabulary))
    left = np.concatenate([[counts.border, *ids[:-1]] for ids in documents])
    flat = np.concatenate(documents)
    figures["gpt_nats_per_word"] = gpt_nats(gpt, documents) / words
    figures["unigram_nats_per_word"] = float(-np.log(counts.unigrams[flat]).sum()) / words
    figures["bigram_nats_per_word"] = float(-np.log(counts.given_left(left, flat)).sum()) / words
    for name in ("unigram", "bigram"):
        margin = figures[f"{name}_nats_per_word"] - figures["gpt_nats_per_word"]
        figures[f"gpt_margin_over_{name}"] = margin

    bert = pretrained("bert", texts, arguments)
    documents = encode(bert, held_out)
    counts = Counts(encode(bert, texts), len(bert.tokenizer.vocabulary))
    masked = masked_positions(documents)
    triples = np.concatenate(
        [
            _with_neighbors(documents[number], counts.border)[start + places]
            for number, start, places in masked
        ]
    )
    left, word, right = triples.T
    mean = {
        "bert": bert_nats(bert, documents, masked) / len(word),
        "unigram": float(-np.log(counts.unigrams[word]).mean()),
        "left": float(-np.log(counts.given_left(left, word)).mean()),
        "both": float(-np.log(counts.given_both(left, word, right)).mean()),
    }
    figures |= {f"{name}_nats_per_masked_token": value for name, value in mean.items()}
    figures |= {f"bert_margin_over_{name}": mean[name] - mean["bert"] for name in list(mean)[1:]}
    return figures


def _with_neighbors(ids: Ids, border: int) -> Ids:
    around = np.concatenate([[border], ids, [border]])
    return np.stack([around[:-2], around[1:-1], around[2:]], 1)


if __name__ == "__main__":
    parser = argument_parser(__doc__)
    parser.set_defaults(repetitions=1)
    parser.add_argument("--minutes", type=float, default=10.0, help="minutes per pretraining")
    parser.add_argument("--steps", type=int, help="steps per pretraining, instead of minutes")
    parser.add_argument("--articles", type=int, help="use the first N")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--gpt", type=Path, help="folder of a GPT, to skip pretraining")
    parser.add_argument("--bert", type=Path, help="folder of a BERT, to skip pretraining")
    names = ["gpt_nats_per_word", "unigram_nats_per_word", "bigram_nats_per_word"]
    names += [f"gpt_margin_over_{name}" for name in ("unigram", "bigram")]
    names += [f"{name}_nats_per_masked_token" for name in ("bert", "unigram", "left", "both")]
    names += [f"bert_margin_over_{name}" for name in ("unigram", "left", "both")]
    main(
        "language_models",
        {OURS: ours},
        [Metric(name) for name in names],
        parser,
        prepare=lambda arguments: articles(arguments.data, "test"),
        quick={"steps": 3, "articles": 20},
    )
