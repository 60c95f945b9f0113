"""BERT pretraining: headstart's training step and transformers' `BertForPreTraining`.

Both train the same mini model (4 layers, width 256, 4 heads, 1024 feed-forward, 8192 WordPiece
subwords) from the same weights on the same examples with the same masking, MLM and NSP, two
threads. Compared are real tokens per second:

- `packed`: pairs of segments, 128 tokens long, 32 per step. Neither side computes padding.
- `natural`: sentences, truncated at 128 tokens. transformers takes 32 per step, padded to the
  longest. headstart packs them into rows of 128, 32 rows per step, as its pretraining does
  (`natural`), or takes the same 32 sentences per step (`natural_same_steps`).

The peers are `transformers` with its defaults (fp32, eager, AdamW, dropout of attention weights
too), and `transformers-best`: bf16, fused AdamW, torch.compile for packed rows, and batches of
similar length for natural ones. `start_loss` and `start_norm` are loss and gradient norm before the
first step, without dropout, in fp32. They are equal if both compute the same. `filled` is the share
of computed positions that are tokens. `pretrain` is headstart's whole loop on its own batches of
the corpus, including the time to make them.

    python benchmarks/bert_pretraining.py
"""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from harness import OURS, Figures, Metric, argument_parser, fast_bf16, keep_others, main, measure
from language_model_inputs import (
    ROWS,
    SENTENCES,
    TOKENS,
    WARM_UP,
    Masked,
    corpus,
    folder,
    prepare_bert,
    read_masked,
    training_speed,
)
from peers import as_tensors, at_start, by_length, trainer

if TYPE_CHECKING:
    from headstart.pretrain.masked_lm import Batch, Objective


def ours(arguments: argparse.Namespace) -> Figures:
    import torch

    from headstart.hub.store import load_encoder
    from headstart.pretrain.masked_lm import MaskedLm, Objective, pack_examples
    from headstart.training.loop import train
    from headstart.training.optimizers import adamw
    from headstart.training.precision import has_fast_bf16

    torch.set_num_threads(arguments.threads)
    model = load_encoder(folder("bert")).model
    tokenizer, documents = corpus(arguments, "wordpiece")
    objective = Objective(model, documents, tokenizer, MaskedLm(), seed=arguments.seed)
    optimizer = adamw(model, learning_rate=1e-4)
    bf16 = has_fast_bf16(torch.device("cpu"))

    def loss(batch: "Batch") -> tuple[torch.Tensor, torch.Tensor]:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            return objective.loss(batch)

    def steps(batches: Sequence["Batch"]) -> None:
        parts = ([batch] for batch in batches)
        for _ in train(parts, loss, optimizer, schedule=lambda step: 1.0, seed=arguments.seed):
            pass

    packed, natural = read_masked("packed"), read_masked("natural")
    of_packed = [batch_of(packed, rows) for rows in packed.in_order(ROWS)]
    in_rows = pack_examples(natural.lengths, TOKENS, np.random.default_rng(0))
    of_rows = [
        batch_of(natural, np.concatenate(in_rows[at : at + ROWS]))
        for at in range(0, len(in_rows), ROWS)
    ]
    same_steps = [batch_of(natural, rows) for rows in natural.in_order(ROWS)]
    figures: Figures = {"others": 0.0}
    for name, first in (("packed", of_packed[0]), ("natural", same_steps[0])):
        figures |= _at_start(name, objective, first)
    model.train()
    for name, batches in (
        ("packed", of_packed),
        ("natural", of_rows),
        ("natural_same_steps", same_steps),
    ):
        keep_others(figures, training_speed(name, steps, batches, _tokens(batches), arguments))
        figures[f"{name}_filled"] = _tokens(batches) / sum(b.packed.ids_BT.size for b in batches)
    own = objective.batches(1)
    steps([next(own)[0] for _ in range(WARM_UP)])
    taken: list[Batch] = []

    def pretrain() -> None:
        for _ in range(arguments.steps):
            taken.append(next(own)[0])
            steps(taken[-1:])

    timed = measure(pretrain)
    speed = _tokens(taken) / timed.seconds
    keep_others(figures, {"pretrain_tokens_per_second": speed, "others": timed.others})
    figures["pretrain_filled"] = float(np.mean([batch.packed.filled for batch in taken]))
    return figures


