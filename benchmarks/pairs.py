"""Pairs of sentences: how well each method tells what two of them have to do with one another.

GloVe 6B 50d and no encoder on SICK (entailment) and SNLI (trained on its 9,842 development pairs,
for its training part is not among the data), all-MiniLM-L6-v2 on MRPC and RTE; accuracy on the test
part, of RTE on GLUE's development part. A repetition is a seed. `--labels` takes so many labels
only, drawn by the seed; `--sets` and `--methods` run some of it.

    python benchmarks/pairs.py --sets sick --methods glove:finetune tfidf
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness import Figures, Metric, argument_parser, main
from public_data import PairRows, mrpc, rte, sick, snli

SETS: dict[str, Callable[[Path, str], PairRows]] = {
    "sick": sick,
    "snli": snli,
    "mrpc": mrpc,
    "rte": rte,
}
METHODS = (  # the first is what they are beside
    *("tfidf", "scratch", "glove:probe", "glove:frozen", "glove:finetune"),
    *("minilm:probe", "minilm:frozen", "minilm:finetune", "minilm:lora", "minilm:gradual"),
)


def encoder_of(name: str, arguments: argparse.Namespace) -> Any:  # noqa: ANN401
    from headstart.data.demo import fetch_demo
    from headstart.hub.store import load_encoder

    return load_encoder(getattr(arguments, name) or getattr(fetch_demo(), name))


def drawn(name: str, arguments: argparse.Namespace) -> PairRows:
    """Return the training part, or so many of its pairs, drawn by the repetition's seed."""
    from headstart.data.splits import nested_subsets

    pairs, labels = SETS[name](arguments.data, "train")
    if arguments.labels is None:
        return pairs, labels
    rows = nested_subsets(labels, [arguments.labels], seed=arguments.seed)[arguments.labels]
    return [pairs[row] for row in rows], [labels[row] for row in rows]


def scores_of(method: str) -> Callable[[argparse.Namespace], Figures]:
    """Return what fits one method to every set."""
    name, _, transfer = method.rpartition(":")

    def scores(arguments: argparse.Namespace) -> Figures:
        import torch

        from headstart.training.runs import has_fast_bf16
        from headstart.transfer.pairs import PairClassifier

        torch.set_num_threads(arguments.threads)
        encoder = encoder_of(name, arguments) if name else None
        fast = name == "minilm" and has_fast_bf16(torch.device("cpu"))
        figures = {}
        for each in arguments.sets:
            pairs, labels = SETS[each](arguments.data, "test")
            classifier = PairClassifier(encoder, transfer, random_state=arguments.seed)
            classifier.fit(*drawn(each, arguments))
            with torch.autocast("cpu", torch.bfloat16, enabled=fast):
                rows = slice(arguments.test_rows)
                figures[f"{each}_accuracy"] = classifier.score(pairs[rows], labels[rows])
            report = {k: v for k, v in classifier.fit_report_.items() if k in ("seconds", "steps")}
            print(method, each, figures[f"{each}_accuracy"], report, file=sys.stderr, flush=True)
        return figures

    return scores


def prepare(arguments: argparse.Namespace) -> None:
    for name in arguments.sets:
        SETS[name](arguments.data, "test")


if __name__ == "__main__":
    parser = argument_parser(__doc__)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--minilm", type=Path, help="the encoder's folder; else the demo's")
    parser.add_argument("--glove", type=Path, help="a file of word vectors; else the demo's")
    parser.add_argument("--labels", type=int, help="only so many; else all")
    parser.add_argument("--test-rows", type=int, help="score on the first ones only")
    parser.add_argument("--threads", type=int, default=2)
    parser.set_defaults(repetitions=3)
    chosen = parser.parse_args()
    methods = chosen.methods[:2] if chosen.quick else chosen.methods
    main(
        "pairs",
        {method: scores_of(method) for method in methods},
        [Metric(f"{name}_accuracy", "difference") for name in chosen.sets],
        parser,
        prepare=prepare,
        ours=tuple(methods),
        quick={"test_rows": 50, "labels": 60, "sets": ["rte"]},
    )
