"""A pretraining run from its first step to its report.

It spends a budget, validates, saves checkpoints, and resumes after a stop. The order of data and
the dropped units are functions of the seed and the step, so only the step, the weights and the
optimizer's state need to be saved. With one process, the same number of threads and a budget
without minutes, a resumed run is bit-identical to an uninterrupted one.
"""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn

from headstart.budget import Budget
from headstart.devices import memory_errors, one_ahead
from headstart.errors import FormatError, InterruptedRunError, NonFiniteError, SettingsError
from headstart.progress import SILENT, Progress
from headstart.storage import folder_lock, free_bytes
from headstart.training import checkpoints
from headstart.training.array_runs import SAVE_MINUTES
from headstart.training.distributed import copy_from_first, from_first, rank_and_size, sum_numbers
from headstart.training.journal import Journal, open_journal
from headstart.training.loop import Guard, Step, streams_restored, train
from headstart.training.optimizers import OPTIMIZERS, OptimizerName, state_tensors
from headstart.training.precision import has_fast_bf16
from headstart.training.schedules import rise_and_fall
from headstart.training.signals import Signals, noted_signals

Batch = TypeVar("Batch")

_LOG = "log.jsonl"
_VALIDATIONS = 20  # per run, unless `validate_every` is set
_MOST_ASIDE = 0.1  # of a budget in minutes; above it, validations become rarer
_LESS_MEMORY = "close other programs, or choose a smaller --size"
_LAST_LOSSES = 100  # steps whose mean loss is reported as the training loss
_FEWEST_LOSSES = 50  # before a loss can count as a spike
_SPIKE = 6.0  # standard deviations above the mean of the losses before it
_NOT_THE_RUN = (
    *("validate_every", "save_every", "save_minutes", "keep", "track"),
    *("skip_bad_batches", "allow_drift"),  # a run that a bad batch stopped may resume and skip it
)


