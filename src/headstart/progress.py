"""How long-running work reports progress: the library counts, the caller decides what to show.

Every function that can take more than a second has a `progress` argument, silent by default. The
commands pass `headstart.Bars()`, which draws progress bars with the time left.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

Advance = Callable[[float], None]


class Progress(Protocol):
    """The interface that receives progress."""

    def stage(
        self, description: str, total: float | None = None, unit: str = ""
    ) -> AbstractContextManager[Advance]:
        """Open a stage of `total` units (None: unknown) and yield the function that advances it."""
        ...

    def note(self, message: str) -> None:
        """Report one line, such as what was guessed, skipped or found in a cache."""
        ...


class _Silent:
    """A `Progress` that shows nothing."""

    @contextmanager
    def stage(
        self, description: str, total: float | None = None, unit: str = ""
    ) -> Iterator[Advance]:
        del description, total, unit
        yield lambda _amount: None

    def note(self, message: str) -> None:
        del message

    def __repr__(self) -> str:
        return "SILENT"


SILENT: Progress = _Silent()
