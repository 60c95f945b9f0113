"""A grid of cells with a frozen encoder, 5 seeds x 6 label budgets: headstart and the `Trainer`.

Each cell trains a head on MiniLM's frozen states with some labels of SST-2 and scores a thousand
test rows. headstart encodes every text once, as a comparison does, and fits
`TextClassifier(.., "frozen")` on the cached states: a validation set determines the number of
steps, then all labels are used. transformers' `Trainer` freezes the encoder's parameters and trains
for three epochs, so it runs the encoder in each of them and on the test rows of each cell.
`transformers-best` uses bfloat16 and batches of similar length. The peers run only `--peer-seeds`
of the five seeds, since each costs the same. `grid_seconds` is extrapolated to all five.

    python benchmarks/frozen_grid.py
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from harness import OURS, Figures, Metric, argument_parser, fast_bf16, main, measure
from language_model_inputs import folder
from public_data import Rows, sst2

SEEDS, BUDGETS = 5, (50, 100, 200, 400, 800, 1600)
MAX_TOKENS, BATCH, EPOCHS = 128, 32, 3


def test_rows(arguments: argparse.Namespace) -> Rows:
    texts, labels = sst2(arguments.data, "test")
    return texts[: arguments.test_rows], labels[: arguments.test_rows]


def drawn(labels: int, seed: int, arguments: argparse.Namespace) -> Rows:
    """Return labeled texts; a smaller draw is a subset of a larger one with the same seed."""
    texts, all_labels = sst2(arguments.data, "train")
    rows = np.random.default_rng(seed).permutation(len(texts))[:labels]
    return [texts[row] for row in rows], [all_labels[row] for row in rows]


def prepare(arguments: argparse.Namespace) -> None:
    from headstart.data.demo import fetch_demo

    test_rows(arguments)
    place = folder("minilm")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.unlink(missing_ok=True)
    place.symlink_to(arguments.minilm or fetch_demo().minilm)


def figures_of(run: Callable[[], list[float]], seeds: int) -> Figures:
    """Measure `run`, which runs the grid for some of the seeds and returns the accuracies."""
    accuracies: list[float] = []
    timed = measure(lambda: accuracies.extend(run()))
    return {
        "grid_seconds": timed.seconds * SEEDS / seeds,
        "grid_cpu_seconds": timed.cpu_seconds * SEEDS / seeds,
        "accuracy": float(np.mean(accuracies)),
        "others": timed.others,
    }


def ours(arguments: argparse.Namespace) -> Figures:
    import torch

    from headstart.hub.store import load_encoder
    from headstart.transfer.estimators import TextClassifier
    from headstart.transfer.features import StatesMemory, quick_reading, text_states

    torch.set_num_threads(arguments.threads)
    encoder = load_encoder(folder("minilm"))
    test = test_rows(arguments)

    def run() -> list[float]:
        grids = [drawn(max(arguments.budgets), seed, arguments)[0] for seed in range(SEEDS)]
        texts = [*dict.fromkeys([*test[0], *(text for grid in grids for text in grid)])]
        with quick_reading():
            states = text_states(encoder, texts, max_tokens=MAX_TOKENS)
        places = {text: row for row, text in enumerate(texts)}
        vars(encoder)["memory"] = StatesMemory(places, states, MAX_TOKENS)
        found = []
        for seed in range(SEEDS):
            for labels in arguments.budgets:
                classifier = TextClassifier(
                    encoder, "frozen", max_tokens=MAX_TOKENS, random_state=seed
                )
                classifier.fit(*drawn(labels, seed, arguments))
                found.append(classifier.score(*test))
        return found

    return figures_of(run, SEEDS)


def theirs(*, best: bool) -> Callable[[argparse.Namespace], Figures]:
    """Return a contender that runs the grid with transformers' `Trainer`."""

    def figures(arguments: argparse.Namespace) -> Figures:
        import torch

        torch.set_num_threads(arguments.threads)
        test, seeds = test_rows(arguments), arguments.peer_seeds
        return figures_of(
            lambda: [
                _cell(drawn(labels, seed, arguments), test, seed, best=best)
                for seed in range(seeds)
                for labels in arguments.budgets
            ],
            seeds,
        )

    return figures


def _cell(train: Rows, test: Rows, seed: int, *, best: bool) -> float:
    """Train a head on some labels and return its accuracy on the test rows."""
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainingArguments,
    )

    tokenizer = AutoTokenizer.from_pretrained(folder("minilm"))
    model = AutoModelForSequenceClassification.from_pretrained(folder("minilm"), num_labels=2)
    model.base_model.requires_grad_(requires_grad=False)

    def listed(texts: list[str], labels: list[str]) -> list[dict[str, Any]]:
        ids = tokenizer(texts, truncation=True, max_length=MAX_TOKENS)["input_ids"]
        return [{"input_ids": i, "labels": int(y)} for i, y in zip(ids, labels, strict=True)]

    settings: dict[str, Any] = {}
    if best:
        settings = {"bf16": fast_bf16(), "train_sampling_strategy": "group_by_length"}
    with tempfile.TemporaryDirectory() as place:
        trainer = Trainer(
            model=model,
            args=TrainingArguments(
                output_dir=place,
                per_device_train_batch_size=BATCH,
                per_device_eval_batch_size=BATCH,
                num_train_epochs=EPOCHS,
                learning_rate=1e-3,
                use_cpu=True,
                seed=seed,
                report_to=[],
                save_strategy="no",
                logging_strategy="no",
                disable_tqdm=True,
                **settings,
            ),
            train_dataset=listed(*train),
            data_collator=DataCollatorWithPadding(tokenizer),
        )
        trainer.train()
        found = trainer.predict(listed(*test))
    return float((found.predictions.argmax(1) == found.label_ids).mean())


if __name__ == "__main__":
    parser = argument_parser(__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--budgets", type=int, nargs="+", default=list(BUDGETS))
    parser.add_argument("--test-rows", type=int, default=1000)
    parser.add_argument("--peer-seeds", type=int, default=1, choices=range(1, SEEDS + 1))
    parser.add_argument("--minilm", type=Path, help="folder of the encoder; by default the demo's")
    main(
        "frozen_grid",
        {
            OURS: ours,
            "transformers": theirs(best=False),
            "transformers-best": theirs(best=True),
        },
        [
            Metric("grid_seconds", "saving"),
            Metric("grid_cpu_seconds", "saving"),
            Metric("accuracy", "difference"),
        ],
        parser,
        prepare=prepare,
        quick={"budgets": [20, 40], "test_rows": 40},
    )
