"""Progress bars with throughput and time left, in a terminal (on standard error) or a notebook."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from headstart.cli.terminal import one_line, tell
from headstart.progress import Advance

_WORTH_A_LINE_SECONDS = 1.0


class Bars:
    """A `Progress` for people: a bar while a stage is open, then a line if it took long; and notes.

    The commands use it, and any `progress` argument takes it, as in
    `headstart.compare("train.csv", progress=headstart.Bars())`. Bars are drawn in a terminal, and
    in a Jupyter notebook that has ipywidgets. Other notebooks show the lines and the notes,
    anything else only the notes.

    Args:
        console: Where to draw, if not on standard error.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        self._bars: Progress | None = None
        notebook = self._console.is_jupyter
        self._shows_lines = notebook or self._console.is_terminal
        self._draws = find_spec("ipywidgets") is not None if notebook else self._shows_lines

    @contextmanager
    def stage(
        self, description: str, total: float | None = None, unit: str = ""
    ) -> Iterator[Advance]:
        done, start = 0.0, time.monotonic()
        with self._bar(description, total, unit) as draw:

            def advance(amount: float) -> None:
                nonlocal done
                done += amount
                draw(amount)

            yield advance
        seconds = time.monotonic() - start
        if self._shows_lines and seconds >= _WORTH_A_LINE_SECONDS:
            rate = f", {short(done / seconds)} {unit}/s" if done and unit else ""
            self.note(f"{description}: {seconds:.0f} s{rate}")

    @contextmanager
    def _bar(self, description: str, total: float | None, unit: str) -> Iterator[Advance]:
        if not self._draws:
            yield lambda _amount: None
            return
        outermost = self._bars is None
        bars = self._bars = self._bars or self._started()
        task = bars.add_task(one_line(description), total=total, unit=unit)
        try:
            yield lambda amount: bars.advance(task, amount)
        finally:
            bars.remove_task(task)
            if outermost:
                self._bars = None
                with suppress(OSError):  # the terminal is gone, as the stage's own error says
                    bars.stop()

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
