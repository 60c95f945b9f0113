"""A comparison of methods, label budgets and seeds on the demo's news: `compare` and a script.

The grid has tf-idf, GloVe 6B 50d as `probe`, `frozen` and `finetune`, and all-MiniLM-L6-v2 as
`probe` and `finetune`, for each label budget and seed. Both sides get the same labeled rows and
test rows, and two cores. headstart runs `compare` in a new folder with an empty cache. The time
includes encoders, cells, intervals, the report, and fitting and saving the winner.

The peers are the script that one would write with the same care, one cell after another:

- scikit-learn's tf-idf and logistic regression, with the strength chosen by three-fold
  cross-validation;
- mean vectors from gensim under the same;
- a BiLSTM in torch on these vectors, frozen or not;
- mean states from transformers under logistic regression;
- transformers' `Trainer`.

Where a method takes steps, their number is found on a fifth of the labels by headstart's rule:
check every ten steps, train for at least 50 steps of 32 texts (BiLSTM) or 60 steps of 16 (MiniLM,
at most 50 epochs), and stop after four checks without a loss lower by a thousandth. Then the method
trains on all labels for as many epochs. `script` uses float32 and encodes texts anew in each cell.
`script-best` uses bfloat16 and batches of similar length, and encodes each text once for all cells
of `minilm:probe`.

`cells_per_minute` is the number of cells over the time, `cores` is how many of the two were busy,
and accuracies are means over the cells. `--quick` has one label budget, one seed and no fine-tuning
of MiniLM. Most of its time is what headstart does once: intervals, report, winner.

    python benchmarks/demo_grid.py
"""

import argparse
import csv
import json
import math
import os
import re
import tempfile
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness import OURS, Figures, Metric, argument_parser, fast_bf16, main, measure
from language_model_inputs import folder
from public_data import Rows

METHODS = (
    "tfidf",
    *(f"glove:{transfer}" for transfer in ("probe", "frozen", "finetune")),
    *(f"minilm:{transfer}" for transfer in ("probe", "finetune")),
)
STRENGTHS = (0.1, 1.0, 10.0, 100.0)
READING, MAX_TOKENS, HIDDEN = 32, 128, 48  # MiniLM: batch size, tokens per text; LSTM: units
LSTM_STEPS, TUNING_STEPS = (50, 32), (60, 16)  # minimum of steps, and texts per step
MOST_STEPS, MOST_PASSES, LOOK, PATIENCE = 2000, 50, 10, 4
Predict = Callable[[Sequence[str], Sequence[str], Sequence[str], int], Sequence[str]]


def place() -> Path:
    return folder("demo-grid")


def prepare(arguments: argparse.Namespace) -> None:
    """Write the demo as tables, the rows of each cell, and GloVe in a form that gensim accepts."""
    from headstart.data.demo import fetch_demo
    from headstart.data.splits import nested_subsets
    from headstart.hub.store import load_encoder

    demo = fetch_demo()
    place().mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    train, test = (
        [(part.texts[row], part.labels[row]) for row in random.permutation(len(part))[:count]]
        for part, count in (
            (demo.train, arguments.train_rows),
            (demo.test, arguments.test_rows),
        )
    )
    for name, rows in (("train", train), ("test", test)):
        with (place() / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("text", "label"), *rows])
    labels = [label for _, label in train]
    drawn = {
        f"{budget} {seed}": [
            int(row) for row in nested_subsets(labels, [budget], seed=seed)[budget]
        ]
        for budget in arguments.budgets
        for seed in range(arguments.seeds)
    }
    about = {"rows": drawn, "glove": str(demo.glove), "minilm": str(demo.minilm)}
    (place() / "cells.json").write_text(json.dumps(about))
    if not (place() / "words.json").exists():
        vectors = load_encoder(demo.glove)
        np.save(place() / "vectors.npy", vectors.matrix.numpy())
        (place() / "words.json").write_text(json.dumps(vectors.words))


