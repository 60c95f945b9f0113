"""Cells of a comparison (one method, one label budget, one seed), run in parallel and cached.

Every finished cell is a file, so a stopped comparison resumes where it was.
"""

import importlib
import math
import multiprocessing
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from functools import cache
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any, NamedTuple, Self

import torch

from headstart import __version__
from headstart.compare.contestants import Contestant
from headstart.compare.processes import end, for_new_processes, settle, start_tracker
from headstart.compare.reading import (
    MAX_TOKENS,
    Texts,
    reads_at_once,
    reads_frozen,
    remember,
    remember_pairs,
    seconds_a_text,
)
from headstart.compare.schedule import Job, Limits, Schedule, Spent
from headstart.compare.tasks import CLASSIFICATION, ComparedTask, Examples
from headstart.data.splits import nested_subsets
from headstart.errors import FormatError, HeadstartError
from headstart.hub.bundle import Pretrained
from headstart.hub.store import load_encoder
from headstart.progress import SILENT, Advance, Progress
from headstart.storage import fingerprint, read_json, write_json
from headstart.training.precision import has_fast_bf16
from headstart.transfer.estimators import TextClassifier
from headstart.transfer.features import quick_reading
from headstart.transfer.fitting import whole_model_width
from headstart.transfer.methods import Method, as_plain, method_of
from headstart.transfer.token_tagger import TokenTagger

_CODE = 11  # increase it when the same cell would give another result
_IMPORTED_LATE = (  # imported at the start, or the first cell of each process seems seconds slower
    "sklearn.feature_extraction.text",
    "sklearn.linear_model",
    "sklearn.metrics",
)
_TIMED_TEXTS = 32  # that an encoder encodes again to measure its speed


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What all cells of a comparison share.

    Attributes:
        task: The task of the comparison.
        train: The labeled rows to draw from.
        test: The fixed test rows.
        data_print: The fingerprint of both.
        encoders: The folder of each encoder, by name.
        prints: The `identity` of each encoder, by name.
        folder: Where finished cells are saved.
        widths: The width of each encoder that replaces the whole model, by name.
        in_context: The encoders that replace the embedding layer and encode words in context.
        states: The file with each encoder's states of all texts, if some method needs them.
        pair_states: The same for states of pairs whose two texts are encoded together.
    """

    task: ComparedTask = CLASSIFICATION
    train: Examples
    test: Examples
    data_print: str
    encoders: dict[str, Path]
    prints: dict[str, str]
    folder: Path
    widths: Mapping[str, int | None] = field(default_factory=dict)
    in_context: frozenset[str] = frozenset()
    states: Mapping[str, Path] = field(default_factory=dict)
    pair_states: Mapping[str, Path] = field(default_factory=dict)

    def method(self, contestant: Contestant) -> Method:
        """Return a contestant's method with every setting filled in."""
        return self.task.defaults(
            method_of(contestant.transfer),
            whole_model=self.widths.get(contestant.encoder),
            in_context=contestant.encoder in self.in_context,
        )

    def path(self, contestant: Contestant, labels: int, seed: int) -> Path:
        """Return the cell's file, whose name depends on everything that determines its result."""
        key = fingerprint(
            _CODE,
            __version__,
            as_plain(self.method(contestant)),
            dict(self.task.settings),
            MAX_TOKENS,
            self.prints.get(contestant.encoder),
            bool(self.widths.get(contestant.encoder)) and has_fast_bf16(torch.device("cpu")),
            labels,
            seed,
            self.data_print,
        )
        return self.folder / f"{key}.json"


class Model(NamedTuple):
    """A model to fit and save, unless its deadline comes first."""

    folder: Path
    contestant: Contestant
    labels: int
    deadline: float = math.inf  # in seconds as from `time.time`


class _Work(NamedTuple):
    """The work for a process: a cell or, with `save_to`, a model to fit and save."""

    job: Job
    deadline: float = math.inf
    save_to: Path | None = None
    threads: int = 1


