"""Cells of a comparison: one method, one label budget, one seed; run in parallel and cached.

Every finished cell is a file, so that a stopped comparison goes on where it was. Each process keeps
to one thread, so that the cores are shared out and never fought over.
"""

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

import numpy as np
import torch

from headstart import __version__
from headstart.compare.contestants import Contestant
from headstart.compare.statistics import degenerate
from headstart.data.labelled import Dataset
from headstart.data.splits import nested_subsets
from headstart.errors import FormatError, HeadstartError
from headstart.hub.bundle import Pretrained
from headstart.hub.store import load_encoder
from headstart.progress import Progress
from headstart.storage import fingerprint, read_json, write_json
from headstart.tasks.classification import macro_f1
from headstart.transfer.estimators import TextClassifier
from headstart.transfer.methods import as_plain, method_of

_CODE = 2  # raise it when the same cell would come out differently


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What all cells of a comparison have in common.

    Attributes:
        train: Labelled rows to draw from.
        test: The fixed test rows.
        data_print: The fingerprint of both.
        encoders: The folder of each encoder, by name.
        prints: The fingerprint of each encoder, by name.
        folder: Where finished cells are kept.
    """

    train: Dataset
    test: Dataset
    data_print: str
    encoders: dict[str, Path]
    prints: dict[str, str]
    folder: Path

    def path(self, contestant: Contestant, labels: int, seed: int) -> Path:
        """Return the cell's file: its name changes with everything that decides its result."""
        key = fingerprint(
            _CODE,
            __version__,
            as_plain(method_of(contestant.transfer)),
            self.prints.get(contestant.encoder),
            labels,
            seed,
            self.data_print,
        )
        return self.folder / f"{key}.json"


@dataclass(frozen=True)
class _Job:
    """A cell to run; or, with `save_to`, a model to fit to all the labels and keep."""

    contestant: Contestant
    labels: int
    seed: int
    save_to: Path | None = None


def run_cells(
    terms: Terms,
    contestants: Sequence[Contestant],
    *,
    budgets: Sequence[int],
    seeds: int,
    workers: int,
    progress: Progress,
) -> list[dict[str, Any]]:
    """Run every cell that is not finished yet, and return all; a failing cell ends the run."""
    jobs = [
        _Job(contestant, labels, seed)
        for labels in reversed(budgets)  # the longest first, so that no core waits at the end
        for seed in range(seeds)
        for contestant in contestants
    ]
    paths = {job: terms.path(job.contestant, job.labels, job.seed) for job in jobs}
    missing = [job for job in jobs if not _is_finished(paths[job])]
    if done := len(jobs) - len(missing):
        progress.note(f"{done} of {len(jobs)} cells were finished before and are kept")
    with progress.stage("comparing", len(jobs), "cells") as advance:
        advance(done)
        for _ in _in_processes(terms, missing, workers):
            advance(1)
    order = {contestant.name: at for at, contestant in enumerate(contestants)}
    cells = [read_json(path) for path in paths.values()]
    for job, cell in zip(jobs, cells, strict=True):
        cell["method"] = job.contestant.name  # the same cell may have had another name before
    return sorted(cells, key=lambda cell: (order[cell["method"]], cell["labels"], cell["seed"]))


def fit_all(
    terms: Terms, models: dict[Path, Contestant], *, workers: int, progress: Progress
) -> None:
    """Fit each contestant to all training labels and save it as a model folder."""
    jobs = [_Job(one, len(terms.train), 0, folder) for folder, one in models.items()]
    with progress.stage("fitting to all labels", len(jobs), "models") as advance:
        for _ in _in_processes(terms, jobs, workers):
            advance(1)


def _is_finished(path: Path) -> bool:
    try:
        return "correct" in read_json(path)
    except FormatError:
        return False


