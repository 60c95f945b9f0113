"""How much a published encoder helps: all-MiniLM-L6-v2 with every transfer method.

There are three parts. `--part` runs one of them; by default all run one after the other, each with
its own results file. Each repetition is a seed, with other labels in another order.

- `full`: `finetune` on SST-2's 6,920 sentences, accuracy on its test sentences; three seeds.
- `few`: 100 labels of SST-2, five seeds. `finetune` is compared with GloVe's `finetune`, and
  `probe` with the same features in scikit-learn alone: mean states and `LogisticRegression`, its
  strength chosen from the same values by five-fold cross-validation.
- `table`: `probe`, `frozen`, `finetune`, `gradual` and `lora` on SST-2 and TREC with 50, 100 and
  500 labels and on CLINC150 with 300 and 1500, three seeds. Does fine-tuning ever lose to its own
  probe? `--sets` and `--methods` select a part.

    python benchmarks/published_encoder.py --part few
"""

import argparse
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import OURS, Figures, Metric, argument_parser, main
from public_data import Rows, clinc150, sst2, trec

if TYPE_CHECKING:
    from headstart.hub.bundle import Pretrained

REPETITIONS = {"full": 3, "few": 5, "table": 3}
SETS: dict[str, Callable[[Path, str], Rows]] = {"sst2": sst2, "trec": trec, "clinc150": clinc150}
BUDGETS = {"sst2": (50, 100, 500), "trec": (50, 100, 500), "clinc150": (300, 1500)}
METHODS = ("finetune", "probe", "frozen", "gradual", "lora")  # all are compared with the first


def minilm(arguments: argparse.Namespace) -> "Pretrained":
    from headstart.data.demo import fetch_demo
    from headstart.hub.store import load_encoder

    return load_encoder(arguments.minilm or fetch_demo().minilm)


def glove(arguments: argparse.Namespace) -> "Pretrained":
    from headstart.data.demo import fetch_demo
    from headstart.hub.store import load_encoder

    return load_encoder(arguments.glove or fetch_demo().glove)


def drawn(name: str, labels: int, arguments: argparse.Namespace) -> Rows:
    """Return `labels` labeled texts of a training part, drawn by the repetition's seed."""
    from headstart.data.splits import nested_subsets

    texts, all_labels = SETS[name](arguments.data, "train")
    rows = nested_subsets(all_labels, [labels], seed=arguments.seed)[labels]
    return [texts[row] for row in rows], [all_labels[row] for row in rows]


def test_rows(name: str, arguments: argparse.Namespace) -> Rows:
    texts, labels = SETS[name](arguments.data, "test")
    return texts[: arguments.test_rows], labels[: arguments.test_rows]


def accuracy(encoder: Any, method: Any, given: Rows, test: Rows, seed: int) -> float:  # noqa: ANN401
    """Fit a classifier and score it, with a model's products in bfloat16 where that is fast."""
    import torch

    from headstart.models.word_vectors import WordVectors
    from headstart.training.precision import has_fast_bf16
    from headstart.transfer.estimators import TextClassifier

    classifier = TextClassifier(encoder, method, random_state=seed).fit(*given)
    fast = has_fast_bf16(torch.device("cpu")) and not isinstance(encoder.model, WordVectors)
    with torch.autocast("cpu", torch.bfloat16, enabled=fast):
        return float(classifier.score(*test))


def full(arguments: argparse.Namespace) -> Figures:
    _use_threads(arguments)
    texts, labels = sst2(arguments.data, "train")
    given = texts[: arguments.labels], labels[: arguments.labels]
    test = test_rows("sst2", arguments)
    found = accuracy(minilm(arguments), "finetune", given, test, arguments.seed)
    return {"finetune_accuracy": found}


def few(arguments: argparse.Namespace) -> Figures:
    _use_threads(arguments)
    given, test = drawn("sst2", arguments.few, arguments), test_rows("sst2", arguments)
    encoder = minilm(arguments)
    return {
        f"{method}_accuracy": accuracy(encoder, method, given, test, arguments.seed)
        for method in ("finetune", "probe")
    }