class Processes:
    """The worker processes of a comparison, started when first needed and ended with it.

    Work is handed out one piece at a time. If the run is interrupted, busy processes are killed.

    Attributes:
        terms: What all processes share.
        workers: The maximum number of processes.
    """

    def __init__(self, terms: Terms, workers: int) -> None:
        self.terms, self.workers = terms, workers
        context = multiprocessing.get_context("spawn")
        start_tracker()
        self._pool = ProcessPoolExecutor(workers, context, _start_worker, (terms,))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            end(self._pool)  # running cells are lost; finished ones are on disk
        self._pool.shutdown(wait=True, cancel_futures=True)

    def do(
        self, work: Iterable[_Work], *, at_once: int | None = None
    ) -> Iterator[tuple[_Work, Spent | None]]:
        """Do the work and yield each part as it ends; each process saves its own result.

        Raises:
            HeadstartError: A process was killed.
        """
        resource_tracker.ensure_running()  # starting it would unblock interrupts
        waiting = iter(work)
        running: dict[Future[Spent | None], _Work] = {}
        try:
            while True:
                while len(running) < (at_once or self.workers) and (part := next(waiting, None)):
                    with for_new_processes():  # submitting may start one
                        running[self._pool.submit(_do, part)] = part
                if not running:
                    return
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    yield running.pop(future), future.result()
        except BrokenProcessPool:
            raise HeadstartError(
                "a process of the comparison was killed, perhaps because memory ran out; run the "
                "same command with fewer workers to resume"
            ) from None


def run_cells(
    processes: Processes,
    contestants: Sequence[Contestant],
    *,
    budgets: Sequence[int],
    seeds: int,
    progress: Progress,
    limits: Limits | None = None,
) -> tuple[list[dict[str, Any]], Schedule]:
    """Run every unfinished cell that there is time for; a failing cell ends the comparison.

    Returns:
        The cells, and the schedule, which records what was left out and how long cells take.
    """
    terms = processes.terms
    every = [
        Job(contestant, labels, seed)
        for contestant in contestants
        for labels in budgets
        for seed in range(seeds)
    ]
    known = {job: spent for job in every if (spent := _spent(terms.path(*job)))}
    schedule = Schedule(
        contestants,
        budgets,
        seeds,
        workers=processes.workers,
        limits=limits or Limits(),
        known=known,
    )
    if known:
        progress.note(f"already finished and reused: {len(known)} of {len(every)} cells")
    work = (_Work(job, schedule.deadline_of(job)) for job in schedule.jobs())
    with progress.stage("comparing", len(every), "cells") as advance:
        advance(len(known))
        for done, spent in processes.do(work):
            schedule.note(done.job, spent)
            advance(1)
    order = {contestant.name: at for at, contestant in enumerate(contestants)}
    cells = []
    for job in schedule.finished:
        cell = read_json(terms.path(*job))
        cells.append({**cell, "method": job.contestant.name})  # the saved name may differ
    cells.sort(key=lambda cell: (order[cell["method"]], cell["labels"], cell["seed"]))
    return cells, schedule


def fit_models(processes: Processes, models: Sequence[Model], *, progress: Progress) -> list[Model]:
    """Fit each model and save it as a model folder; return those that were fitted in time.

    Encoders that replace the whole model take longest. They are fitted first, one at a time, on
    all cores.
    """
    saved: set[Path | None] = set()
    widths = processes.terms.widths
    whole = [model for model in models if widths.get(model.contestant.encoder)]
    others = [model for model in models if model not in whole]
    with progress.stage("fitting the models to keep", len(models), "models") as advance:
        for group, at_once in ((whole, 1), (others, processes.workers)):
            work = [
                _Work(
                    Job(one.contestant, one.labels, 0),
                    one.deadline,
                    one.folder,
                    processes.workers // at_once,
                )
                for one in group
            ]
            for done, spent in processes.do(work, at_once=at_once) if work else ():
                advance(1)
                if spent is not None:
                    saved.add(done.save_to)
    return [model for model in models if model.folder in saved]


def _spent(path: Path) -> Spent | None:
    """Return the time a finished cell took, or None if it is not finished."""
    try:
        cell = read_json(path)
        return Spent(*map(float, cell["spent"])) if "correct" in cell else None
    except (FormatError, KeyError, TypeError, ValueError):
        return None


_WORKER: dict[str, Terms] = {}  # filled when this process starts


def _start_worker(terms: Terms) -> None:
    settle()
    _WORKER["terms"] = terms
    if not terms.task.by_word:  # taggers do not need these modules
        for module in _IMPORTED_LATE:
            importlib.import_module(module)


@cache
def _encoder(name: str) -> Pretrained:
    terms = _WORKER["terms"]
    encoder = load_encoder(terms.encoders[name])
    if name in terms.states:
        remember(encoder, _texts(), terms.states[name])
    if name in terms.pair_states:
        remember_pairs(encoder, _texts(), terms.pair_states[name])
    return encoder


@cache
def _texts() -> Texts:
    terms = _WORKER["terms"]
    return Texts.of(terms.train, terms.test, symmetric=terms.task.pairs == "symmetric")


class _OutOfTime(Exception):
    """A cell's time is up."""


