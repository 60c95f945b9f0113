"""Fine-tuning a mini BERT for classification: headstart and transformers' `Trainer`.

Both start from the same random weights, use the same ids (SST-2's sentences, AG News' texts,
truncated at 128 tokens) and train for one epoch in batches of 32, two threads. Compared are samples
per second:

- of that epoch. For headstart, only the training of `TextClassifier(encoder, "finetune")` is timed
  (`transfer.neural`), because a whole `fit` first searches for the number of steps and then trains
  anew. `start_seconds` is the time before training: the frozen states of all texts, and the linear
  layer on them that training starts from.
- `frozen`: three epochs over SST-2 with the encoder frozen. headstart runs a whole
  `TextClassifier(encoder, Features())`, which encodes each text once and trains its head twice, for
  three epochs or more: to find the number of steps, and on all labels.

The peers are `transformers` with the `Trainer`'s defaults (fp32), and `transformers-best`: bf16 and
batches of similar length. `filled` is the share of computed positions that are tokens.

    python benchmarks/fine_tuning.py
"""

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness import (
    OURS,
    Figures,
    Metric,
    Timed,
    argument_parser,
    fast_bf16,
    keep_others,
    main,
    measure,
)
from language_model_inputs import folder, mini_bert
from public_data import Rows, agnews, sst2

if TYPE_CHECKING:
    from torch.utils.data import Dataset

BATCH, MAX_TOKENS, FROZEN_EPOCHS = 32, 128, 3


@dataclass(frozen=True)
class Task:
    """Texts as concatenated ids, special tokens included, and the class of each."""

    ids: np.ndarray
    offsets: np.ndarray
    labels: np.ndarray

    def dataset(self) -> "Dataset[Any]":
        """Return it as a dataset for transformers' `Trainer`."""
        from torch.utils.data import Dataset

        rows = [
            {"input_ids": ids.tolist(), "attention_mask": [1] * len(ids), "labels": int(label)}
            for ids, label in zip(np.split(self.ids, self.offsets[1:-1]), self.labels, strict=True)
        ]

        class Listed(Dataset[Any]):
            def __len__(self) -> int:
                return len(rows)

            def __getitem__(self, row: int) -> dict[str, Any]:
                return rows[row]

        return Listed()


def texts_of(name: str, arguments: argparse.Namespace) -> Rows:
    """Return the texts of a task, drawn once for all repetitions."""
    if name == "sst2":
        texts, labels = sst2(arguments.data, "train")
    else:
        texts, labels = agnews(arguments.data)
    count = min(len(texts), getattr(arguments, name))
    rows = np.random.default_rng(0).permutation(len(texts))[:count]
    return [texts[row] for row in rows], [labels[row] for row in rows]


def prepare(arguments: argparse.Namespace) -> None:
    from headstart.hub.store import load_encoder
    from headstart.tasks.classification import encode_labels

    mini_bert(arguments)
    encoder = load_encoder(folder("bert"))
    for name in ("sst2", "agnews"):
        texts, labels = texts_of(name, arguments)
        encoded, _ = encoder.inputs(texts, MAX_TOKENS)
        codes = encode_labels(labels)[1]
        np.savez(_file(name), ids=encoded.ids, offsets=encoded.offsets, labels=codes)


def _file(name: str) -> Path:
    return folder("bert").parent / f"{name}.npz"


def _read(name: str) -> Task:
    with np.load(_file(name)) as arrays:
        return Task(**arrays)


