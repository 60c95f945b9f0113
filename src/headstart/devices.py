"""What the machine has, and how its cores are kept busy in bounded memory."""

import ctypes
import os
import platform
import re
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from functools import cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, TypeVar

from headstart.errors import MemoryLimitError, SettingsError

if TYPE_CHECKING:
    import torch

_DEVICE = re.compile(r"cpu|cuda(:\d{1,3})?")
_NO_MEMORY = re.compile("can't allocate memory|not enough memory|out of memory", re.IGNORECASE)

_NO_MORE = object()
_NOTING = Lock()
_TYPES: "list[torch.dtype]" = []  # the caller's, once for each that computes at present
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # their numbers in glibc's malloc.h
_KEPT = 1 << 30  # bytes
_LARGEST_REUSED = 32 << 20  # bytes; glibc takes no more
_STATISTICS = Path("/proc/stat")  # of Linux
_LOOKS, _APART = 3, 0.005  # seconds


def _after_fork() -> None:
    """Compute on one thread: a forked child would wait for ever for those that the parent has."""
    if set_num_threads := getattr(sys.modules.get("torch"), "set_num_threads", None):
        set_num_threads(1)


os.register_at_fork(after_in_child=_after_fork)


def available_cores() -> int:
    """Return the number of cores this process may use, at least 1."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def check_threads(threads: object) -> None:
    """Check a number of threads to compute with; None is all cores.

    Raises:
        SettingsError: It is no number of threads.
    """
    if threads is None:
        return
    if type(threads) is not int:
        raise SettingsError(f"threads must be a whole number, got {threads!r}")
    if threads < 1:
        raise SettingsError(f"threads must be 1 or more, got {threads}")


def others_compute() -> bool:
    """Say whether other processes compute at present; False where the system does not tell."""
    for look in range(_LOOKS):
        if look:
            time.sleep(_APART)
        try:
            running = re.search(r"^procs_running (\d+)$", _STATISTICS.read_text(), re.MULTILINE)
        except OSError:
            return False
        if running is None or int(running[1]) < 2:  # this one is at work itself
            return False
    return True


def asleep_while_waiting() -> dict[str, str]:
    """Return the environment in which OpenMP's threads sleep while they wait for one another.

    They spin instead, which is sooner by a tenth on cores of their own. But on one that another
    process uses, too, a thread that spins spends its share of it, and when its turn comes, has to
    wait for it: steps of small models take several times as long. Empty where the user says how
    threads wait.
    """
    if os.environ.keys() & {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"}:
        return {}
    return {"OMP_WAIT_POLICY": "PASSIVE"}


def compute_device(name: object) -> "torch.device":
    """Return the device of a name: `cpu`, `cuda` for a GPU, or `cuda:1` for the second one.

    Of several processes that `torchrun` started, each takes a GPU of its own for `cuda`, as far as
    there are enough.

    Raises:
        SettingsError: No device has the name, or this machine or this PyTorch has none such.

    Example:
        >>> compute_device("cpu")
        device(type='cpu')
    """
    import torch  # late: a second, which commands without a model do without

    if not isinstance(name, str | torch.device) or not _DEVICE.fullmatch(str(name)):
        raise SettingsError(f"device must be cpu, cuda or cuda:N, got {name!r:.40}")
    device = torch.device(name)
    if device.type == "cpu":
        return device
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not found:
        why = "sees no GPU:" if torch.version.cuda else "is for processors: install it for CUDA, or"
        raise SettingsError(f"device {str(name)!r}: PyTorch {torch.__version__} {why} use cpu")
    if device.index is None:
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) % found)
    if device.index >= found:
        raise SettingsError(f"device {str(name)!r}: there are {found} GPUs, from cuda:0 on")
    return device


@contextmanager
def torch_defaults() -> Iterator[None]:
    """Let torch make tensors as it does by itself, whatever the caller has set it to.

    That is in float32, on the CPU, and with gradients where they are asked for. Threads share one
    type of numbers: the first to begin notes the caller's, and the last to end sets it again.
    """
    import torch  # late, too

    with _NOTING:
        _TYPES.append(_TYPES[0] if _TYPES else torch.get_default_dtype())
        torch.set_default_dtype(torch.float32)
    try:
        cpu = torch.device("cpu")  # as a context it slows every call of torch's
        here = nullcontext() if torch.get_default_device() == cpu else cpu
        with here, torch.inference_mode(mode=False), torch.enable_grad():
            yield
    finally:
        with _NOTING:
            callers = _TYPES.pop()
            if not _TYPES:
                torch.set_default_dtype(callers)


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


def one_ahead(items: Iterator[_Item]) -> Iterator[_Item]:
    """Yield the items, making the next one in a thread meanwhile: a GPU need not wait for it."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, items, _NO_MORE)
        while (item := coming.result()) is not _NO_MORE:
            coming = pool.submit(next, items, _NO_MORE)
            yield item  # type: ignore[misc]


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
