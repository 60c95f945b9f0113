"""The fitting procedure of all neural models.

The number of steps is chosen by the loss on a validation set; then the model is retrained on all
labels for as many epochs, with a learning rate that decays to zero. What differs between kinds of
models is in their `Start`: for texts in `text_pipelines` and `whole_models`, for tagged sentences
in `tag_pipelines`, `tag_whole_models` and `tagging`.
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
    """Training constants that differ between kinds of models.

    Attributes:
        rise: Maps the number of steps to the number of warm-up steps.
        least_passes: Minimum number of epochs, however early the search finds its lowest loss. The
            decaying rate of the final run benefits from more epochs than the constant rate of the
            search.
        least_gain: By how much the loss must fall for the search to continue, in nats.
        jitter: Relative noise on the lengths by which examples are grouped into batches.
        seeds_steps: Whether to seed dropout at each step. Otherwise it continues the random stream
            that `fresh` seeded.
    """

    rise: Callable[[int], int]
    least_passes: int = LEAST_PASSES
    least_gain: float = LEAST_GAIN
    jitter: float = 0.0
    seeds_steps: bool = True


class Start(ABC, Generic[Job, Model, Found]):
    """What the training runs of one fit have in common: the search, and the final run.

    Attributes:
        task: The task.
        training: The training settings.
        rule: The training constants of this kind of model.
        lengths: Number of tokens of each example `[examples]`; batches group similar lengths.
        truncated: Number of truncated examples.
    """

    task: Job
    training: Training
    rule: Rule
    lengths: Rows
    truncated: int = 0

    @abstractmethod
    def fresh(self, rows: Rows) -> Model:
        """Return a model to train on these examples."""

    @abstractmethod
    def optimizer(self, model: Model) -> torch.optim.Optimizer:
        """Return the optimizer, with a learning rate for each part of the model."""

    @abstractmethod
    def loss(self, model: Model, rows: Rows) -> tuple[Tensor, Tensor]:
        """Return the loss of the examples in `rows` as `(sum, count)`."""

    @abstractmethod
    def validate(self, model: Model, held_out: Rows) -> Found:
        """Evaluate the model on held-out examples."""

    def before_step(self, model: Model, number: int) -> None:
        """Prepare a step; steps count from 1."""

    def finish(self, model: Model) -> None:
        """Undo changes to the model that were for training only."""

    def chosen(self, model: Model) -> dict[str, Any]:
        """Return what was chosen for the model in addition to the number of steps."""
        del model
        return {}

    @abstractmethod
    def fitted(self, model: Model) -> Any:  # noqa: ANN401 - a Fitted, or a FittedTagger
        """Return the trained model with everything it needs for prediction."""

    def proof_before(self, model: Model) -> Proof | None:
        """Return the proof of what an untrained model took from its encoder; None without one."""
        del model
        return None

    def proof_after(self, proof: Proof, model: Model) -> Proof:
        """Add to the proof how far training moved the encoder, if at all."""
        del model
        return proof


@contextmanager
def undisturbed(encoder: Pretrained | None) -> Iterator[None]:
    """Restore torch's global random state, and the encoder's training mode, on exit."""
    if encoder is None:
        with streams_restored(torch.device("cpu")):
            yield
        return
    with streams_restored(device_of(encoder.model)), evaluating(encoder.model):
        yield


def fit_neural(start: Start[Job, Model, Found], progress: Progress, *, of: str) -> Fit[Any, Found]:
    """Find the number of steps, and train on all examples.

    This uses torch's global random state, and so may creating a `Start`; see `undisturbed`.

    Args:
        start: What to train.
        progress: Receives progress updates.
        of: What the examples are called in progress updates.

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
    """Return the best number of steps for all examples, and the validation result."""
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
    """Train a model on the examples in `rows`, and yield the number of each step."""

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