def few_glove(arguments: argparse.Namespace) -> Figures:
    _use_threads(arguments)
    given, test = drawn("sst2", arguments.few, arguments), test_rows("sst2", arguments)
    found = accuracy(glove(arguments), "finetune", given, test, arguments.seed)
    return {"finetune_accuracy": found}


def few_sklearn(arguments: argparse.Namespace) -> Figures:
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV

    from headstart.transfer.methods import Probe
    from headstart.transfer.text_features import TextFeatures

    _use_threads(arguments)
    (texts, labels), (test_texts, test_labels) = (
        drawn("sst2", arguments.few, arguments),
        test_rows("sst2", arguments),
    )
    features = TextFeatures(minilm(arguments))
    x, test_x = (features.transform(each) for each in (texts, test_texts))
    scale = 1.0 / float(
        (x**2).mean() ** 0.5
    )  # gives the strengths the same meaning as in the probe
    strengths = {"C": list(Probe().strengths)}
    model = GridSearchCV(LogisticRegression(max_iter=2000), strengths, cv=5)
    model.fit(scale * x, labels)
    return {"probe_accuracy": float(model.score(scale * test_x, test_labels))}


def cells_of(method: str) -> Callable[[argparse.Namespace], Figures]:
    """Return a contender that fits one method to every data set and budget."""

    def cells(arguments: argparse.Namespace) -> Figures:
        _use_threads(arguments)
        encoder, figures = minilm(arguments), {}
        for name in arguments.sets:
            test = test_rows(name, arguments)
            for labels in BUDGETS[name][: arguments.budgets]:
                given = drawn(name, labels, arguments)
                found = accuracy(encoder, method, given, test, arguments.seed)
                figures[f"{name}_{labels}_accuracy"] = found
                print(f"{method} {name} {labels}: {found:.4f}", file=sys.stderr, flush=True)
        return figures

    return cells


def _use_threads(arguments: argparse.Namespace) -> None:
    import torch

    torch.set_num_threads(arguments.threads)


def prepare(arguments: argparse.Namespace) -> None:
    for read in SETS.values():
        read(arguments.data, "test")


def run(part: str, parser: argparse.ArgumentParser) -> None:
    if part == "full":
        contenders, metrics = {OURS: full}, ["finetune_accuracy"]
    elif part == "few":
        contenders = {OURS: few, "glove": few_glove, "scikit-learn": few_sklearn}
        metrics = ["finetune_accuracy", "probe_accuracy"]
    else:
        arguments = parser.parse_args()
        methods = arguments.methods[:2] if arguments.quick else arguments.methods
        contenders = {method: cells_of(method) for method in methods}
        metrics = [
            f"{name}_{labels}_accuracy" for name in arguments.sets for labels in BUDGETS[name]
        ]
    main(
        f"published_encoder_{part}",
        contenders,
        [Metric(name, "difference") for name in metrics],
        parser,
        prepare=prepare,
        ours=tuple(contenders),
        quick={
            "test_rows": 50,
            "labels": 64,
            "few": 24,
            "sets": ["trec"],
            "budgets": 1,
        },
    )


if __name__ == "__main__":
    parser = argument_parser(__doc__)
    parser.add_argument("--part", choices=REPETITIONS)
    parser.add_argument("--minilm", type=Path, help="folder of the encoder; by default the demo's")
    parser.add_argument("--glove", type=Path, help="file of word vectors; by default the demo's")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--budgets", type=int, help="the N smallest budgets of the table")
    parser.add_argument("--labels", type=int, help="number of labels in part `full`")
    parser.add_argument("--few", type=int, default=100, help="labels in part `few`")
    parser.add_argument("--test-rows", type=int, help="score on the first N test rows")
    parser.add_argument("--threads", type=int, default=2)
    part = parser.parse_args().part
    if part:
        parser.set_defaults(repetitions=REPETITIONS[part])
        run(part, parser)
    else:
        command = [sys.executable, __file__, *sys.argv[1:], "--part"]
        failed = [subprocess.run([*command, each], check=False).returncode for each in REPETITIONS]
        sys.exit(max(failed))
