"""CoVe: headstart's translation model and the same model written plainly, and its BLEU.

`--part` runs one part; by default `train` and `encode` run one after the other, each with its own
results file. The text is Multi30k, English to German. Both sides have the same words, byte pairs
and initial weights.

- `train`: target tokens per second of a training step, 64 pairs per step. `plain` is
  `nn.LSTM(bidirectional=True)` over a packed sequence, a loop of `nn.LSTMCell`s with attention and
  input feeding over the padded targets of a batch in random order, and one softmax over all
  positions. `plain-bf16` is the same under autocast. `start_loss` is the loss per token before the
  first step, without dropout. It is equal if both compute the same.
- `encode`: sentences per second of the encoder alone, in their order. `plain` pads and packs 32
  sentences at a time. headstart uses `word_states`, in float32 and in bfloat16 (`encode_bf16_..`).
- `bleu`: pretrains on the 29,000 pairs for `--minutes`, then translates test_2016_flickr greedily
  and with a beam of 5.

    python benchmarks/translation.py
    python benchmarks/translation.py --part bleu --minutes 45 [--vectors glove.6B.300d.txt]
"""

import argparse
import gzip
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness import (
    OURS,
    Figures,
    Metric,
    argument_parser,
    fast_bf16,
    keep_others,
    main,
    measure_repeated,
)

if TYPE_CHECKING:
    import torch

    from headstart.models.cove import Cove
    from headstart.pretrain.translation import Batch, Objective

PAIRS_A_STEP, WARM_UP, SENTENCES_AT_ONCE = 64, 3, 32
VOCABULARY = 5000
PARTS = ("train", "encode", "bleu")


def lines(arguments: argparse.Namespace, name: str) -> list[str]:
    path = arguments.data / "multi30k" / f"{name}.gz"
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return file.read().splitlines()


def objective(arguments: argparse.Namespace) -> "Objective":
    """Return headstart's objective with a new model, on a few thousand pairs."""
    import torch

    from headstart.models.cove import Cove, CoveConfig
    from headstart.pretrain.translation import Objective, Pairs, Translation
    from headstart.tokenize.subwords import SubwordTokenizer
    from headstart.tokenize.words import WordTokenizer

    torch.set_num_threads(arguments.threads)
    number = PAIRS_A_STEP * (arguments.steps + 1) + 500  # 500 may be held out
    english, german = (lines(arguments, f"train.{side}")[:number] for side in ("en", "de"))
    words = WordTokenizer.train(english, min_count=2)
    pieces = SubwordTokenizer.train(german, kind="bpe", vocabulary_size=VOCABULARY, lowercase=False)
    pairs = Pairs(words.encode_batch(english), pieces.encode_batch(german), english, german)
    model = Cove(
        CoveConfig(
            source_vocabulary=len(words.vocabulary),
            vector_width=arguments.width,
            hidden=arguments.hidden,
            target_vocabulary=len(pieces.vocabulary),
        ),
        generator=torch.Generator().manual_seed(arguments.seed),
    )
    model.embedding.weight.requires_grad_(requires_grad=False)
    return Objective(model, pairs, pieces, Translation(), seed=arguments.seed)


def train_ours(arguments: argparse.Namespace) -> Figures:
    import torch

    from headstart.training.loop import train
    from headstart.training.optimizers import adamw
    from headstart.training.precision import has_fast_bf16

    own = objective(arguments)
    bf16 = has_fast_bf16(torch.device("cpu"))
    optimizer = adamw(own.model, learning_rate=1e-4)

    def loss(batch: "Batch") -> tuple[torch.Tensor, torch.Tensor]:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            return own.loss(batch)

    def steps(batches: Sequence["Batch"]) -> None:
        parts = ([batch] for batch in batches)
        for _ in train(parts, loss, optimizer, schedule=lambda step: 1.0, seed=arguments.seed):
            pass

    batches = [part for part, _ in zip(own.batches(1), range(own.steps_per_epoch), strict=False)]
    flat = [batch for parts in batches for batch in parts]
    own.model.eval()
    with torch.no_grad():
        total = sum(float(own.loss(batch)[0]) for batch in flat)
    tokens = sum(own.tokens(batch) for batch in flat)
    own.model.train()
    real = sum(batch.mask_BS.sum() for batch in flat) / sum(batch.mask_BS.size for batch in flat)
    steps(flat[:WARM_UP])
    return {
        "start_loss": total / tokens,
        "source_filled": float(real),
        **speed("train", lambda: steps(flat), tokens, "tokens", arguments),
    }


def train_plain(arguments: argparse.Namespace) -> Figures:
    return plain_figures(arguments, bf16=False)


def train_plain_bf16(arguments: argparse.Namespace) -> Figures:
    return plain_figures(arguments, bf16=True)