class Objective(Protocol[Batch]):
    """What a model is pretrained on."""

    def batches(self, first_step: int) -> Iterator[Sequence[Batch]]:
        """Yield this process's micro-batches of step `first_step`, the next one, .., endlessly.

        They are a function of the seed and the step alone.
        """
        ...

    def loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the loss of a micro-batch as `(sum, count)`."""
        ...

    def tokens(self, batch: Batch) -> int:
        """Return the number of tokens in a micro-batch, without padding."""
        ...

    def epochs(self, step: int) -> float:
        """Return how many epochs that many steps are."""
        ...

    def validate(self) -> dict[str, float] | None:
        """Return `loss`, `perplexity` and so on for held-out documents; None if there are none."""
        ...

    def validated_on(self) -> str | None:
        """Return what identifies the held-out text; None if there is none."""
        ...


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """Settings of a run.

    Attributes:
        budget: What it may spend; minutes are wall-clock time, including validation and saving.
        optimizer: `adamw`, or `muon` for the matrices of linear layers and AdamW for all else.
        learning_rate: The peak; it falls linearly to 0 at the end of the budget.
        weight_decay: The optimizer's weight decay of matrices.
        betas: AdamW's; the first is also Muon's momentum.
        warm_up: The share of the budget over which the learning rate rises to its peak.
        max_norm: Gradients are clipped to this norm.
        seed: Controls which units are dropped.
        bf16: Whether products are computed in bfloat16; None: if the device is fast at it.
        validate_every: Steps between validations; None: about 20 per run, and fewer if they would
            take over a tenth of its minutes.
        save_every: Steps between checkpoints, besides those of the best validations; None: unused.
        save_minutes: Minutes between checkpoints.
        skip_bad_batches: How many batches of the whole run are skipped because their loss or
            gradient is not finite, or their loss is far above the previous ones. After that, a
            batch that is not finite stops the run, and a batch with a high loss is trained on.
        allow_drift: Settings, such as `budget.steps` or `learning_rate`, that may differ from those
            of the run that is resumed; its report lists them.
        keep: Number of newest checkpoints to keep, besides the best.
        track: A folder for TensorBoard files; None: none.
    """

    budget: Budget
    optimizer: OptimizerName = "adamw"
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.98)
    warm_up: float = 0.06
    max_norm: float = 1.0
    seed: int = 0
    bf16: bool | None = None
    validate_every: int | None = None
    save_every: int | None = None
    save_minutes: float = SAVE_MINUTES
    skip_bad_batches: int = 0
    allow_drift: tuple[str, ...] = ()
    keep: int = 2
    track: Path | None = None

    def __post_init__(self) -> None:
        for name in ("learning_rate", "max_norm", "save_minutes"):
            if not 0 < getattr(self, name) < math.inf:
                raise SettingsError(f"{name} must be above 0, got {getattr(self, name)}")
        for name in ("warm_up", "weight_decay"):
            if not 0 <= getattr(self, name) < 1:
                raise SettingsError(f"{name} must be in [0, 1), got {getattr(self, name)}")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise SettingsError(f"betas must be in [0, 1), got {self.betas}")
        for name in ("validate_every", "save_every", "keep"):
            value = getattr(self, name)
            if value is not None and (type(value) is not int or value < 1):
                raise SettingsError(f"{name} must be a whole number above 0, got {value!r}")
        if type(self.skip_bad_batches) is not int or self.skip_bad_batches < 0:
            raise SettingsError(
                f"skip_bad_batches must be a whole number from 0, got {self.skip_bad_batches!r}"
            )


def run(
    model: nn.Module,
    objective: Objective[Batch],
    *,
    settings: RunSettings,
    folder: Path | None = None,
    identity: Mapping[str, Any] | None = None,
    progress: Progress = SILENT,
    description: str = "pretraining",
) -> dict[str, Any]:
    """Train `model` on `objective` until the budget is spent, and return a report.

    The model ends in evaluation mode, with the weights of its best validation. Under
    `distributed.process_group`, all processes call this; the first one writes files and progress.

    Args:
        model: Trained in place.
        objective: Provides the batches and their loss.
        settings: Budget, learning rate, and when to validate and save.
        folder: Where the log and the checkpoints go; a run found there is resumed. None: nothing is
            written.
        identity: What distinguishes this run from others with the same settings: sizes, corpus,
            tokenizer, objective; plain values.
        progress: Where progress goes.
        description: The label of the progress display.

    Raises:
        SettingsError: `folder` holds a run with other settings or another identity.
        FormatError: `folder` holds checkpoints, but none is intact, or they do not fit the model.
        LockedError: Another process is using `folder`.
        InterruptedRunError: SIGTERM or Ctrl-C was received; the same call resumes the run.
        MemoryLimitError: There is too little memory for a step, or to save.
        NonFiniteError: Training diverged; the last good checkpoint is in `folder`.
        MissingExtraError: `settings.track` is given and TensorBoard is not installed.
    """
    rank, _ = rank_and_size()
    if rank:
        progress, settings = SILENT, replace(settings, track=None)
    device = next(model.parameters()).device
    if settings.bf16 is None:
        settings = replace(settings, bf16=has_fast_bf16(device))
    with ExitStack() as stack:
        stack.enter_context(streams_restored(device))
        drift: list[dict[str, Any]] = []
        if folder is not None and rank == 0:
            stack.enter_context(folder_lock(folder, note=progress.note))
            same = {name: v for name, v in asdict(settings).items() if name not in _NOT_THE_RUN}
            about = {"identity": dict(identity or {}), "settings": same}
            drift = checkpoints.open_run(folder, about, allowed=settings.allow_drift)
        state = _Run(model, objective, settings, folder, progress)
        state.resume(drift)
        state.check_disk()
        log = None if folder is None or rank else folder / _LOG
        after = state.place.step
        journal = stack.enter_context(open_journal(log, track=settings.track, after=after))
        try:
            state.train(journal, description)
        except NonFiniteError as error:
            good = None if folder is None else state.saved_at
            kept = f"; the checkpoint of step {good:,} in {folder} is intact" if good else ""
            raise NonFiniteError(f"{error}{kept}") from None
        return state.finish()


@dataclass
class _Place:
    """The position of a run: what a checkpoint holds besides tensors.

    Attributes:
        step: Steps done.
        tokens: Tokens processed in them, by all processes.
        seconds: Wall-clock seconds so far.
        aside: Seconds of these that were spent on validating and saving.
        losses: Losses of the last steps.
        curve: Step and scores of every validation.
        validated_on: Identifies the text of the last validations, as the objective reports it.
        others: How many validations, the first ones, used other text and are not compared.
        to_validate: Whether the step's validation is still due because a signal interrupted it.
        skipped: Batches skipped for non-finite numbers or a loss spike.
        spikes: Step and loss of every loss spike.
        bit_exact: Whether every resume was with equal settings and machine, and without a GPU.
    """

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    aside: float = 0.0
    losses: list[float] = field(default_factory=list)
    curve: list[dict[str, float]] = field(default_factory=list)
    validated_on: str | None = None
    others: int = 0
    to_validate: bool = False
    skipped: int = 0
    spikes: list[dict[str, float]] = field(default_factory=list)
    bit_exact: bool = True

    @property
    def compared(self) -> list[dict[str, float]]:
        """The validations on the current text."""
        return self.curve[self.others :]

    @property
    def best(self) -> dict[str, float] | None:
        """The first of these validations with the lowest loss."""
        return min(self.compared, key=lambda scores: scores["loss"], default=None)


class _Run(Generic[Batch]):
    """A run in progress: its parts, its position, and what it does between steps."""

    def __init__(
        self,
        model: nn.Module,
        objective: Objective[Batch],
        settings: RunSettings,
        folder: Path | None,
        progress: Progress,
    ) -> None:
        self.model, self.objective, self.settings = model, objective, settings
        self.folder, self.progress = folder, progress
        self.rank, self.processes = rank_and_size()
        self.device_type = next(model.parameters()).device.type
        self.optimizer = OPTIMIZERS[settings.optimizer](
            model,
            learning_rate=settings.learning_rate,
            weight_decay=settings.weight_decay,
            betas=settings.betas,
        )
        self.place = _Place(validated_on=objective.validated_on())
        self.resumed_at = self.saved_at = 0
        self.drift: list[dict[str, Any]] = []
        self.best_weights: dict[str, Tensor] = {}  # for a run without a folder
        self.signals = Signals()
        self.step_tokens = 0  # of the current step, in this process
        self.start_clock()

    def start_clock(self) -> None:
        self.share = self.spent()  # may take a while, which no budget counts
        self.started = time.perf_counter() - self.place.seconds
        self.last_save = time.perf_counter()

    def seconds(self) -> float:
        return time.perf_counter() - self.started

    def spent(self) -> float:
        place = self.place
        return self.settings.budget.spent(
            epochs=self.objective.epochs(place.step),
            tokens=place.tokens,
            steps=place.step,
            seconds=place.seconds,
        )

    def resume(self, drift: list[dict[str, Any]]) -> None:
        """Resume from the newest intact checkpoint, if any; `drift` lists changed settings."""
        self.drift = from_first(drift)
        found = None
        if self.folder is not None and self.rank == 0:
            found = checkpoints.newest_checkpoint(self.folder, self.progress)
        found, now_on = from_first(found), self.place.validated_on
        if found is None:
            copy_from_first(list(checkpoints.model_tensors(self.model).values()))
            return
        weights = checkpoints.model_tensors(self.model)
        checkpoints.load_checkpoint(found, weights, self.optimizer)
        try:
            self.place = _Place(**found.state["place"])
            varies = self.device_type != "cpu"  # a GPU's sums vary from run to run
            self.place.bit_exact &= not (self.drift or varies)
            machine = dict(found.state["machine"])
        except (KeyError, TypeError, ValueError):
            raise FormatError(f"{found.folder / checkpoints.STATE}: invalid run state") from None
        self.resumed_at = self.saved_at = self.place.step
        self.start_clock()
        if self.share < 1.0 or self.place.to_validate:
            self.compare_with_alike(now_on)
        if self.share >= 1.0:
            self.progress.note(f"{self.folder}: budget already spent at step {self.saved_at:,}")
            return
        self.progress.note(f"{self.folder}: resuming after step {self.saved_at:,}")
        now = self.machine()
        changes = [f"{k}: {machine.get(k)} -> {now[k]}" for k in now if machine.get(k) != now[k]]
        if changes:
            self.place.bit_exact = False
            self.progress.note(
                f"weights will not be bit-identical to an uninterrupted run: {', '.join(changes)}"
            )

    def compare_with_alike(self, now_on: str | None) -> None:
        """Ignore earlier validations if later ones are on other text."""
        if self.place.validated_on not in (None, now_on):
            self.place.others = len(self.place.curve)
            self.progress.note(
                "the validation text has changed, and earlier steps may have trained on it: "
                "earlier validations do not count toward the best"
            )
        self.place.validated_on = now_on

    def check_disk(self) -> None:
        """Warn before the first step if checkpoints may not fit on the disk."""
        if self.folder is None or self.rank or self.share >= 1.0:
            return
        weights = checkpoints.num_bytes(checkpoints.model_tensors(self.model))
        needed, free = 3 * weights * (self.settings.keep + 2), free_bytes(self.folder)
        if needed > free:  # AdamW keeps two values per weight
            self.progress.note(
                f"{self.folder}: checkpoints may take {needed / 2**20:,.0f} MiB, but only "
                f"{free / 2**20:,.0f} MiB are free there"
            )

    def machine(self) -> dict[str, Any]:
        """Return what the last bits of sums depend on."""
        return {
            "torch": torch.__version__,
            "device": self.device_type,
            "threads": torch.get_num_threads(),
            "processes": self.processes,
        }

    def train(self, journal: Journal, description: str) -> None:
        """Train until the budget is spent, or a signal is received."""
        if self.place.to_validate:
            with noted_signals(active=self.folder is not None) as self.signals:
                self.model.train()
                self.validate(journal)
            if self.place.to_validate:
                raise InterruptedRunError(self.stopped_where())
        if self.share >= 1.0:
            return
        batches = self.objective.batches(self.place.step + 1)
        steps = train(
            batches if self.device_type == "cpu" else one_ahead(batches),
            self.loss,
            self.optimizer,
            schedule=self.rate_factor,
            max_norm=self.settings.max_norm,
            first_step=self.place.step + 1,
            seed=self.settings.seed,
            guard=Guard(odd=self.spike, skip=self.skip_bad),
        )
        self.model.train()
        with (
            self.progress.stage(description, 1.0) as advance,
            noted_signals(active=self.folder is not None) as self.signals,
        ):
            advance(self.share)
            before = replace(self.place), self.share
            while (step := self.next_step(steps)) is not None:
                self.note(step, before[0], journal)
                advance(min(1.0, self.share) - before[1])
                improved = self.validation_is_due(before[1]) and self.validate(journal)
                stopped = sum_numbers(len(self.signals.received)) != [0]
                if improved or stopped or self.share >= 1.0 or self.save_is_due():
                    self.save(journal)
                if stopped:
                    raise InterruptedRunError(self.stopped_where())
                if self.share >= 1.0:
                    break
                before = replace(self.place), self.share

    def next_step(self, steps: Iterator[Step]) -> Step | None:
        number = self.place.step + 1
        hint = "use smaller micro-batches (same result): --set rows_at_once=4 (or pairs_at_once)"
        with memory_errors(f"step {number:,}", hint):
            return next(steps, None)

    def stopped_where(self) -> str:
        by = self.signals.received[0] if self.signals.received else "a signal"
        return (
            f"stopped by {by} after step {self.place.step:,}, {min(1.0, self.share):.0%} of the "
            f"budget; rerun the same command or call to resume from {self.folder}"
        )

    def skip_bad(self, bad: str) -> bool:
        """Return whether to skip a bad batch, and count it if so."""
        most = self.settings.skip_bad_batches
        if self.place.skipped >= most:
            return False
        self.place.skipped += 1
        self.progress.note(f"{bad}; this batch is skipped, {self.place.skipped} of at most {most}")
        return True

    def spike(self, loss: float) -> str:
        """Return a description if a loss is far above the previous ones, else an empty string."""
        losses = self.place.losses
        if len(losses) < _FEWEST_LOSSES or loss <= (usual := fmean(losses)):
            return ""
        if loss <= usual + _SPIKE * pstdev(losses, usual):
            return ""
        return f"loss {loss:.4g} is far above the mean {usual:.4g} of the last {len(losses)} steps"

    def note(self, step: Step, before: _Place, journal: Journal) -> None:
        """Log a step."""
        place = self.place
        if step.odd and math.isfinite(step.loss + step.norm):
            place.spikes.append({"step": step.number, "loss": step.loss})
        if step.odd and not step.skipped:
            self.progress.note(f"step {step.number:,}: {step.odd}")
        if step.skipped:
            journal.write(step.number, "skipped", {"loss": step.loss, "norm": step.norm})
            return
        place.losses = [*place.losses[1 - _LAST_LOSSES :], step.loss]
        took = (place.seconds - place.aside) - (before.seconds - before.aside)
        values = {
            "loss": step.loss,
            "rate": step.rate,
            "norm": step.norm,
            "tokens": place.tokens,
            "tokens_per_second": (place.tokens - before.tokens) / max(took, 1e-9),
            "seconds": place.seconds,
        }
        journal.write(step.number, "training", values)

    def loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        self.step_tokens += self.objective.tokens(batch)
        with self.precision():
            return self.objective.loss(batch)

    def precision(self) -> torch.autocast:
        return torch.autocast(self.device_type, torch.bfloat16, enabled=bool(self.settings.bf16))

    def rate_factor(self, number: int) -> float:
        """Count the step, whose tokens are known by now, and return its learning rate factor.

        The factor is that of the middle of the step. All processes use the first one's clock.
        """
        clock = (self.seconds(), self.place.aside) if self.rank == 0 else (0.0, 0.0)
        tokens, seconds, aside = sum_numbers(self.step_tokens, *clock)
        self.step_tokens = 0
        self.place.step, self.place.tokens = number, self.place.tokens + int(tokens)
        self.place.seconds, self.place.aside = seconds, aside
        before, self.share = self.share, self.spent()
        return rise_and_fall((before + self.share) / 2, self.settings.warm_up)

    def validation_is_due(self, before: float) -> bool:
        if self.share >= 1.0:
            return True
        if self.settings.validate_every is not None:
            return self.place.step % self.settings.validate_every == 0
        in_time = self.settings.budget.minutes is not None
        if in_time and self.place.aside > _MOST_ASIDE * self.place.seconds:
            return False
        return int(_VALIDATIONS * self.share) > int(_VALIDATIONS * before)

    def validate(self, journal: Journal) -> bool:
        """Validate in the first process, and return whether the loss is the lowest so far."""
        started, scores = time.perf_counter(), None
        if self.rank == 0:
            self.model.eval()
            stage = f"validation after step {self.place.step:,}"
            with torch.no_grad(), self.precision(), memory_errors(stage, _LESS_MEMORY):
                scores = self.signals.unless_stopped(self.objective.validate)
            self.model.train()
        cut_short = scores is None and bool(self.signals.received)
        scores, self.place.to_validate = from_first((scores, cut_short))
        self.place.aside += time.perf_counter() - started
        if scores is None:
            return False
        step, lowest = self.place.step, self.place.best
        if not math.isfinite(scores["loss"]):
            raise NonFiniteError(
                f"validation after step {step}: loss {scores['loss']}; try a lower learning rate"
            )
        journal.write(step, "validation", scores)
        finite = {name: value for name, value in scores.items() if math.isfinite(value)}
        self.place.curve.append({"step": step, **finite})
        improved = lowest is None or scores["loss"] < lowest["loss"]
        if improved and self.folder is None:
            tensors = checkpoints.model_tensors(self.model)
            self.best_weights = {name: each.detach().clone() for name, each in tensors.items()}
        return improved

    def save_is_due(self) -> bool:
        every = self.settings.save_every
        waited = time.perf_counter() - self.last_save > 60.0 * self.settings.save_minutes
        return waited or (every is not None and self.place.step % every == 0)

    def save(self, journal: Journal) -> None:
        """Save a checkpoint if there is a folder; the weights must be finite."""
        started, step = time.perf_counter(), self.place.step
        for name, tensor in checkpoints.model_tensors(self.model).items():
            if not torch.isfinite(tensor).all():
                raise NonFiniteError(
                    f"step {step}: {name} is no longer finite; try a lower learning rate"
                )
        if self.rank == 0:  # the others keep its time as of the step
            self.place.seconds = self.seconds()
        if self.folder is None or self.rank:
            return
        journal.sync()
        with memory_errors("saving a checkpoint", _LESS_MEMORY):
            checkpoints.save_checkpoint(
                self.folder,
                step,
                files={
                    checkpoints.WEIGHTS: checkpoints.model_tensors(self.model),
                    checkpoints.OPTIMIZER: state_tensors(self.optimizer),
                },
                state={"place": asdict(self.place), "machine": self.machine()},
            )
        best = self.place.best
        checkpoints.prune_checkpoints(
            self.folder, keep=self.settings.keep, best=None if best is None else int(best["step"])
        )
        self.last_save, self.saved_at = time.perf_counter(), step
        self.place.aside += self.last_save - started

    def finish(self) -> dict[str, Any]:
        """Restore the weights of the best validation, and return the report."""
        place, best = self.place, self.place.best
        scores = place.compared[-1] if place.compared else None
        epochs = self.objective.epochs(place.step)
        if best is not None and best is not scores and self.restore(int(best["step"])):
            scores = best
        self.model.eval()
        return {
            "steps": place.step,
            "tokens": place.tokens,
            "epochs": round(epochs, 3),
            "tokens_per_epoch": round(place.tokens / epochs) if epochs else None,
            "training_seconds": place.seconds,
            "tokens_per_second": place.tokens / max(place.seconds - place.aside, 1e-9),
            "training_loss": sum(place.losses) / max(len(place.losses), 1),
            "validation": scores,
            "curve": place.curve,
            "best_step": int(scores["step"]) if scores else place.step,
            "resumed_at": self.resumed_at,
            "bf16": self.settings.bf16,
            "device": self.device_type,
            "processes": self.processes,
            "bit_exact": place.bit_exact,
            "drift": self.drift,
            "skipped_batches": place.skipped,
            "loss_spikes": place.spikes,
        }

    def restore(self, step: int) -> bool:
        """Restore the weights of a step, and return whether they still existed."""
        if self.folder is None:
            with torch.no_grad():
                for name, tensor in checkpoints.model_tensors(self.model).items():
                    tensor.copy_(self.best_weights[name])
            return True
        found = None
        if self.rank == 0:
            found = checkpoints.checkpoint_at(self.folder, step, self.progress)
        found = from_first(found)
        if found is not None:
            checkpoints.load_checkpoint(found, checkpoints.model_tensors(self.model))
        return found is not None
