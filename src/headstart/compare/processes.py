"""Worker processes for cells: single-threaded, immune to Ctrl-C, and ended with their parent.

With one thread per process, the cores are shared without contention. If a process is given several
threads, those that wait sleep.
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
    """Make processes that start meanwhile use one thread each and ignore Ctrl-C."""
    asleep = _environment(asleep_while_waiting())
    with one_thread_each(), asleep, _without_main(), _deaf_to_interrupts():
        yield


def start_tracker() -> None:
    """Start the process that cleans up after all others; it ignores the same signals as they do."""
    with _deaf_to_interrupts():
        resource_tracker.ensure_running()


def settle() -> None:
    """Finish the setup inside a new process."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the parent decides when to stop
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    atexit.register(gc.freeze)  # or exit takes half a second longer, to collect all of torch


def end(pool: ProcessPoolExecutor) -> None:
    """Kill the processes of a pool, after a short wait for those that are about to end."""
    for process in list((pool._processes or {}).values()):
        process.join(_PATIENCE_SECONDS)
        process.kill()


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Make processes that start meanwhile use one thread for matrix products."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")
    with _environment(dict.fromkeys(names, "1")):
        yield


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for processes that start meanwhile."""
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
    """Make processes that start meanwhile ignore Ctrl-C: the parent decides when to stop.

    They also ignore that their terminal closes.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _without_main() -> Iterator[None]:
    """Keep processes that start meanwhile from rerunning the caller's script; it needs no guard."""
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
    """End this process when its parent has ended, even if it was killed."""
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
        os._exit(1)
