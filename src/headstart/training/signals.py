"""Signals that ask a run to stop: Ctrl-C, SIGTERM, and a closing terminal.

The first signal is recorded, so that the current step is finished and saved. The second one acts as
usual.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

Value = TypeVar("Value")

_NAMES = {"SIGINT": "Ctrl-C", "SIGTERM": "SIGTERM", "SIGHUP": "SIGHUP"}
SECOND = "the second signal"  # a note on the KeyboardInterrupt it raises


class _Cut(BaseException):
    """A signal was received during interruptible work."""


class Signals:
    """The signals received so far.

    Attributes:
        received: Their names, as shown in messages.
    """

    def __init__(self) -> None:
        self.received: list[str] = []
        self._may_cut = False

    def note(self, name: str) -> None:
        """Record a signal, and stop interruptible work."""
        self.received.append(name)
        if self._may_cut:
            raise _Cut

    def unless_stopped(self, work: Callable[[], Value]) -> Value | None:
        """Run interruptible work and return its result; None if a signal stopped it."""
        try:
            self._may_cut = True
            return None if self.received else work()
        except _Cut:
            return None
        finally:
            self._may_cut = False


@contextmanager
def noted_signals(*, active: bool = True) -> Iterator[Signals]:
    """Record the first signal in this block; the second acts as it would outside the block.

    Only the main thread can do this; in other threads, or unless `active`, no signal is recorded. A
    signal that the process ignores, as under nohup, stays ignored.
    """
    signals = Signals()
    before: dict[int, Any] = {}

    def note(number: int, frame: FrameType | None) -> None:
        del frame
        for each, handler in before.items():
            signal.signal(each, handler)
        signals.note(_NAMES[signal.Signals(number).name])

    if active and threading.current_thread() is threading.main_thread():
        for name in _NAMES:
            number = getattr(signal, name)
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                before[number] = signal.signal(number, note)
    try:
        yield signals
    except KeyboardInterrupt as stop:
        if signals.received:
            stop.add_note(SECOND)
        raise
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
