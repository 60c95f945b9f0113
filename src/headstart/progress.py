"""How long work reports on itself: the library counts, the caller decides what is shown.

Every function that can take over a second has a `progress` argument, silent by default; the
commands pass one that draws bars with the time left.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

Advance = Callable[[float], None]


class Progress(Protocol):
    """Where progress goes."""

    def stage(
        self, description: str, total: float | None = None, unit: str = ""
    ) -> AbstractContextManager[Advance]:
        """Open a stage of `total` units (None: unknown) and yield the function that advances it."""
        ...

    def note(self, message: str) -> None:
        """Say one line about what is going on: what was guessed, skipped or found in a cache."""
        ...


class _Silent:
    """Progress that nobody watches."""

    @contextmanager
    def stage(
        self, description: str, total: float | None = None, unit: str = ""
    ) -> Iterator[Advance]:
        del description, total, unit
        yield lambda _amount: None

    def note(self, message: str) -> None:
        del message


SILENT: Progress = _Silent()
