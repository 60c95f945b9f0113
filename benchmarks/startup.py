"""Startup time of commands, each in a new process.

`help` is `headstart --help`, `import` is `import headstart`, and `predict` is `headstart predict`
for one text with a saved model: a classifier of SST-2 on GloVe, and one on MiniLM. Measures
wall-clock time and, because other processes affect that, CPU time.

    python benchmarks/startup.py
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from harness import OURS, ROOT, Figures, Metric, argument_parser, keep_others, main, measure
from language_model_inputs import folder
from public_data import sst2

MODELS = ("glove", "minilm")
PARTS = ("help", "import", *(f"predict_{model}" for model in MODELS))
LABELS = 40
_COMMAND = "import sys; from headstart.cli.app import main; sys.exit(main())"


def model_folder(name: str) -> Path:
    return folder("startup") / name


def prepare(arguments: argparse.Namespace) -> None:
    from headstart.data.demo import fetch_demo
    from headstart.transfer.estimators import TextClassifier

    texts, labels = (part[:LABELS] for part in sst2(arguments.data, "train"))
    for name, transfer in zip(MODELS, ("finetune", "probe"), strict=True):
        if not model_folder(name).exists():
            classifier = TextClassifier(getattr(fetch_demo(), name), transfer)
            classifier.fit(texts, labels).save(model_folder(name))


def ours(arguments: argparse.Namespace) -> Figures:
    del arguments
    predict = ["predict", "--text", "A fine film."]
    commands: dict[str, Sequence[str]] = {
        "help": ["-c", _COMMAND, "--help"],
        "import": ["-c", "import headstart"],
        **{f"predict_{n}": ["-c", _COMMAND, *predict, str(model_folder(n))] for n in MODELS},
    }
    figures: Figures = {}
    for name, command in commands.items():
        timed = measure(lambda command=command: _run(command))
        keep_others(
            figures,
            {
                f"{name}_seconds": timed.seconds,
                f"{name}_cpu_seconds": timed.cpu_seconds,
                "others": timed.others,
            },
        )
    return figures


def _run(command: Sequence[str]) -> None:
    subprocess.run([sys.executable, *command], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    metrics = [Metric(f"{name}_{kind}") for kind in ("seconds", "cpu_seconds") for name in PARTS]
    main("startup", {OURS: ours}, metrics, argument_parser(__doc__), prepare=prepare)
