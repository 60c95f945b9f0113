"""GPT pretraining: headstart's training step and transformers' `GPT2LMHeadModel`, with AdamW.

Both train the same mini model (4 layers, width 256, 4 heads, 1024 feed-forward, 8192 byte pairs,
512 positions) from the same weights on the same rows of 128 tokens, 32 per step, two threads. Each
row comes from one document. Compared are tokens per second.

The peers are `transformers` with its defaults (fp32, eager, AdamW, GPT-2's tanh approximation of
GELU, dropout of attention weights too), `transformers-gelu`, the same with headstart's exact GELU,
and `transformers-best`: exact GELU, bf16, torch.compile and fused AdamW. `start_loss` and
`start_norm` are loss and gradient norm before the first step, without dropout, in fp32. They are
equal if both compute the same. `pretrain` is headstart's whole loop on its own rows of the corpus,
including the time to make them; these rows may span documents.

    python benchmarks/gpt_pretraining.py
"""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from harness import OURS, Figures, Metric, argument_parser, fast_bf16, keep_others, main, measure
from language_model_inputs import (
    ROWS,
    TOKENS,
    WARM_UP,
    corpus,
    folder,
    prepare_gpt,
    read_rows,
    training_speed,
)
from peers import as_tensors, at_start, trainer

if TYPE_CHECKING:
    from headstart.pretrain.causal_lm import Batch


def ours(arguments: argparse.Namespace) -> Figures:
    import torch

    from headstart.hub.store import load_encoder
    from headstart.pretrain.causal_lm import CausalLm, Objective
    from headstart.training.loop import train
    from headstart.training.optimizers import adamw
    from headstart.training.precision import has_fast_bf16

    torch.set_num_threads(arguments.threads)
    model = load_encoder(folder("gpt")).model
    tokenizer, documents = corpus(arguments, "bpe")
    objective = Objective(model, documents, tokenizer, CausalLm(), seed=arguments.seed)
    optimizer = adamw(model, learning_rate=1e-4)
    bf16 = has_fast_bf16(torch.device("cpu"))

    def loss(batch: "Batch") -> tuple[torch.Tensor, torch.Tensor]:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            return objective.loss(batch)

    def steps(batches: Sequence["Batch"]) -> None:
        parts = ([batch] for batch in batches)
        for _ in train(parts, loss, optimizer, schedule=lambda step: 1.0, seed=arguments.seed):
            pass

    batches = [batch_of(rows) for rows in _of_steps()]
    model.eval()
    total, count = objective.loss(batches[0])
    (total / count).backward()
    norm = torch.nn.utils.get_total_norm([p.grad for p in model.parameters()])
    model.zero_grad(set_to_none=True)
    model.train()
    figures: Figures = {
        "packed_start_loss": float((total / count).detach()),
        "packed_start_norm": float(norm),
    }
    tokens = sum(batch.ids_BT.size for batch in batches)
    keep_others(figures, training_speed("packed", steps, batches, tokens, arguments))
    own = objective.batches(1)
    steps([next(own)[0] for _ in range(WARM_UP)])

    def pretrain() -> None:
        for _ in range(arguments.steps):
            steps(next(own))

    timed = measure(pretrain)
    speed = arguments.steps * objective.settings.rows_per_step * TOKENS / timed.seconds
    keep_others(figures, {"pretrain_tokens_per_second": speed, "others": timed.others})
    return figures


def batch_of(rows: np.ndarray) -> "Batch":
    """Return rows, each with its next token appended, as a headstart batch."""
    from headstart.pretrain.causal_lm import Batch

    ids = rows[:, :-1]
    return Batch(
        ids_BT=ids,
        targets_BT=rows[:, 1:],
        sequences_BT=np.zeros_like(ids),
        positions_BT=np.broadcast_to(np.arange(ids.shape[1]), ids.shape).copy(),
        documents=np.arange(len(rows)),
    )


def peer_arrays(rows: np.ndarray) -> dict[str, np.ndarray]:
    """Return rows under the argument names of transformers."""
    after = np.ascontiguousarray(rows[:, 1:])
    return {
        "input_ids": np.ascontiguousarray(rows[:, :-1]),
        "labels": after,
        "shift_labels": after,
    }


def theirs(arguments: argparse.Namespace) -> Figures:
    return _peer_figures(arguments, activation="gelu_new")


def theirs_exact(arguments: argparse.Namespace) -> Figures:
    return _peer_figures(arguments)


def their_best(arguments: argparse.Namespace) -> Figures:
    return _peer_figures(arguments, bf16=fast_bf16(), fused=True, compiled=not arguments.quick)


def _peer_figures(arguments: argparse.Namespace, activation: str = "gelu", **how: bool) -> Figures:
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.set_num_threads(arguments.threads)
    config = GPT2Config.from_pretrained(folder("gpt"))
    config.activation_function = activation
    config.resid_pdrop = config.embd_pdrop = 0.1
    config.attn_pdrop = arguments.attention_dropout
    config.use_cache = False
    model = GPT2LMHeadModel.from_pretrained(folder("gpt"), config=config)
    batches = [as_tensors(peer_arrays(rows)) for rows in _of_steps()]
    loss, norm = at_start(model, batches[0])
    figures: Figures = {"packed_start_loss": loss, "packed_start_norm": norm}
    tokens = sum(batch["input_ids"].numel() for batch in batches)
    keep_others(
        figures, training_speed("packed", trainer(model, **how), batches, tokens, arguments)
    )
    return figures


def _of_steps() -> list[np.ndarray]:
    rows = read_rows()
    return [rows[at : at + ROWS] for at in range(0, len(rows), ROWS)]


if __name__ == "__main__":
    parser = argument_parser(__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=8, help="steps per timed pass")
    parser.add_argument(
        "--seconds", type=float, default=4.0, help="repeat passes for at least this long"
    )
    parser.add_argument(
        "--attention-dropout", type=float, default=0.1, help="attention dropout of the peers"
    )
    main(
        "gpt_pretraining",
        {
            OURS: ours,
            "transformers": theirs,
            "transformers-gelu": theirs_exact,
            "transformers-best": their_best,
        },
        [
            Metric("packed_tokens_per_second"),
            Metric("packed_tokens_per_cpu_second"),
            Metric("pretrain_tokens_per_second"),
            Metric("packed_start_loss", "difference"),
            Metric("packed_start_norm", "difference"),
        ],
        parser,
        prepare=prepare_gpt,
        quick={"steps": 2, "seconds": 0.0},
    )