def _in_processes(terms: Terms, jobs: Sequence[_Job], workers: int) -> Iterator[None]:
    """Run the jobs in processes, yielding as each ends; each keeps its own result.

    No process has a job in waiting, so who stops the run waits for one job at the most.
    """
    resource_tracker.ensure_running()  # starting it would unblock interrupts
    waiting = iter(jobs)
    running: set[Future[None]] = set()
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, _start_worker, (terms,))
    try:
        while True:
            while len(running) < workers and (job := next(waiting, None)):
                with _one_thread_each(), _without_main(), _deaf_to_interrupts():  # one may start
                    running.add(pool.submit(_run_here, job))
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                future.result()
                yield
    except BrokenProcessPool:
        raise HeadstartError(
            "a process of the comparison was killed, perhaps for want of memory; run the same "
            "command again to go on, with fewer workers"
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Let processes that start meanwhile use one thread for their matrix products."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Start processes that never notice Ctrl-C: when to stop is the parent's to decide."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _without_main() -> Iterator[None]:
    """Start processes that do not run the caller's script again, so that it needs no guard."""
    main = sys.modules["__main__"].__dict__
    hidden: dict[str, Any] = {
        name: main.pop(name) for name in ("__file__", "__spec__") if name in main
    }
    main["__spec__"] = None
    try:
        yield
    finally:
        main.update(hidden)


_WORKER: dict[str, Terms] = {}  # what this process was started with


def _start_worker(terms: Terms) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to stop
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    _WORKER["terms"] = terms


def _end_with_parent() -> None:
    """End this process when its parent has ended, even by a kill: nobody waits for it any more."""
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
        os._exit(1)


@cache
def _encoder(folder: Path) -> Pretrained:
    return load_encoder(folder)


def _run_here(job: _Job) -> None:
    terms = _WORKER["terms"]
    name = job.contestant.encoder
    encoder = _encoder(terms.encoders[name]) if name else None
    try:
        if job.save_to is not None:
            classifier = TextClassifier(encoder, job.contestant.transfer, random_state=job.seed)
            classifier.fit(terms.train.texts, terms.train.labels)
            classifier.save(job.save_to, overwrite=True)
            return
        cell = run_cell(terms, job.contestant, encoder, labels=job.labels, seed=job.seed)
        write_json(terms.path(job.contestant, job.labels, job.seed), cell)
    except HeadstartError as error:
        where = f"{job.contestant.name} with {job.labels:,} labels, seed {job.seed}"
        raise type(error)(f"{where}: {error}") from None


def run_cell(
    terms: Terms, contestant: Contestant, encoder: Pretrained | None, *, labels: int, seed: int
) -> dict[str, Any]:
    """Fit one method to one label budget and test it; return the cell as plain values."""
    subset = nested_subsets(terms.train.labels, [labels], seed=seed)[labels]
    given = terms.train.select(subset)
    classifier = TextClassifier(encoder, contestant.transfer, random_state=seed)
    classifier.fit(given.texts, given.labels)
    started = time.perf_counter()
    predicted = classifier.predict(terms.test.texts)
    seconds = time.perf_counter() - started
    correct = predicted == np.array(terms.test.labels)
    report = classifier.fit_report_
    return {
        "method": contestant.name,
        "labels": labels,
        "seed": seed,
        "metric": "accuracy",
        "value": float(correct.mean()),
        "macro_f1": macro_f1(terms.test.labels, predicted),
        "validation": report["validation_accuracy"],
        "validation_loss": report["validation_loss"],
        "seconds": report["seconds"],
        "predictions_per_second": len(predicted) / seconds,
        "megabytes": classifier.megabytes,
        "correct": correct.astype(int).tolist(),
        "degenerate": degenerate(predicted.tolist(), terms.test.labels),
        "chosen": {name: report[name] for name in ("steps", "strength") if name in report},
        "truncated": report["truncated"],
        "proof": asdict(classifier.proof_) if classifier.proof_ else None,
    }
