"""Pairs of sentences: scores of each method on entailment, paraphrase and similarity.

The encoders are none, GloVe 6B 50d and all-MiniLM-L6-v2. The data sets are SICK and RTE
(entailment), SNLI (trained on its 9,842 development pairs, because its training part is not in the
data), MRPC (paraphrases) and STS-B, whose pairs have numbers. Measures accuracy on the test part
(RTE: GLUE's development part), and for STS-B correlations. Each repetition is a seed. `--labels`
draws that many labels by the seed. All methods run on all sets, unless `--sets` and `--methods`
select some.

    python benchmarks/pairs.py --sets sick --methods glove:finetune tfidf
"""

import argparse
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from harness import Figures, Metric, argument_parser, main
from public_data import PairRows, mrpc, rte, sick, snli, stsb

SETS: dict[str, Callable[[Path, str], PairRows]] = {
    "sick": sick,
    "snli": snli,
    "mrpc": mrpc,
    "rte": rte,
    "stsb": stsb,
}
NUMBERS = {"stsb"}  # sets whose pairs have a number instead of a label
METHODS = (  # all are compared with the first
    *("tfidf", "scratch", "glove:probe", "glove:frozen", "glove:finetune"),
    *("minilm:probe", "minilm:frozen", "minilm:finetune", "minilm:lora", "minilm:gradual"),
)


def encoder_of(name: str, arguments: argparse.Namespace) -> Any:  # noqa: ANN401
    from headstart.data.demo import fetch_demo
    from headstart.hub.store import load_encoder

    return load_encoder(getattr(arguments, name) or getattr(fetch_demo(), name))


def drawn(name: str, arguments: argparse.Namespace) -> PairRows:
    """Return the training part, or `--labels` of its pairs, drawn by the repetition's seed."""
    from headstart.data.splits import nested_subsets

    pairs, labels = SETS[name](arguments.data, "train")
    if arguments.labels is None:
        return pairs, labels
    strata = [""] * len(labels) if name in NUMBERS else labels
    rows = nested_subsets(strata, [arguments.labels], seed=arguments.seed)[arguments.labels]
    return [pairs[row] for row in rows], [labels[row] for row in rows]


def names_of(each: str) -> list[str]:
    """Return the names of the figures of a data set."""
    kinds = ("pearson", "spearman") if each in NUMBERS else ("accuracy",)
    return [f"{each}_{kind}" for kind in kinds]


def fitted_scores(
    name: str,
    transfer: str,
    encoder: Any,  # noqa: ANN401
    arguments: argparse.Namespace,
) -> list[float]:
    """Fit a method to a data set and return its figures on the test part."""
    import numpy as np

    from headstart.tasks.regression import regression_scores
    from headstart.transfer.features import quick_reading
    from headstart.transfer.fitting import whole_model_width
    from headstart.transfer.pairs import PairClassifier, PairRegressor

    quickly = quick_reading if whole_model_width(encoder) else nullcontext
    pairs, labels = drawn(name, arguments)
    rows = slice(arguments.test_rows)
    test, gold = (part[rows] for part in SETS[name](arguments.data, "test"))
    if name not in NUMBERS:
        classifier = PairClassifier(encoder, transfer, random_state=arguments.seed)
        classifier.fit(pairs, labels)
        with quickly():
            return [classifier.score(test, gold)]
    regressor = PairRegressor(encoder, transfer, random_state=arguments.seed)
    regressor.fit(pairs, [float(label) for label in labels])
    with quickly():
        predicted = regressor.predict(test)
    scores = regression_scores(np.array(gold, np.float64), predicted)
    return [scores["pearson"], scores["spearman"]]


def scores_of(method: str) -> Callable[[argparse.Namespace], Figures]:
    """Return a contender that fits one method to every data set."""
    name, _, transfer = method.rpartition(":")

    def scores(arguments: argparse.Namespace) -> Figures:
        import torch

        torch.set_num_threads(arguments.threads)
        encoder = encoder_of(name, arguments) if name else None
        figures = {}
        for each in arguments.sets:
            found = fitted_scores(each, transfer, encoder, arguments)
            figures |= dict(zip(names_of(each), found, strict=True))
            print(method, each, found, file=sys.stderr, flush=True)
        return figures

    return scores


def prepare(arguments: argparse.Namespace) -> None:
    for name in arguments.sets:
        SETS[name](arguments.data, "test")


if __name__ == "__main__":
    parser = argument_parser(__doc__)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--minilm", type=Path, help="folder of the encoder; by default the demo's")
    parser.add_argument("--glove", type=Path, help="file of word vectors; by default the demo's")
    parser.add_argument("--labels", type=int, help="number of labels; by default all")
    parser.add_argument("--test-rows", type=int, help="score on the first N test rows")
    parser.add_argument("--threads", type=int, default=2)
    parser.set_defaults(repetitions=3)
    chosen = parser.parse_args()
    methods = chosen.methods[:2] if chosen.quick else chosen.methods
    main(
        "pairs",
        {method: scores_of(method) for method in methods},
        [Metric(name, "difference") for each in chosen.sets for name in names_of(each)],
        parser,
        prepare=prepare,
        ours=tuple(methods),
        quick={"test_rows": 50, "labels": 60, "sets": ["rte"]},
    )