def batch_of(examples: Masked, rows: np.ndarray) -> "Batch":
    """Return some examples as a headstart batch."""
    from headstart.pretrain.masked_lm import Batch
    from headstart.tokenize.batches import Encoded, pack

    def lay(values: np.ndarray) -> np.ndarray:
        return pack(Encoded(values, examples.offsets), rows, tokens=TOKENS).ids_BT

    targets = np.flatnonzero(lay(examples.targets))
    return Batch(
        packed=pack(Encoded(examples.ids, examples.offsets), rows, tokens=TOKENS),
        corrupted_BT=lay(examples.read),
        segments_BT=lay(examples.segments),
        targets_N=targets,
        random_P=examples.random[rows],
        pair_weight=len(targets) / len(rows),
        documents=rows,
    )


def _at_start(name: str, objective: "Objective", batch: "Batch") -> Figures:
    import torch

    objective.model.eval()
    total, count = objective.loss(batch)
    (total / count).backward()
    gradients = [p.grad for p in objective.model.parameters() if p.grad is not None]
    norm = float(torch.nn.utils.get_total_norm(gradients))
    objective.model.zero_grad(set_to_none=True)
    return {f"{name}_start_loss": float((total / count).detach()), f"{name}_start_norm": norm}


def _tokens(batches: Sequence["Batch"]) -> int:
    return sum(int((batch.packed.sequences_BT >= 0).sum()) for batch in batches)


def theirs(arguments: argparse.Namespace) -> Figures:
    figures: Figures = {"others": 0.0}
    _peer_figures(figures, "packed", _padded(read_masked("packed")), arguments)
    _peer_figures(figures, "natural", _padded(read_masked("natural")), arguments)
    return figures


def their_best(arguments: argparse.Namespace) -> Figures:
    figures: Figures = {"others": 0.0}
    natural = read_masked("natural")
    sorted_rows = by_length(natural.lengths, ROWS, np.random.default_rng(0))
    alike = [natural.padded(rows) for rows in sorted_rows]
    compiled = not arguments.quick
    packed = _padded(read_masked("packed"))
    _peer_figures(
        figures, "packed", packed, arguments, bf16=fast_bf16(), fused=True, compiled=compiled
    )
    _peer_figures(figures, "natural", alike, arguments, bf16=fast_bf16(), fused=True)
    del figures["natural_start_loss"], figures["natural_start_norm"]  # computed on other sentences
    return figures


def _padded(examples: Masked) -> list[dict[str, np.ndarray]]:
    return [examples.padded(rows) for rows in examples.in_order(ROWS)]


def _peer_figures(
    figures: Figures,
    name: str,
    arrays: list[dict[str, np.ndarray]],
    arguments: argparse.Namespace,
    **how: bool,
) -> None:
    import torch
    from transformers import BertConfig, BertForPreTraining

    torch.set_num_threads(arguments.threads)
    config = BertConfig.from_pretrained(folder("bert"))
    config.attention_probs_dropout_prob = arguments.attention_dropout
    model = BertForPreTraining.from_pretrained(folder("bert"), config=config)
    batches = [as_tensors(each) for each in arrays]
    figures[f"{name}_start_loss"], figures[f"{name}_start_norm"] = at_start(model, batches[0])
    tokens = sum(int(batch["attention_mask"].sum()) for batch in arrays)
    steps = trainer(model, **how)
    keep_others(figures, training_speed(name, steps, batches, tokens, arguments))
    figures[f"{name}_filled"] = tokens / sum(batch["input_ids"].size for batch in arrays)
    if name == "natural":
        for rate in ("tokens_per_second", "tokens_per_cpu_second"):
            figures[f"natural_same_steps_{rate}"] = figures[f"natural_{rate}"]


if __name__ == "__main__":
    parser = argument_parser(__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=8, help="steps of packed rows per timed pass")
    parser.add_argument("--sentences", type=int, default=SENTENCES, help="sentences per timed pass")
    parser.add_argument(
        "--seconds", type=float, default=4.0, help="repeat passes for at least this long"
    )
    parser.add_argument(
        "--attention-dropout", type=float, default=0.1, help="attention dropout of the peers"
    )
    main(
        "bert_pretraining",
        {OURS: ours, "transformers": theirs, "transformers-best": their_best},
        [
            *(
                Metric(f"{rows}_tokens_per_{second}")
                for second in ("second", "cpu_second")
                for rows in ("packed", "natural", "natural_same_steps")
            ),
            Metric("pretrain_tokens_per_second"),
            Metric("natural_filled", "difference"),
            Metric("pretrain_filled", "difference"),
            *(
                Metric(f"{rows}_start_{what}", "difference")
                for rows in ("packed", "natural")
                for what in ("loss", "norm")
            ),
        ],
        parser,
        prepare=prepare_bert,
        quick={"steps": 2, "sentences": 64, "seconds": 0.0},
    )
