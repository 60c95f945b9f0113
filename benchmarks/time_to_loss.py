"""Time that GPT and BERT take to reach a given held-out loss.

All train the same mini model from the same weights on the same examples in the same order, rows of
128 tokens. The learning rate rises for 800 rows and then stays constant. headstart uses its default
rates, rows per step and optimizers, which for GPT are 16 rows and Muon. All others use 8 rows per
step:

- `headstart-adamw`: the same with AdamW, which is BERT's default anyway.
- `transformers`: the Trainer's defaults (fp32, AdamW at 5e-5).
- `transformers-rate`: the same at headstart's rate for AdamW.
- `transformers-best`: that rate, bf16, fused AdamW and torch.compile, which compiles before timing
  starts.

Scoring the held-out rows is not timed. A contender that has not reached the loss after `--minutes`
is stopped: its figure is a lower bound, and `.._reached` is its last loss.

    python benchmarks/time_to_loss.py --kinds gpt
"""

import argparse
import itertools
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from bert_pretraining import batch_of as bert_batch
from gpt_pretraining import batch_of as gpt_batch
from gpt_pretraining import peer_arrays as gpt_arrays
from harness import OURS, Figures, Metric, argument_parser, fast_bf16, main, seconds_to
from language_model_inputs import corpus, folder, prepare_bert, prepare_gpt, read_masked, read_rows
from peers import as_tensors, trainer

ROWS, ROWS_WITH_MUON, RISE = 8, 16, 800
RATES = {"gpt": 1e-3, "bert": 5e-4}  # with AdamW
MUONS_RATE = 1 / 256
TRAINERS_RATE = 5e-5
HELD_OUT = 256  # rows
Steps = Callable[[Sequence[Any]], object]


def arrive(
    kind: str,
    batches: list[Any],
    steps: Steps,
    score: Callable[[Any], float],
    arguments: argparse.Namespace,
    rows: int = ROWS,
) -> Figures:
    """Train on all batches except the first, which are held out for checking the loss."""
    held_out = HELD_OUT // rows
    to_train_on = itertools.cycle(range(held_out, len(batches)))

    def step() -> None:
        at = next(to_train_on)
        steps(batches[at : at + 1])

    found = seconds_to(
        getattr(arguments, f"{kind}_loss"),
        step,
        lambda: sum(map(score, batches[:held_out])) / held_out,
        look=arguments.look,
        most=60 * arguments.minutes,
    )
    return {f"{kind}_{name}": value for name, value in found.items()}


def rise(step: int, rows: int = ROWS) -> float:
    return min(1.0, step * rows / RISE)


def ours(*, muon: bool) -> Callable[[argparse.Namespace], Figures]:
    """Return a contender that trains GPT with Muon or AdamW; only the Muon one trains BERT, too."""

    def figures_of(arguments: argparse.Namespace) -> Figures:
        import torch

        from headstart.hub.store import load_encoder
        from headstart.pretrain import causal_lm, masked_lm
        from headstart.training.loop import train
        from headstart.training.optimizers import OPTIMIZERS
        from headstart.training.precision import has_fast_bf16

        torch.set_num_threads(arguments.threads)
        bf16, figures = has_fast_bf16(torch.device("cpu")), Figures()
        for kind in arguments.kinds:
            model = load_encoder(folder(kind)).model
            size, rate, optimizer = ROWS, RATES[kind], "adamw"
            batches: list[Any]
            objective: Any
            if kind == "gpt":
                if muon:
                    size, rate, optimizer = ROWS_WITH_MUON, MUONS_RATE, "muon"
                tokenizer, documents = corpus(arguments, "bpe")
                settings = causal_lm.CausalLm()
                objective = causal_lm.Objective(model, documents, tokenizer, settings, seed=0)
                rows = read_rows()
                batches = [gpt_batch(rows[at : at + size]) for at in range(0, len(rows), size)]
            elif muon:
                tokenizer, documents = corpus(arguments, "wordpiece")
                masked = masked_lm.MaskedLm()
                objective = masked_lm.Objective(model, documents, tokenizer, masked, seed=0)
                examples = read_masked("packed")
                batches = [bert_batch(examples, each) for each in examples.in_order(size)]
            else:
                continue

            def loss_of(batch: Any, objective: Any = objective) -> Any:  # noqa: ANN401
                with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                    return objective.loss(batch)

            def score(batch: Any, model: Any = model, loss_of: Any = loss_of) -> float:  # noqa: ANN401
                model.eval()
                with torch.inference_mode():
                    total, count = loss_of(batch)
                model.train()
                return float(total / count)

            queue: list[Any] = []
            trained = train(
                ([queue.pop()] for _ in iter(int, 1)),
                loss_of,
                OPTIMIZERS[optimizer](model, learning_rate=rate),
                schedule=partial(rise, rows=size),
                seed=arguments.seed,
            )

            def steps(batches: Sequence[Any], queue: Any = queue, trained: Any = trained) -> None:  # noqa: ANN401
                queue.extend(batches)
                next(trained)

            model.train()
            figures |= arrive(kind, batches, steps, score, arguments, size)
        return figures

    return figures_of


