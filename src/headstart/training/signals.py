"""What asks a run to stop: Ctrl-C, SIGTERM, and a terminal that closes.

The first one is noted, so that the step under way is finished and saved; the second acts as it
always does.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

Value = TypeVar("Value")

_NAMES = {"SIGINT": "Ctrl-C", "SIGTERM": "SIGTERM", "SIGHUP": "SIGHUP"}
SECOND = "the second signal"  # a note on the KeyboardInterrupt that it raises


class _Cut(BaseException):
    """A signal came while something was done that may be cut short."""


class Signals:
    """The signals that have come so far.

    Attributes:
        received: Their names, as messages give them.
    """

    def __init__(self) -> None:
        self.received: list[str] = []
        self._may_cut = False

    def note(self, name: str) -> None:
        """Take note of a signal, and end what may be cut short."""
        self.received.append(name)
        if self._may_cut:
            raise _Cut

    def unless_stopped(self, work: Callable[[], Value]) -> Value | None:
        """Do what may be cut short and return its result; None if a signal came before its end."""
        try:
            self._may_cut = True
            return None if self.received else work()
        except _Cut:
            return None
        finally:
            self._may_cut = False


@contextmanager
def noted_signals(*, active: bool = True) -> Iterator[Signals]:
    """Note the first signal while the block runs; the second acts as it would without the block.

    Only the main thread can do so; elsewhere, and unless `active`, no signal is noted. One that the
    process ignores, as under nohup, stays ignored.
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
