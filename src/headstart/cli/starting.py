"""Fast start-up for commands that take only seconds."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def lasting_imports() -> Iterator[None]:
    """Disable garbage collection while modules are imported, and exempt their objects from it.

    Otherwise the collector traverses the objects of torch's modules many times, and once more at
    exit, which is a fifth of the CPU time of a first prediction.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
