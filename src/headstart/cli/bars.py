"""Progress bars with throughput and time left, on standard error, and only on a terminal."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from headstart.cli.terminal import one_line, tell
from headstart.progress import Advance

_WORTH_A_LINE_SECONDS = 1.0


class Bars:
    """The `Progress` of the commands: a bar while a stage is open, then a line if it was long."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        self._bars: Progress | None = None

    @contextmanager
    def stage(
        self, description: str, total: float | None = None, unit: str = ""
    ) -> Iterator[Advance]:
        if not self._console.is_terminal:
            yield lambda _amount: None
            return
        outermost = self._bars is None
        bars = self._bars = self._bars or self._started()
        task = bars.add_task(one_line(description), total=total, unit=unit)
        done, start = 0.0, time.monotonic()

        def advance(amount: float) -> None:
            nonlocal done
            done += amount
            bars.advance(task, amount)

        try:
            yield advance
        finally:
            bars.remove_task(task)
            if outermost:
                self._bars = None
                with suppress(OSError):  # the terminal is gone, as the stage's own error says
                    bars.stop()
        seconds = time.monotonic() - start
        if seconds >= _WORTH_A_LINE_SECONDS:
            rate = f", {short(done / seconds)} {unit}/s" if done and unit else ""
            self.note(f"{description}: {seconds:.0f} s{rate}")

    def note(self, message: str) -> None:
        if self._bars is None:
            tell(message)
        else:
            self._bars.console.print(Text(one_line(message)))

    def _started(self) -> Progress:
        bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            _Throughput(),
            TimeRemainingColumn(compact=True),
            console=self._console,
            transient=True,
        )
        bars.start()
        return bars


class _Throughput(ProgressColumn):
    """Amount done, total, and rate."""

    def render(self, task: Task) -> Text:
        unit = task.fields["unit"]
        if not unit:
            return Text(f"{task.percentage:.0f}%" if task.total else "")
        share = f" of {short(task.total)}" if task.total else ""
        rate = f", {short(task.speed)}/s" if task.speed else ""
        return Text(f"{short(task.completed)}{share} {unit}{rate}")


def short(number: float) -> str:
    """Return a positive number in at most five characters: `7.5`, `940`, `12.5k`, `3M`."""
    scaled, sign = next(
        (
            (number / size, sign)
            for size, sign in ((1e9, "G"), (1e6, "M"), (1e3, "k"))
            if number >= size
        ),
        (number, ""),
    )
    return f"{scaled:.{0 if scaled >= 100 else 1}f}".removesuffix(".0") + sign
