"""How every neural model is fitted to labels, whatever it is made of.

A validation part of the labels finds the number of steps, by the loss; then the model is trained
anew on all of them, for as many passes, with a rate that falls to zero. What a kind of model starts
from, is trained by and becomes is its `Start`: of texts in `text_pipelines` and `whole_models`, of
tagged sentences in `tag_pipelines`, `tag_whole_models` and `tagging`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from headstart.hub.bundle import Pretrained
from headstart.hub.proof import Proof
from headstart.models.interface import device_of, evaluating
from headstart.progress import Progress
from headstart.tokenize.batches import Rows, endless_batches
from headstart.training.loop import streams_restored, train
from headstart.training.schedules import warm_up, warm_up_then_decay
from headstart.transfer.methods import Training
from headstart.transfer.stopping import (
    LEAST_GAIN,
    LEAST_PASSES,
    HasLoss,
    least_passes,
    search_steps,
    steps_between_looks,
)
from headstart.transfer.tag_task import TagTask
from headstart.transfer.task import Fit, Task

Job = TypeVar("Job", Task, TagTask)
Model = TypeVar("Model", bound=nn.Module)
Found = TypeVar("Found", bound=HasLoss)


@dataclass(frozen=True, kw_only=True)
class Rule:
    """In what the training of one kind of model differs from that of others.

    Attributes:
        rise: For how many of so many steps the learning rate rises.
        least_passes: Over the examples, however soon the search finds its lowest loss: the final
            run's falling rate profits from more passes than the search's constant one.
        least_gain: What the loss must fall by for the search to go on, in nats.
        jitter: Share by which lengths are changed as examples are dealt into batches.
        seeds_steps: Whether dropout is seeded at each step; if not, it draws on from what `fresh`
            seeded.
    """

    rise: Callable[[int], int]
    least_passes: int = LEAST_PASSES
    least_gain: float = LEAST_GAIN
    jitter: float = 0.0
    seeds_steps: bool = True


class Start(ABC, Generic[Job, Model, Found]):
    """What every training of one fit starts from.

    Attributes:
        task: What is learnt.
        training: How.
        rule: How in particular.
        lengths: Tokens of each example as it is read `[examples]`; batches are of similar ones.
        truncated: How many examples were cut to be read.
    """

    task: Job
    training: Training
    rule: Rule
    lengths: Rows
    truncated: int = 0

    @abstractmethod
    def fresh(self, rows: Rows) -> Model:
        """Return the model before training on these examples."""

    @abstractmethod
    def optimizer(self, model: Model) -> torch.optim.Optimizer:
        """Return what trains it, each part with its rate."""

    @abstractmethod
    def loss(self, model: Model, rows: Rows) -> tuple[Tensor, Tensor]:
        """Return the loss of some examples as `(sum, count)`."""

    @abstractmethod
    def validate(self, model: Model, held_out: Rows) -> Found:
        """Return what the model says of examples that it is not trained on."""

    def before_step(self, model: Model, number: int) -> None:
        """Prepare a step, counted from 1."""

    def finish(self, model: Model) -> None:
        """Undo what was for training only."""

    def chosen(self, model: Model) -> dict[str, Any]:
        """Return what a trained model settled on, beside the number of steps."""
        del model
        return {}

    @abstractmethod
    def fitted(self, model: Model) -> Any:  # noqa: ANN401 - a Fitted, or a FittedTagger
        """Return the trained model with all it needs to read texts."""

    def proof_before(self, model: Model) -> Proof | None:
        """Say what a model that is not trained yet owes to its encoder; None if it has none."""
        del model
        return None

    def proof_after(self, proof: Proof, model: Model) -> Proof:
        """Say how far training moved the encoder, or that it did not."""
        del model
        return proof


@contextmanager
def undisturbed(encoder: Pretrained | None) -> Iterator[None]:
    """Give torch's global streams, and an encoder's mode, back as they were."""
    if encoder is None:
        with streams_restored(torch.device("cpu")):
            yield
        return
    with streams_restored(device_of(encoder.model)), evaluating(encoder.model):
        yield


def fit_neural(start: Start[Job, Model, Found], progress: Progress, *, of: str) -> Fit[Any, Found]:
    """Find the number of steps, and train on all examples.

    It draws from torch's global stream, as making a start may: see `undisturbed`.

    Args:
        start: What is trained.
        progress: Where progress goes.
        of: What the examples are called there.

    Raises:
        TransferError: Nothing was transferred, or a frozen part changed.
        NonFiniteError: Training diverged.
    """
    num_steps, validation = _search(start, progress)
    everything = np.arange(len(start.task))
    model = start.fresh(everything)
    proof = start.proof_before(model)
    if proof is not None:
        proof.check()
    rise = start.rule.rise(num_steps)
    with progress.stage(f"fitting on all {of}", num_steps, "steps") as advance:
        for _ in train_steps(
            start,
            model,
            everything,
            num_steps,
            schedule=lambda step: warm_up_then_decay(step, num_steps, rise),
        ):
            advance(1)
    start.finish(model)
    if proof is not None:
        proof = start.proof_after(proof, model)
        proof.check()
    return Fit(
        model=start.fitted(model.eval()),
        validation=validation,
        chosen={"steps": num_steps, **start.chosen(model)},
        truncated=start.truncated,
        proof=proof,
    )


def _search(start: Start[Job, Model, Found], progress: Progress) -> tuple[int, Found]:
    """Return the best number of steps on all examples, and what was said of the held-out ones."""
    task, training = start.task, start.training
    rows, held_out = task.parts()
    model = start.fresh(rows)
    rise = start.rule.rise(training.min_steps)
    best_step, validation = search_steps(
        train_steps(
            start, model, rows, training.max_steps, schedule=lambda step: warm_up(step, rise)
        ),
        lambda: start.validate(model, held_out),
        training,
        every=steps_between_looks(training, len(rows)),
        least_gain=start.rule.least_gain,
        progress=progress,
    )
    found = round(best_step * len(task) / len(rows))
    least = least_passes(training, len(task), start.rule.least_passes)
    return max(training.min_steps, found, least), validation


def train_steps(
    start: Start[Job, Model, Found],
    model: Model,
    rows: Rows,
    steps: int,
    *,
    schedule: Callable[[int], float],
) -> Iterator[int]:
    """Train a model on some examples, yielding the number of each step."""

    def compute_loss(batch: Rows) -> tuple[Tensor, Tensor]:
        model.train()
        return start.loss(model, batch)

    optimizer = start.optimizer(model)
    batches = endless_batches(
        start.lengths[rows],
        batch_size=start.training.batch_size,
        seed=start.task.seed,
        jitter=start.rule.jitter,
    )
    limited = ([rows[next(batches)]] for _ in range(steps))
    start.before_step(model, 1)
    seed = start.task.seed if start.rule.seeds_steps else None
    for step in train(limited, compute_loss, optimizer, schedule=schedule, seed=seed):
        yield step.number
        start.before_step(model, step.number + 1)