def read_rows(name: str) -> Rows:
    with (place() / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        rows = [*csv.reader(file)][1:]
    return [text for text, _ in rows], [label for _, label in rows]


def read_cells() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((place() / "cells.json").read_text())
    return found


def figures_of(run: Callable[[], dict[str, list[float]]]) -> Figures:
    """Measure `run`, which runs a grid and returns the accuracies of each method's cells."""
    accuracies: dict[str, list[float]] = {}
    timed = measure(lambda: accuracies.update(run()))
    cells = sum(map(len, accuracies.values()))
    return {
        "grid_seconds": timed.seconds,
        "cells_per_minute": 60 * cells / timed.seconds,
        "cells_per_cpu_minute": 60 * cells / timed.cpu_seconds,
        "cores": timed.cpu_seconds / timed.seconds,
        **{f"{name} accuracy": float(np.mean(its)) for name, its in accuracies.items()},
        "accuracy": float(np.mean([*accuracies.values()])),
        "others": timed.others,
    }


def ours(arguments: argparse.Namespace) -> Figures:
    import headstart as hs

    about = read_cells()

    def named(method: str) -> str:
        encoder, _, transfer = method.partition(":")
        return f"{encoder}={about[encoder]}:{transfer}" if transfer else method

    def run() -> dict[str, list[float]]:
        with tempfile.TemporaryDirectory() as out:
            os.environ["HEADSTART_CACHE"] = f"{out}/cache"
            found = hs.compare(
                place() / "train.csv",
                test=place() / "test.csv",
                methods=[named(method) for method in arguments.methods],
                label_budgets=arguments.budgets,
                seeds=arguments.seeds,
                minutes=math.inf,
                workers=arguments.threads,
                out=f"{out}/compare",
            )
        names = {named(method): method for method in arguments.methods}
        accuracies: dict[str, list[float]] = {method: [] for method in arguments.methods}
        for cell in found.results["cells"]:
            accuracies[names.get(cell["method"], cell["method"])].append(cell["value"])
        return accuracies

    return figures_of(run)


def theirs(*, best: bool) -> Callable[[argparse.Namespace], Figures]:
    """Return a contender that runs the grid as a script."""

    def figures(arguments: argparse.Namespace) -> Figures:
        import torch

        torch.set_num_threads(arguments.threads)
        predict: dict[str, Predict] = {
            "tfidf": by_tfidf,
            "glove:probe": by_mean_vectors,
            "glove:frozen": partial(by_lstm, frozen=True),
            "glove:finetune": partial(by_lstm, frozen=False),
            "minilm:probe": partial(by_mean_states, best=best),
            "minilm:finetune": partial(by_trainer, best=best),
        }

        def run() -> dict[str, list[float]]:
            (texts, labels), (unseen, truth) = read_rows("train"), read_rows("test")
            accuracies: dict[str, list[float]] = {method: [] for method in arguments.methods}
            for cell, rows in read_cells()["rows"].items():
                given = [texts[row] for row in rows], [labels[row] for row in rows]
                for method in arguments.methods:
                    found = predict[method](*given, unseen, int(cell.split()[1]))
                    accuracies[method].append(float(np.mean(np.array(found) == np.array(truth))))
            return accuracies

        return figures_of(run)

    return figures


def by_tfidf(
    texts: Sequence[str], labels: Sequence[str], unseen: Sequence[str], seed: int
) -> Sequence[str]:
    del seed
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2)).fit(texts)
    return _by_logistic_regression(
        vectorizer.transform(texts), labels, vectorizer.transform(unseen)
    )


def _by_logistic_regression(x: Any, labels: Sequence[str], unseen: Any) -> Sequence[str]:  # noqa: ANN401 - arrays, or sparse
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV

    model = GridSearchCV(LogisticRegression(max_iter=1000), {"C": STRENGTHS}, cv=3)
    found: Sequence[str] = model.fit(x, labels).predict(unseen)
    return found


@cache
def _glove() -> Any:  # noqa: ANN401 - gensim's KeyedVectors
    from gensim.models import KeyedVectors

    matrix = np.load(place() / "vectors.npy")
    vectors = KeyedVectors(matrix.shape[1])
    vectors.add_vectors(json.loads((place() / "words.json").read_text()), matrix)
    return vectors


def _words(text: str) -> list[str]:
    return re.findall(r"\w+|[^\w\s]", text.lower())


def by_mean_vectors(
    texts: Sequence[str], labels: Sequence[str], unseen: Sequence[str], seed: int
) -> Sequence[str]:
    del seed
    vectors = _glove()

    def means(some: Sequence[str]) -> NDArray[np.float32]:
        return np.stack(
            [vectors.get_mean_vector(_words(text), pre_normalize=False) for text in some]
        )

    return _by_logistic_regression(means(texts), labels, means(unseen))


class Search:
    """Tracks the validation loss and the step at which it was lowest."""

    def __init__(self, least_steps: int) -> None:
        self.least_steps = least_steps
        self.steps, self._lowest, self._since = 0, math.inf, 0

    def is_over(self, step: int, loss: float) -> bool:
        self._since += 1
        if loss < 0.999 * self._lowest:
            self.steps, self._lowest, self._since = step, loss, 0
        return step >= self.least_steps and self._since >= PATIENCE

    def steps_of_all(self, part: int, every: int) -> int:
        """Return the number of steps that make as many epochs over all labels."""
        return max(self.least_steps, round(self.steps * every / part))