def ours(arguments: argparse.Namespace) -> Figures:
    import torch

    from headstart.hub.store import load_encoder
    from headstart.transfer.estimators import TextClassifier
    from headstart.transfer.methods import Features, Training

    torch.set_num_threads(arguments.threads)
    encoder = load_encoder(folder("bert"))
    figures: Figures = {}
    for name in ("sst2", "agnews"):
        keep_others(figures, _one_epoch(name, encoder, arguments))
    texts, labels = texts_of("sst2", arguments)
    steps = FROZEN_EPOCHS * -(-len(texts) // BATCH)
    training = Training(hidden=256, dropout=0.3, batch_size=BATCH, min_steps=steps, max_steps=steps)
    classifier = TextClassifier(encoder, Features(training=training), max_tokens=MAX_TOKENS)
    timed = measure(lambda: classifier.fit(texts, labels))
    keep_others(figures, _speed("frozen", FROZEN_EPOCHS * len(texts), timed))
    return figures


def _speed(name: str, samples: int, timed: Timed) -> Figures:
    return {
        f"{name}_samples_per_second": samples / timed.seconds,
        f"{name}_samples_per_cpu_second": samples / timed.cpu_seconds,
        "others": timed.others,
    }


def start_of(name: str, encoder: Any, arguments: argparse.Namespace) -> Any:  # noqa: ANN401
    """Return the start that all trainings of one fit share, from `transfer.whole_models`."""
    from headstart.tasks.classification import Classes, encode_labels
    from headstart.transfer.methods import FineTune, Training, with_defaults
    from headstart.transfer.task import Task as FitTask
    from headstart.transfer.whole_models import WholeStart

    texts, labels = texts_of(name, arguments)
    classes, codes = encode_labels(labels)
    task = FitTask(
        texts=texts,
        target=Classes(codes, np.ones(len(classes), np.float32)),
        seed=arguments.seed,
        max_tokens=MAX_TOKENS,
    )
    method = with_defaults(
        FineTune(pooling=encoder.pooling, training=Training(dropout=0.1, batch_size=BATCH)),
        whole_model=encoder.model.width,
    )
    return WholeStart(method, encoder, task)


def _one_epoch(name: str, encoder: Any, arguments: argparse.Namespace) -> Figures:  # noqa: ANN401
    from headstart.tokenize.batches import endless_batches
    from headstart.transfer.neural import train_steps

    start = start_of(name, encoder, arguments)
    rows = np.arange(len(start.task.texts))
    models = []
    started = measure(lambda: models.append(start.fresh(rows)))
    steps = -(-len(rows) // BATCH)

    def train(model: Any, count: int) -> None:  # noqa: ANN401
        for _ in train_steps(start, model, rows, count, schedule=lambda step: 1.0):
            pass

    train(start.fresh(rows), 2)
    timed = measure(lambda: train(models[0], steps))
    dealt = endless_batches(np.ones_like(rows), batch_size=BATCH, seed=arguments.seed)
    packed = [models[0].batch(start.encoded, next(dealt)) for _ in range(steps)]
    positions = sum(batch.ids_BT.size for batch in packed)
    return {
        **_speed(name, len(rows), timed),
        f"{name}_start_seconds": started.seconds,
        f"{name}_filled": sum(batch.filled * batch.ids_BT.size for batch in packed) / positions,
    }


def theirs(arguments: argparse.Namespace) -> Figures:
    figures: Figures = {}
    for name in ("sst2", "agnews"):
        keep_others(figures, _trainer_figures(name, arguments))
    keep_others(figures, _trainer_figures("sst2", arguments, frozen=True))
    return figures


def their_best(arguments: argparse.Namespace) -> Figures:
    figures: Figures = {}
    for name in ("sst2", "agnews"):
        keep_others(figures, _trainer_figures(name, arguments, best=True))
    return figures


def _trainer_figures(
    name: str, arguments: argparse.Namespace, *, best: bool = False, frozen: bool = False
) -> Figures:
    import torch
    from torch.utils.data import Subset

    torch.set_num_threads(arguments.threads)
    task = _read(name)
    dataset = task.dataset()
    epochs = FROZEN_EPOCHS if frozen else 1
    with tempfile.TemporaryDirectory() as place:
        few = Subset(dataset, range(2 * BATCH))
        num_classes = int(task.labels.max()) + 1
        _make_trainer(few, num_classes, place, best=best, frozen=frozen, epochs=1).train()
        trainer = _make_trainer(
            dataset, num_classes, place, best=best, frozen=frozen, epochs=epochs
        )
        timed = measure(trainer.train)
        batches = [batch["attention_mask"] for batch in trainer.get_train_dataloader()]
    samples = epochs * len(task.labels)
    if frozen:
        return _speed("frozen", samples, timed)
    return {
        **_speed(name, samples, timed),
        f"{name}_filled": sum(int(mask.sum()) for mask in batches)
        / sum(mask.numel() for mask in batches),
    }


def _make_trainer(
    dataset: "Dataset[Any]",
    num_classes: int,
    place: str,
    *,
    best: bool,
    frozen: bool,
    epochs: int,
) -> Any:  # noqa: ANN401 - of transformers
    from transformers import (
        AutoTokenizer,
        BertConfig,
        BertForSequenceClassification,
        DataCollatorWithPadding,
        Trainer,
        TrainingArguments,
    )

    config = BertConfig.from_pretrained(folder("bert"), num_labels=num_classes)
    config.attention_probs_dropout_prob = 0.1
    model = BertForSequenceClassification.from_pretrained(folder("bert"), config=config)
    if frozen:
        model.bert.requires_grad_(requires_grad=False)
    settings: dict[str, Any] = {}
    if best:
        settings = {
            "bf16": fast_bf16(),
            "train_sampling_strategy": "group_by_length",
            "optim": "adamw_torch_fused",
        }
    arguments = TrainingArguments(
        output_dir=place,
        per_device_train_batch_size=BATCH,
        num_train_epochs=epochs,
        use_cpu=True,
        report_to=[],
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
        **settings,
    )
    tokenizer = AutoTokenizer.from_pretrained(folder("bert"))
    return Trainer(
        model=model,
        args=arguments,
        train_dataset=dataset,
        data_collator=DataCollatorWithPadding(tokenizer),
    )


if __name__ == "__main__":
    parser = argument_parser(__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--sst2", type=int, default=1920, help="sentences of SST-2")
    parser.add_argument("--agnews", type=int, default=960, help="texts of AG News")
    main(
        "fine_tuning",
        {OURS: ours, "transformers": theirs, "transformers-best": their_best},
        [
            *(
                Metric(f"{name}_samples_per_{second}")
                for second in ("second", "cpu_second")
                for name in ("sst2", "agnews", "frozen")
            ),
            Metric("sst2_filled", "difference"),
            Metric("agnews_filled", "difference"),
            Metric("sst2_start_seconds"),
            Metric("agnews_start_seconds"),
        ],
        parser,
        prepare=prepare,
        quick={"sst2": 128, "agnews": 64},
    )
