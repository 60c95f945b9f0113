"""The machine's cores, devices and memory, and parallel work in bounded memory."""

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
_TYPES: "list[torch.dtype]" = []  # the caller's dtype, once per active `torch_defaults`
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # their values in glibc's malloc.h
_KEPT = 1 << 30  # bytes
_LARGEST_REUSED = 32 << 20  # bytes; the maximum that glibc accepts
_STATISTICS = Path("/proc/stat")  # Linux only
_LOOKS, _APART = 3, 0.005  # seconds


def _after_fork() -> None:
    """Compute on one thread: a forked child would wait forever for the parent's threads."""
    if set_num_threads := getattr(sys.modules.get("torch"), "set_num_threads", None):
        set_num_threads(1)


os.register_at_fork(after_in_child=_after_fork)


def available_cores() -> int:
    """Return the number of cores this process may use, at least 1."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def check_threads(threads: object) -> None:
    """Check a number of compute threads; None means all cores.

    Raises:
        SettingsError: It is not None or a whole number above 0.
    """
    if threads is None:
        return
    if type(threads) is not int:
        raise SettingsError(f"threads must be a whole number, got {threads!r}")
    if threads < 1:
        raise SettingsError(f"threads must be 1 or more, got {threads}")


def others_compute() -> bool:
    """Return whether other processes are computing now; False where the system cannot tell."""
    for look in range(_LOOKS):
        if look:
            time.sleep(_APART)
        try:
            running = re.search(r"^procs_running (\d+)$", _STATISTICS.read_text(), re.MULTILINE)
        except OSError:
            return False
        if running is None or int(running[1]) < 2:  # one of them is this process
            return False
    return True


def asleep_while_waiting() -> dict[str, str]:
    """Return the environment variables that make OpenMP's threads sleep while they wait.

    By default they spin, which is a tenth faster on idle cores. On a core shared with another
    process, a spinning thread uses up its time slice, then has to wait when its work arrives:
    steps of small models take several times as long. Empty if the user has already chosen how
    threads wait.
    """
    if os.environ.keys() & {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"}:
        return {}
    return {"OMP_WAIT_POLICY": "PASSIVE"}


def compute_device(name: object) -> "torch.device":
    """Return the device with this name: `cpu`, `cuda` for a GPU, or `cuda:1` for the second one.

    Under `torchrun`, `cuda` gives each process its own GPU; with more processes than GPUs, they
    share.

    Raises:
        SettingsError: The name is invalid, or this machine or this PyTorch build has no such
            device.

    Example:
        >>> compute_device("cpu")
        device(type='cpu')
    """
    import torch  # late: takes a second, and some commands need no model

    if not isinstance(name, str | torch.device) or not _DEVICE.fullmatch(str(name)):
        raise SettingsError(f"device must be cpu, cuda or cuda:N, got {name!r:.40}")
    device = torch.device(name)
    if device.type == "cpu":
        return device
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not found:
        why = "finds no GPU;" if torch.version.cuda else "is a CPU build; install a CUDA build, or"
        raise SettingsError(f"device {str(name)!r}: PyTorch {torch.__version__} {why} use cpu")
    if device.index is None:
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) % found)
    if device.index >= found:
        raise SettingsError(
            f"device {str(name)!r}: this machine has {found} GPU(s), numbered from cuda:0"
        )
    return device


@contextmanager
def torch_defaults() -> Iterator[None]:
    """Restore torch's own defaults for the block, whatever the caller has set.

    These are float32, the CPU, and gradients enabled. The default dtype is shared by all threads:
    the first block to begin saves the caller's, and the last to end restores it.
    """
    import torch  # late, as above

    with _NOTING:
        _TYPES.append(_TYPES[0] if _TYPES else torch.get_default_dtype())
        torch.set_default_dtype(torch.float32)
    try:
        cpu = torch.device("cpu")  # as a context manager it slows every torch call
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
    """Turn out-of-memory errors into a `MemoryLimitError` that names the stage and a remedy."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:  # torch's allocator raises the latter
        if not is_out_of_memory(error) or isinstance(error, MemoryLimitError):
            raise
        raise MemoryLimitError(f"{stage}: not enough memory; {hint}") from error


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that memory ran out."""
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and bool(_NO_MEMORY.search(str(error)))
    )


def map_in_order(
    pool: ThreadPoolExecutor,
    ahead: int,
    function: Callable[[_Item], _Result],
    items: Iterable[_Item],
) -> Iterator[_Result]:
    """Map in parallel, in order, with at most `ahead` results waiting, to bound memory."""
    waiting: deque[Future[_Result]] = deque()
    for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def one_ahead(items: Iterator[_Item]) -> Iterator[_Item]:
    """Yield the items while a thread prepares the next one, so that a GPU need not wait for it."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, items, _NO_MORE)
        while (item := coming.result()) is not _NO_MORE:
            coming = pool.submit(next, items, _NO_MORE)
            yield item  # type: ignore[misc]


@cache
def reuse_freed_memory() -> None:
    """Let the C library keep up to a gigabyte of freed tensor memory for reuse.

    By default, glibc returns the memory of a step's tensors to the kernel, which hands it out again
    zeroed, page by page, to the one thread that asks, while the others wait. On two threads this
    costs a twentieth of GPT's training step and a seventh of MiniLM's encoding time. Other C
    libraries are left as they are.
    """
    if platform.libc_ver()[0] == "glibc":
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_THRESHOLD, _LARGEST_REUSED)
        mallopt(_TRIM_THRESHOLD, _KEPT)
