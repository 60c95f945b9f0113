"""Accuracy of text classifiers on GloVe 6B 50d, trained on all labels.

Measures accuracy on the test parts of TREC (six kinds of question, 5,452 labels) and SST-2 (film
reviews, 6,920). `glove:finetune` and `glove:frozen` are the BiLSTM on the vectors, `scratch` is the
same with randomly initialized vectors, `tfidf` uses no vectors. Each repetition is a seed.

    python benchmarks/all_labels.py --sets trec --methods glove:finetune scratch
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from harness import Figures, Metric, argument_parser, main
from public_data import Rows, sst2, trec

SETS: dict[str, Callable[[Path, str], Rows]] = {"trec": trec, "sst2": sst2}
METHODS = ("glove:finetune", "glove:frozen", "scratch", "tfidf")  # all are compared with the first


def scores_of(method: str) -> Callable[[argparse.Namespace], Figures]:
    """Return a function that fits one method to every data set."""
    name, _, transfer = method.rpartition(":")

    def scores(arguments: argparse.Namespace) -> Figures:
        import torch

        from headstart.data.demo import fetch_demo
        from headstart.hub.store import load_encoder
        from headstart.transfer.estimators import TextClassifier

        torch.set_num_threads(arguments.threads)
        encoder = load_encoder(arguments.glove or fetch_demo().glove) if name else None
        figures = {}
        for each in arguments.sets:
            texts, labels = SETS[each](arguments.data, "train")
            classifier = TextClassifier(encoder, transfer, random_state=arguments.seed)
            classifier.fit(texts[: arguments.labels], labels[: arguments.labels])
            found = float(classifier.score(*SETS[each](arguments.data, "test")))
            figures[f"{each}_accuracy"] = found
            print(f"{method} {each}: {found:.4f}", file=sys.stderr, flush=True)
        return figures

    return scores


def prepare(arguments: argparse.Namespace) -> None:
    for each in arguments.sets:
        SETS[each](arguments.data, "test")


if __name__ == "__main__":
    parser = argument_parser(__doc__)
    parser.set_defaults(repetitions=3)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--glove", type=Path, help="file of word vectors; by default the demo's")
    parser.add_argument("--labels", type=int, help="train on the first N labels; by default all")
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args()
    methods = chosen.methods[:2] if chosen.quick else chosen.methods
    main(
        "all_labels",
        {method: scores_of(method) for method in methods},
        [Metric(f"{name}_accuracy", "difference") for name in chosen.sets],
        parser,
        prepare=prepare,
        ours=tuple(methods),
        quick={"labels": 100, "sets": ["trec"]},
    )