def peer(*, own_rate: bool = False, best: bool = False) -> Callable[[argparse.Namespace], Figures]:
    """Return a contender that trains with transformers."""

    def figures_of(arguments: argparse.Namespace) -> Figures:
        import torch
        from transformers import BertForPreTraining, GPT2LMHeadModel

        torch.set_num_threads(arguments.threads)
        figures, bf16 = Figures(), best and fast_bf16()
        for kind in arguments.kinds:
            model: Any
            if kind == "gpt":
                model = GPT2LMHeadModel.from_pretrained(folder(kind))
                rows = read_rows()
                arrays = [gpt_arrays(rows[at : at + ROWS]) for at in range(0, len(rows), ROWS)]
            else:
                model = BertForPreTraining.from_pretrained(folder(kind))
                examples = read_masked("packed")
                arrays = [examples.padded(each) for each in examples.in_order(ROWS)]
            model.config.use_cache = False
            batches = [as_tensors(each) for each in arrays]
            rate = TRAINERS_RATE if own_rate else RATES[kind]
            how = {"bf16": bf16, "fused": best, "compiled": best and not arguments.quick}
            start = {name: value.clone() for name, value in model.state_dict().items()}
            steps = trainer(model, rate=rate, rise=rise, **how)
            if best:
                steps(batches[:1])
                model.load_state_dict(start)

            def score(batch: Any, model: Any = model) -> float:  # noqa: ANN401
                model.eval()
                with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                    loss = float(model(**batch).loss)
                model.train()
                return loss

            figures |= arrive(kind, batches, steps, score, arguments)
        return figures

    return figures_of


def prepare(arguments: argparse.Namespace) -> None:
    if "gpt" in arguments.kinds:
        prepare_gpt(arguments)
    if "bert" in arguments.kinds:
        prepare_bert(arguments)


if __name__ == "__main__":
    parser = argument_parser(__doc__)
    parser.add_argument("--kinds", nargs="+", choices=RATES, default=list(RATES))
    parser.add_argument("--gpt-loss", type=float, default=6.0, help="nats per token")
    parser.add_argument("--bert-loss", type=float, default=7.7, help="MLM plus NSP, in nats")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--look", type=float, default=5.0, help="seconds between two checks")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--steps", type=int, default=600, help="number of batches of 32 rows to train on"
    )
    parser.set_defaults(repetitions=1, sentences=64)
    main(
        "time_to_loss",
        {
            OURS: ours(muon=True),
            "headstart-adamw": ours(muon=False),
            "transformers": peer(own_rate=True),
            "transformers-rate": peer(),
            "transformers-best": peer(best=True),
        },
        [
            Metric(f"{kind}_{what}", compare)
            for kind in RATES
            for what, compare in (("seconds", "saving"), ("reached", "difference"))
        ],
        parser,
        prepare=prepare,
        ours=(OURS, "headstart-adamw"),
        quick={"minutes": 0.05, "look": 1.0, "steps": 12},
    )