def plain_figures(arguments: argparse.Namespace, *, bf16: bool) -> Figures:
    import torch

    own = objective(arguments)
    model = plain_model(own.model)
    rows = np.random.default_rng(arguments.seed).permutation(own.training)
    drawn = [rows[at : at + PAIRS_A_STEP] for at in range(0, len(rows), PAIRS_A_STEP)]
    batches = [plain_batch(own, each) for each in drawn]
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=1e-4)

    def steps(batches: Sequence[tuple["torch.Tensor", ...]]) -> None:
        for batch in batches:
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                total, count = model(*batch)
            (total / count).backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            optimizer.zero_grad()

    model.eval()
    with torch.no_grad():
        sums = [model(*batch) for batch in batches]
    tokens = sum(int(count) for _, count in sums)
    model.train()
    steps(batches[:WARM_UP])
    return {
        "start_loss": sum(float(total) for total, _ in sums) / tokens,
        **speed("train", lambda: steps(batches), tokens, "tokens", arguments),
    }


def plain_batch(own: "Objective", rows: np.ndarray) -> tuple["torch.Tensor", ...]:
    import torch
    from torch.nn.utils.rnn import pad_sequence

    sources = [torch.from_numpy(own.pairs.sources[row].astype(np.int64)) for row in rows]
    targets = [torch.tensor([own.end, *own.pairs.targets[row].tolist(), own.end]) for row in rows]
    lengths = torch.tensor([len(source) for source in sources])
    padded = pad_sequence(targets, batch_first=True, padding_value=-1)
    return pad_sequence(sources, batch_first=True), lengths, padded


def plain_model(cove: "Cove") -> "torch.nn.Module":
    """Return a plain implementation of the model, with the same weights."""
    import torch
    from torch import nn
    from torch.nn import functional
    from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

    hidden, width, dropout = cove.config.hidden, cove.width, cove.config.dropout

    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding.from_pretrained(cove.embedding.weight.detach())
            self.encoder = nn.LSTM(
                cove.config.vector_width,
                hidden,
                2,
                batch_first=True,
                bidirectional=True,
                dropout=dropout,
            )
            self.tokens = nn.Embedding(*cove.decoder.tokens.weight.shape)
            self.lower, self.upper = nn.LSTMCell(2 * width, width), nn.LSTMCell(width, width)
            self.attend = nn.Linear(width, width, bias=False)
            self.combine = nn.Linear(2 * width, width, bias=False)
            self.scores = nn.Linear(width, len(cove.decoder.tokens.weight))
            self.scores.weight = self.tokens.weight
            self.dropout = nn.Dropout(dropout)

        def read(self, ids: Any, lengths: Any) -> Any:  # noqa: ANN401
            packed = pack_padded_sequence(
                self.dropout(self.embedding(ids)), lengths, batch_first=True, enforce_sorted=False
            )
            states, (last, cells) = self.encoder(packed)
            states, _ = pad_packed_sequence(states, batch_first=True)
            both = [torch.cat([each[0::2], each[1::2]], -1) for each in (last, cells)]
            return self.dropout(states), both

        def forward(self, ids: Any, lengths: Any, targets: Any) -> Any:  # noqa: ANN401
            memory, (h, c) = self.read(ids, lengths)
            lower, upper = (h[0], c[0]), (h[1], c[1])
            blank = torch.arange(ids.shape[1]) >= lengths[:, None]
            fed = torch.zeros_like(lower[0])
            outputs = []
            for before in targets[:, :-1].clamp(min=0).T:
                x = torch.cat([self.dropout(self.tokens(before)), fed], -1)
                lower = self.lower(x, lower)
                upper = self.upper(self.dropout(lower[0]), upper)
                scores = torch.bmm(memory, self.attend(upper[0]).to(memory.dtype)[..., None])[
                    ..., 0
                ]
                shares = scores.masked_fill(blank, -torch.inf).softmax(-1)
                context = torch.bmm(shares[:, None].to(memory.dtype), memory)[:, 0]
                mixed = self.combine(torch.cat([context, upper[0].to(context.dtype)], -1))
                fed = self.dropout(torch.tanh(mixed))
                outputs.append(fed)
            after = targets[:, 1:]
            scores = self.scores(torch.stack(outputs, 1)).flatten(0, 1)
            total = functional.cross_entropy(
                scores.float(), after.flatten(), ignore_index=-1, reduction="sum"
            )
            return total, (after >= 0).sum()

    model = Plain()
    with torch.no_grad():
        for layer, lstm in enumerate(cove.layers):
            for name, weight in lstm.named_parameters():
                getattr(model.encoder, name.replace("_l0", f"_l{layer}")).copy_(weight)
        for name in ("tokens", "lower", "upper", "attend", "combine"):
            getattr(model, name).load_state_dict(getattr(cove.decoder, name).state_dict())
        model.scores.bias.copy_(cove.decoder.token_bias)
    return model


def encode_ours(arguments: argparse.Namespace) -> Figures:
    from headstart.hub.cove import PretrainedCove
    from headstart.tokenize.words import WordTokenizer

    own = objective(arguments)
    texts = own.pairs.source_texts
    words = WordTokenizer.train(texts, min_count=2)
    encoder = PretrainedCove.of(own.model, words, None, lineage={})
    sentences = [words.words(text) for text in texts]
    figures: Figures = {}
    kinds = {"encode": False} | ({"encode_bf16": True} if fast_bf16() else {})
    for name, bf16 in kinds.items():
        work = lambda bf16=bf16: encoder.word_states(sentences, bf16=bf16)  # noqa: E731
        keep_others(figures, speed(name, work, len(texts), "sentences", arguments))
    return figures


