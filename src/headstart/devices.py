"""What the machine has, and how its cores are kept busy in bounded memory."""

import ctypes
import os
import platform
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import TypeVar

from headstart.errors import MemoryLimitError

_NO_MEMORY = re.compile("can't allocate memory|not enough memory|out of memory", re.IGNORECASE)

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # their numbers in glibc's malloc.h
_KEPT = 1 << 30  # bytes
_LARGEST_REUSED = 32 << 20  # bytes; glibc takes no more


def available_cores() -> int:
    """Return the number of cores this process may use, at least 1."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def memory_errors(stage: str, hint: str) -> Iterator[None]:
    """Turn the errors of memory that is not there into one that says when, and what to do."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:  # torch's allocator raises the latter
        if not is_out_of_memory(error) or isinstance(error, MemoryLimitError):
            raise
        raise MemoryLimitError(f"{stage}: not enough memory; {hint}") from error


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether an error is that of memory that is not there."""
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and bool(_NO_MEMORY.search(str(error)))
    )


def map_in_order(
    pool: ThreadPoolExecutor,
    ahead: int,
    function: Callable[[_Item], _Result],
    items: Iterable[_Item],
) -> Iterator[_Result]:
    """Map in parallel and in order, with at most `ahead` results waiting: memory stays bounded."""
    waiting: deque[Future[_Result]] = deque()
    for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


@cache
def reuse_freed_memory() -> None:
    """Let the C library keep the memory of freed tensors for the next ones, up to a gigabyte.

    As it comes, glibc returns what a step's tensors held to the kernel, which hands it out anew,
    cleared, page by page, to the one thread that asks, while the others wait: on two threads a
    twentieth of GPT's training step, a seventh of MiniLM's reading. Other C libraries are left as
    they are.
    """
    if platform.libc_ver()[0] == "glibc":
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_THRESHOLD, _LARGEST_REUSED)
        mallopt(_TRIM_THRESHOLD, _KEPT)