class _Until:
    """Progress that stops the work when its time is up."""

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline

    @contextmanager
    def stage(
        self, description: str, total: float | None = None, unit: str = ""
    ) -> Iterator[Advance]:
        del description, total, unit

        def advance(amount: float) -> None:
            del amount
            if time.time() > self._deadline:
                raise _OutOfTime

        yield advance

    def note(self, message: str) -> None:
        del message


def _do(work: _Work) -> Spent | None:
    terms, (contestant, labels, seed) = _WORKER["terms"], work.job
    encoder = _encoder(contestant.encoder) if contestant.encoder else None
    progress = SILENT if math.isinf(work.deadline) else _Until(work.deadline)
    try:
        if work.save_to is None:
            cell = run_cell(terms, contestant, encoder, labels=labels, seed=seed, progress=progress)
            write_json(terms.path(*work.job), cell)
            return Spent(*cell["spent"])
        started = time.perf_counter()
        torch.set_num_threads(work.threads)
        given = _given(terms, labels, seed)
        model = _estimator(terms.task, contestant, encoder, seed)
        model.fit(given.texts, given.labels, progress=progress)
    except _OutOfTime:
        return None
    except HeadstartError as error:
        where = f"{contestant.name} with {labels:,} labels, seed {seed}"
        raise type(error)(f"{where}: {error}") from None
    model.save(work.save_to, overwrite=True)
    return Spent(time.perf_counter() - started, 0.0)


def _given(terms: Terms, labels: int, seed: int) -> Examples:
    """Return the labeled rows of a budget: all of them, or a stratified sample."""
    if labels == len(terms.train):
        return terms.train
    return _subset(terms, labels, seed)


def _subset(terms: Terms, labels: int, seed: int) -> Examples:
    strata = terms.task.strata(terms.train)
    return terms.train.select(nested_subsets(strata, [labels], seed=seed)[labels])


def _estimator(
    task: ComparedTask, contestant: Contestant, encoder: Pretrained | None, seed: int
) -> TextClassifier | TokenTagger:
    return task.estimator(
        encoder, contestant.transfer, max_tokens=MAX_TOKENS, random_state=seed, **task.settings
    )


def run_cell(
    terms: Terms,
    contestant: Contestant,
    encoder: Pretrained | None,
    *,
    labels: int,
    seed: int,
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """Fit one method to one label budget and test it; return the cell as plain values.

    A whole model predicts in bfloat16 if the machine is faster with it. If the encoder's states
    were precomputed, the time to encode the texts is measured and added.
    """
    started = time.perf_counter()
    given = _subset(terms, labels, seed)
    model = _estimator(terms.task, contestant, encoder, seed)
    model.fit(given.texts, given.labels, progress=progress)
    fitted = time.perf_counter()
    with quick_reading() if whole_model_width(encoder) else nullcontext():
        predicted = model.predict(terms.test.texts)
    seconds = time.perf_counter() - fitted
    report = model.fit_report_
    reading = _reading(terms, contestant, encoder)
    if not contestant.trains_encoder:
        seconds += reading * len(predicted)
    return {
        "method": contestant.name,
        "labels": labels,
        "seed": seed,
        "metric": terms.task.metric,
        **terms.task.score(terms.test.labels, predicted).as_cell(),
        "validation": report[terms.task.validation],
        "validation_loss": report["validation_loss"],
        "calibration_error": report.get("validation_calibration_error"),
        "seconds": report["seconds"] + reading * labels,
        "predictions_per_second": len(predicted) / seconds,
        "megabytes": model.megabytes,
        "chosen": {name: report[name] for name in _CHOSEN if name in report},
        "truncated": report.get("truncated", 0),  # taggers encode long sentences in windows
        "proof": asdict(model.proof_) if model.proof_ else None,
        "spent": [fitted - started, time.perf_counter() - fitted],
    }


def _reading(terms: Terms, contestant: Contestant, encoder: Pretrained | None) -> float:
    """Return the seconds per example that precomputed encoder states saved."""
    at_once = terms.task.pairs is not None and reads_at_once(contestant, encoder)
    files = terms.pair_states if at_once else terms.states
    known = contestant.encoder in files and reads_frozen(
        contestant, encoder, by_word=terms.task.by_word
    )
    return _seconds_a_text(encoder, terms) if known and encoder else 0.0


_CHOSEN = ("steps", "strength", "layer_weights", "output_layer_weights")
_SPEEDS: dict[str, float] = {}  # seconds per text, by encoder fingerprint, in this process


def _seconds_a_text(encoder: Pretrained, terms: Terms) -> float:
    if encoder.fingerprint not in _SPEEDS:
        some = terms.test.as_texts().texts[:_TIMED_TEXTS]
        _SPEEDS[encoder.fingerprint] = seconds_a_text(encoder, some)
    return _SPEEDS[encoder.fingerprint]
