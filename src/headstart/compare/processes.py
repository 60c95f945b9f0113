"""Processes for cells: of one thread each, deaf to Ctrl-C, and gone when their parent is.

With a thread for each process the cores are shared out, and never fought over; where one is given
several, those that wait sleep.
"""

import atexit
import gc
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import resource_tracker
from typing import Any

import torch

from headstart.devices import asleep_while_waiting

_PATIENCE_SECONDS = 0.5


@contextmanager
def for_new_processes() -> Iterator[None]:
    """Start processes with one thread each, deaf to Ctrl-C."""
    asleep = _environment(asleep_while_waiting())
    with one_thread_each(), asleep, _without_main(), _deaf_to_interrupts():
        yield


def start_tracker() -> None:
    """Start the process that clears up after all others, deaf to a terminal that closes as they."""
    with _deaf_to_interrupts():
        resource_tracker.ensure_running()


def settle() -> None:
    """Finish that setup inside a new process."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the parent decides when to stop
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    atexit.register(gc.freeze)  # or it ends half a second later, having looked through all of torch


def end(pool: ProcessPoolExecutor) -> None:
    """End the processes of a pool at once; those that are about to end may do so."""
    for process in list((pool._processes or {}).values()):
        process.join(_PATIENCE_SECONDS)
        process.kill()


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Let processes that start meanwhile use one thread for their matrix products."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")
    with _environment(dict.fromkeys(names, "1")):
        yield


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Let processes that start meanwhile have these in their environment."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
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
    """Start processes that never notice Ctrl-C: when to stop is the parent's to decide.

    Nor do they notice that their terminal closes.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})
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


def _end_with_parent() -> None:
    """End this process when its parent has ended, even by a kill: nobody waits for it any more."""
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
        os._exit(1)
