"""Score settings of a method on rows that no comparison tests on.

Holds out a third, at most a thousand, of the demo's training rows (`bbc`) or of SST-2's training
sentences (`sst`) for scoring. The labels are drawn from the rest, anew for each seed. Prints the
mean accuracy with its standard error for each label budget. The defaults of
`headstart.transfer.methods` were chosen with this script; see docs/log.md.

    python benchmarks/method_settings.py scratch embedding_rate=0.05 embedding_rate=0.2
    python benchmarks/method_settings.py finetune learning_rate=0.02,encoder_rate=0.016
"""

import argparse
import statistics
import time

import torch

from fit_cell import read, train_file
from harness import argument_parser
from headstart.data.demo import fetch_demo
from headstart.data.labelled import Dataset
from headstart.data.splits import nested_subsets, split_test
from headstart.hub.store import load_encoder
from headstart.transfer.estimators import TextClassifier
from headstart.transfer.methods import METHODS, NO_ENCODER

BUDGETS = (50, 250, 900)
MOST_ROWS = 1000


def parts(rows: Dataset) -> tuple[Dataset, Dataset]:
    train, held_out = split_test(rows.labels, test_share=1 / 3, seed=7)
    return rows.select(train), rows.select(held_out[:MOST_ROWS])


def score(arguments: argparse.Namespace, setting: str) -> None:
    kind = METHODS[arguments.transfer]
    pairs = (pair.split("=") for pair in setting.split(",") if pair != "default")
    method = kind(**{name: float(value) for name, value in pairs})
    encoder = None if kind in NO_ENCODER else load_encoder(arguments.vectors or fetch_demo().glove)
    rows = fetch_demo().train if arguments.rows == "bbc" else Dataset(*read(train_file(arguments)))
    train, held_out = parts(rows)
    for labels in BUDGETS:
        start, scores = time.perf_counter(), []
        for seed in range(arguments.repetitions):
            given = train.select(nested_subsets(train.labels, [labels], seed=seed)[labels])
            classifier = TextClassifier(encoder, method, random_state=seed)
            classifier.fit(given.texts, given.labels)
            scores.append(classifier.score(held_out.texts, held_out.labels))
        error = statistics.stdev(scores) / len(scores) ** 0.5
        print(
            f"{arguments.rows} {arguments.transfer} {setting}, {labels} labels: "
            f"{statistics.mean(scores):.4f} ±{error:.4f}  ({time.perf_counter() - start:.0f} s)",
            flush=True,
        )


if __name__ == "__main__":
    parser = argument_parser(__doc__)
    parser.add_argument("transfer", choices=METHODS)
    parser.add_argument("settings", nargs="*", default=["default"], help="NAME=VALUE,..")
    parser.add_argument("--rows", choices=("bbc", "sst"), default="bbc")
    parser.add_argument("--vectors", help="file of word vectors; by default the demo's GloVe")
    torch.set_num_threads(1)
    chosen = parser.parse_args()
    for each in chosen.settings:
        score(chosen, each)
