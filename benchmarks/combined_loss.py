"""Does GPT's language model loss help a classifier? `L = L_xent + lambda * L_task`, and without.

Pretrains a mini GPT on Wikipedia articles once, or uses the one that `--encoder` names. Fine-tunes
it on a few hundred labels of SST-2 and TREC with lambda 2 (the default), 0.5 and 8, and without the
language model loss. Each repetition is a seed, with other labels in another order. Compared are
test accuracies: lambda 2 minus the others.

    python benchmarks/combined_loss.py --minutes 10 --labels 300
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from harness import Figures, Metric, argument_parser, main
from public_data import articles
from published_encoder import SETS, accuracy, drawn, test_rows

LOSSES = {"lambda_2": (1.0, 2.0), "lambda_0.5": (1.0, 0.5), "lambda_8": (1.0, 8.0), "none": (0, 1)}
TASKS = ("sst2", "trec")


def folder(arguments: argparse.Namespace) -> Path:
    """Return the folder of the GPT."""
    if arguments.encoder is not None:
        given: Path = arguments.encoder
        return given
    limit = (
        f"{arguments.minutes:g}-minutes" if arguments.steps is None else f"{arguments.steps}-steps"
    )
    return Path(tempfile.gettempdir()) / f"headstart-benchmark-gpt-{limit}"


def prepare(arguments: argparse.Namespace) -> None:
    import headstart as hs

    for name in arguments.tasks:
        SETS[name](arguments.data, "test")
    place = folder(arguments)
    if place.exists():
        print(f"using the GPT in {place}")
        return
    texts = articles(arguments.data, "train")[: arguments.articles]
    limit = (
        {"minutes": arguments.minutes} if arguments.steps is None else {"steps": arguments.steps}
    )
    hs.pretrain("gpt", corpus=texts, size="mini", threads=arguments.threads, **limit).save(place)


def with_loss(lm_coef: float, task_coef: float) -> Callable[[argparse.Namespace], Figures]:
    def fit(arguments: argparse.Namespace) -> Figures:
        import torch

        from headstart.hub.store import load_encoder
        from headstart.transfer.methods import FineTune

        torch.set_num_threads(arguments.threads)
        encoder, figures = load_encoder(folder(arguments)), {}
        method = FineTune(lm_coef=lm_coef, task_coef=task_coef)
        for name in arguments.tasks:
            given, test = drawn(name, arguments.labels, arguments), test_rows(name, arguments)
            figures[f"{name}_accuracy"] = accuracy(encoder, method, given, test, arguments.seed)
            print(f"{name}: {figures[f'{name}_accuracy']:.4f}", file=sys.stderr, flush=True)
        return figures

    return fit


if __name__ == "__main__":
    parser = argument_parser(__doc__)
    parser.add_argument("--encoder", type=Path, help="folder of a GPT, to skip pretraining")
    parser.add_argument("--minutes", type=float, default=10.0, help="minutes of pretraining")
    parser.add_argument("--steps", type=int, help="steps of pretraining, instead of minutes")
    parser.add_argument("--articles", type=int, help="pretrain on the first N articles")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--labels", type=int, default=300)
    parser.add_argument("--test-rows", type=int, help="score on the first N test rows")
    parser.add_argument("--threads", type=int, default=2)
    main(
        "combined_loss",
        {name: with_loss(*loss) for name, loss in LOSSES.items()},
        [Metric(f"{name}_accuracy", "difference") for name in TASKS],
        parser,
        prepare=prepare,
        ours=tuple(LOSSES),
        quick={"steps": 3, "articles": 20, "labels": 12, "tasks": ["trec"], "test_rows": 50},
    )