def encode_plain(arguments: argparse.Namespace) -> Figures:
    import torch
    from torch.nn.utils.rnn import pad_sequence

    own = objective(arguments)
    model = plain_model(own.model).eval()
    ids = [
        torch.from_numpy(own.pairs.sources[row].astype(np.int64)) for row in range(len(own.pairs))
    ]

    def encode() -> list[np.ndarray]:
        found = []
        for at in range(0, len(ids), SENTENCES_AT_ONCE):
            batch = ids[at : at + SENTENCES_AT_ONCE]
            lengths = torch.tensor([len(each) for each in batch])
            with torch.no_grad():
                states, _ = model.read(pad_sequence(batch, batch_first=True), lengths)
            found += [each[:size].numpy() for each, size in zip(states, lengths, strict=True)]
        return found

    figures = speed(
        "encode", encode, len(ids), "sentences", arguments
    )  # compared with our bf16, too
    return figures | {name.replace("encode", "encode_bf16"): v for name, v in figures.items()}


def speed(
    name: str,
    work: Callable[[], object],
    count: int,
    unit: str,
    arguments: argparse.Namespace,
) -> Figures:
    timed = measure_repeated(work, least_seconds=arguments.seconds)
    return {
        f"{name}_{unit}_per_second": count / timed.seconds,
        f"{name}_{unit}_per_cpu_second": count / timed.cpu_seconds,
        "others": timed.others,
    }


def bleu_ours(arguments: argparse.Namespace) -> Figures:
    import headstart as hs
    from headstart.pretrain.translation import bleu

    files = [arguments.data / "multi30k" / f"train.{side}.gz" for side in ("en", "de")]
    encoder = hs.pretrain(
        "cove",
        parallel=files,
        vectors=arguments.vectors,
        size=arguments.size,
        minutes=None if arguments.limit else arguments.minutes,
        steps=arguments.limit,
        threads=arguments.threads,
        seed=arguments.seed,
    )
    if arguments.out:
        encoder.save(arguments.out, overwrite=True)
    english, german = (lines(arguments, f"test_2016_flickr.{side}") for side in ("en", "de"))
    figures = {f"bleu_beam_{k}": bleu(encoder.translate(english, beam=k), german) for k in (1, 5)}
    lineage = encoder.lineage
    return {
        **figures,
        "held_out_perplexity": lineage["validation"]["perplexity"],
        "epochs": lineage["epochs"],
        "tokens_per_second": lineage["tokens_per_second"],
        "pairs": float(lineage["pairs"]),
    }


def run(part: str, parser: argparse.ArgumentParser) -> None:
    names = {
        "train": ["train_tokens_per_second", "train_tokens_per_cpu_second"],
        "encode": [
            f"{name}_sentences_per_{second}"
            for name in ("encode", "encode_bf16")
            for second in ("second", "cpu_second")
        ],
        "bleu": [
            "bleu_beam_1",
            "bleu_beam_5",
            "held_out_perplexity",
            "epochs",
            "tokens_per_second",
        ],
    }[part]
    contenders = {
        "train": {OURS: train_ours, "plain": train_plain, "plain-bf16": train_plain_bf16},
        "encode": {OURS: encode_ours, "plain": encode_plain},
        "bleu": {OURS: bleu_ours},
    }[part]
    metrics = [Metric(name) for name in names]
    if part == "train":
        metrics.append(Metric("start_loss", "difference"))
    main(
        f"translation_{part}",
        contenders,
        metrics,
        parser,
        prepare=lambda arguments: lines(arguments, "train.de"),
        ours=list(contenders),  # all run in this interpreter, with its torch
        quick={"steps": 4, "seconds": 0.0, "limit": 10},
    )


if __name__ == "__main__":
    parser = argument_parser(__doc__)
    parser.add_argument("--part", choices=PARTS)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=20, help="steps per timed pass")
    parser.add_argument(
        "--seconds", type=float, default=4.0, help="repeat passes for at least this long"
    )
    parser.add_argument("--hidden", type=int, default=128, help="LSTM units per direction")
    parser.add_argument("--width", type=int, default=100, help="size of a word vector")
    parser.add_argument(
        "--minutes", type=float, default=45.0, help="minutes of pretraining, for bleu"
    )
    parser.add_argument("--limit", type=int, help="steps of pretraining, instead of minutes")
    parser.add_argument("--size", default="mini", help="size of the CoVe, for bleu")
    parser.add_argument(
        "--vectors", type=Path, help="word vectors; by default GloVe trained on the text"
    )
    parser.add_argument("--out", type=Path, help="folder to save the CoVe of bleu in")
    chosen = parser.parse_known_args()[0].part
    if chosen == "bleu":
        parser.set_defaults(repetitions=1)
    for part in [chosen] if chosen else PARTS[:2]:
        if chosen is None:
            sys.argv += ["--part", part]
        run(part, parser)
        if chosen is None:
            del sys.argv[-2:]