def held_out(labels: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return four fifths of the rows to train on, and the fifth to validate on."""
    rows = np.random.default_rng(seed).permutation(labels)
    return np.split(rows, [labels - max(2, labels // 5)])


def by_lstm(
    texts: Sequence[str],
    labels: Sequence[str],
    unseen: Sequence[str],
    seed: int,
    *,
    frozen: bool,
) -> Sequence[str]:
    import torch
    from torch import nn
    from torch.nn.utils.rnn import pad_sequence

    vectors, classes = _glove(), sorted(set(labels))
    torch.manual_seed(seed)
    table = torch.from_numpy(np.concatenate([np.zeros_like(vectors.vectors[:1]), vectors.vectors]))
    known = vectors.key_to_index

    def ids(some: Sequence[str]) -> list[torch.Tensor]:
        rows = ([known[word] + 1 for word in _words(text) if word in known] for text in some)
        return [torch.tensor(row or [0]) for row in rows]

    given, targets = ids(texts), torch.tensor([classes.index(label) for label in labels])

    def train(rows: NDArray[np.int64], steps: int, search: Search | None = None) -> Any:  # noqa: ANN401
        """Train a new model for `steps` and return the function that scores a batch."""
        embed = nn.Embedding.from_pretrained(table.clone(), freeze=frozen, sparse=not frozen)
        lstm = nn.LSTM(table.shape[1], HIDDEN, batch_first=True, bidirectional=True)
        classify = nn.Linear(2 * HIDDEN, len(classes))
        optimizers = [torch.optim.Adam([*lstm.parameters(), *classify.parameters()], lr=1e-2)]
        if not frozen:
            optimizers.append(torch.optim.SparseAdam([embed.weight], lr=1e-3))

        def scores(batch: Sequence[torch.Tensor]) -> torch.Tensor:
            states, _ = lstm(embed(pad_sequence(list(batch), batch_first=True)))
            return classify(states.amax(1))

        def loss_of(some: NDArray[np.int64]) -> torch.Tensor:
            return nn.functional.cross_entropy(scores([given[row] for row in some]), targets[some])

        order = np.random.default_rng(seed)
        size = min(LSTM_STEPS[1], len(rows))
        for step in range(1, steps + 1):
            loss_of(order.choice(rows, size, replace=False)).backward()
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad()
            if search and step % LOOK == 0:
                with torch.inference_mode():
                    if search.is_over(step, float(loss_of(looked_at))):
                        break
        return scores

    part, looked_at = held_out(len(given), seed)
    search = Search(LSTM_STEPS[0])
    train(part, MOST_STEPS, search)
    scores = train(np.arange(len(given)), search.steps_of_all(len(part), len(given)))
    tests = ids(unseen)
    with torch.inference_mode():
        batches = [scores(tests[at : at + READING]) for at in range(0, len(tests), READING)]
    return [classes[row] for row in torch.cat(batches).argmax(1).tolist()]


@cache
def _minilm() -> tuple[Any, Any]:
    from transformers import AutoModel, AutoTokenizer

    source = read_cells()["minilm"]
    return AutoTokenizer.from_pretrained(source), AutoModel.from_pretrained(source).eval()


def _mean_states(texts: Sequence[str], *, bf16: bool) -> NDArray[np.float32]:
    import torch

    (tokenizer, model), means = _minilm(), []
    for at in range(0, len(texts), READING):
        batch = tokenizer(
            list(texts[at : at + READING]),
            truncation=True,
            max_length=MAX_TOKENS,
            padding=True,
            return_tensors="pt",
        )
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            states = model(**batch).last_hidden_state.float()
        mask = batch["attention_mask"][..., None]
        means.append(((states * mask).sum(1) / mask.sum(1)).numpy())
    return np.concatenate(means)


@cache
def _all_mean_states() -> dict[str, NDArray[np.float32]]:
    """Return MiniLM's mean states of every text, each encoded once, sorted by length."""
    texts = sorted({*read_rows("train")[0], *read_rows("test")[0]}, key=len)
    return dict(zip(texts, _mean_states(texts, bf16=fast_bf16()), strict=True))


def by_mean_states(
    texts: Sequence[str],
    labels: Sequence[str],
    unseen: Sequence[str],
    seed: int,
    *,
    best: bool,
) -> Sequence[str]:
    del seed
    if best:
        known = _all_mean_states()
        given, tests = (np.stack([known[text] for text in some]) for some in (texts, unseen))
    else:
        given, tests = (_mean_states(some, bf16=False) for some in (texts, unseen))
    return _by_logistic_regression(given, labels, tests)


def by_trainer(
    texts: Sequence[str],
    labels: Sequence[str],
    unseen: Sequence[str],
    seed: int,
    *,
    best: bool,
) -> Sequence[str]:
    classes = sorted(set(labels))
    codes = np.array([classes.index(label) for label in labels])
    part, looked_at = held_out(len(texts), seed)
    search = Search(TUNING_STEPS[0])

    def rows_of(some: NDArray[np.int64]) -> tuple[list[str], list[int]]:
        return [texts[row] for row in some], codes[some].tolist()

    most = min(MOST_STEPS, max(TUNING_STEPS[0], -(-MOST_PASSES * len(part) // TUNING_STEPS[1])))
    _trainer(rows_of(part), len(classes), most, seed, (rows_of(looked_at), search), best=best)
    steps = search.steps_of_all(len(part), len(texts))
    trained = _trainer(rows_of(np.arange(len(texts))), len(classes), steps, seed, best=best)
    trained.args.train_sampling_strategy = "random"  # else it would predict in order of length
    found = trained.predict(_listed(unseen, [0] * len(unseen)))
    return [classes[row] for row in found.predictions.argmax(1)]


def _listed(texts: Sequence[str], targets: Sequence[int]) -> list[dict[str, Any]]:
    ids = _minilm()[0](list(texts), truncation=True, max_length=MAX_TOKENS)["input_ids"]
    return [{"input_ids": i, "labels": y} for i, y in zip(ids, targets, strict=True)]


def _trainer(
    given: tuple[list[str], list[int]],
    num_classes: int,
    steps: int,
    seed: int,
    looking: tuple[tuple[list[str], list[int]], Search] | None = None,
    *,
    best: bool,
) -> Any:  # noqa: ANN401 - transformers' Trainer
    """Return transformers' `Trainer` after `steps` steps, or earlier if the search ends."""
    from transformers import (
        AutoModelForSequenceClassification,
        DataCollatorWithPadding,
        Trainer,
        TrainerCallback,
        TrainingArguments,
    )

    settings: dict[str, Any] = {}
    if best:
        settings = {"bf16": fast_bf16(), "train_sampling_strategy": "group_by_length"}
    if looking:
        settings |= {"eval_strategy": "steps", "eval_steps": LOOK}

    class Looks(TrainerCallback):  # type: ignore[misc]
        def on_evaluate(self, args: Any, state: Any, control: Any, **others: Any) -> None:  # noqa: ANN401
            del args
            over = looking and looking[1].is_over(state.global_step, others["metrics"]["eval_loss"])
            control.should_training_stop = bool(over)

    with tempfile.TemporaryDirectory() as output:
        trainer = Trainer(
            model=AutoModelForSequenceClassification.from_pretrained(
                read_cells()["minilm"], num_labels=num_classes
            ),
            args=TrainingArguments(
                output_dir=output,
                per_device_train_batch_size=TUNING_STEPS[1],
                per_device_eval_batch_size=READING,
                max_steps=steps,
                learning_rate=1e-4,
                lr_scheduler_type="constant" if looking else "linear",
                use_cpu=True,
                seed=seed,
                report_to=[],
                save_strategy="no",
                logging_strategy="no",
                disable_tqdm=True,
                **settings,
            ),
            train_dataset=_listed(*given),
            eval_dataset=_listed(*looking[0]) if looking else None,
            data_collator=DataCollatorWithPadding(_minilm()[0]),
            callbacks=[Looks()],
        )
        trainer.train()
    return trainer


if __name__ == "__main__":
    parser = argument_parser(__doc__)
    parser.add_argument(
        "--threads", type=int, default=2, help="threads of the peers; processes of headstart"
    )
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--budgets", type=int, nargs="+", default=[50, 200, 1000])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--train-rows", type=int)
    parser.add_argument("--test-rows", type=int)
    accuracies = [f"{method} accuracy" for method in METHODS]
    main(
        "demo_grid",
        {OURS: ours, "script": theirs(best=False), "script-best": theirs(best=True)},
        [
            *(Metric(name) for name in ("cells_per_minute", "cells_per_cpu_minute", "cores")),
            *(Metric(name, "difference") for name in ("accuracy", *accuracies)),
        ],
        parser,
        prepare=prepare,
        quick={
            "methods": METHODS[:-1],
            "budgets": [20],
            "seeds": 1,
            "train_rows": 100,
            "test_rows": 60,
        },
    )
