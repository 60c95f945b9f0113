"""Bars on a terminal, silence elsewhere, notes always."""

import errno
import io
import re
import time

import pytest
from rich.console import Console
from rich.progress import Progress

import headstart
from headstart.cli.bars import Bars, short


def terminal():
    return Console(file=io.StringIO(), force_terminal=True, width=100, color_system=None)


def shown(console):
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", console.file.getvalue())


def test_a_bar_says_how_much_of_what_and_how_fast():
    console = terminal()
    bars = Bars(console)
    with bars.stage("reading [bold]x[/bold]\x1b[2J", total=2000, unit="texts") as advance:
        advance(500)
        time.sleep(0.05)
        advance(500)
        bars._bars.refresh()
    assert r"reading [bold]x[/bold]\x1b[2J" in shown(console)
    assert "1k of 2k texts" in shown(console)
    assert "k/s" in shown(console)


def test_stages_nest_and_notes_stand_above_them():
    console = terminal()
    bars = Bars(console)
    with bars.stage("outer", total=1), bars.stage("inner", unit="words") as advance:
        advance(3)
        bars.note("found [x] in the cache")
    assert "found [x] in the cache\n" in shown(console).replace("\r", "")
    assert bars._bars is None


def test_a_terminal_that_is_gone_hides_nothing_that_stops_a_stage():
    class Gone(io.StringIO):
        def write(self, text):
            if gone:
                raise OSError(errno.EIO, "Input/output error")
            return super().write(text)

    gone = False
    bars = Bars(Console(file=Gone(), force_terminal=True, width=100, color_system=None))
    stop = KeyboardInterrupt()
    stage = bars.stage("reading")
    stage.__enter__()
    gone = True
    assert not stage.__exit__(KeyboardInterrupt, stop, None)


def test_a_long_stage_leaves_a_line(monkeypatch):
    clock = iter([100.0, 112.5])
    monkeypatch.setattr("headstart.cli.bars.time.monotonic", lambda: next(clock, 112.5))
    console = terminal()
    lines = []
    bars = Bars(console)
    bars.note = lines.append
    with bars.stage("counting", unit="pairs") as advance:
        advance(25_000)
    assert lines == ["counting: 12 s, 2k pairs/s"]


def test_an_error_closes_the_bars():
    bars = Bars(terminal())
    with pytest.raises(ZeroDivisionError), bars.stage("dividing"):
        _ = 1 / 0
    assert bars._bars is None


def test_only_notes_where_nobody_watches(capsys):
    bars = Bars()
    with bars.stage("counting", total=10, unit="pairs") as advance:
        advance(10)
    bars.note("took column 'body' as the text")
    assert capsys.readouterr() == ("", "took column 'body' as the text\n")


@pytest.mark.parametrize("widgets", [False, True])
def test_a_notebook_shows_bars_if_it_can_and_lines_always(monkeypatch, widgets):
    found = {"ipywidgets": widgets or None}
    monkeypatch.setattr("headstart.cli.bars.find_spec", found.get)
    clock = iter([100.0, 112.5])
    monkeypatch.setattr("headstart.cli.bars.time.monotonic", lambda: next(clock, 112.5))
    drawn, lines = [], []
    bars = Bars(Console(file=io.StringIO(), force_jupyter=True))
    bars.note = lines.append
    monkeypatch.setattr(bars, "_started", lambda: drawn.append(1) or Progress(disable=True))
    with bars.stage("counting", unit="pairs") as advance:
        advance(25_000)
    assert lines == ["counting: 12 s, 2k pairs/s"]
    assert bool(drawn) == widgets


def test_every_call_takes_them(capsys):
    texts = ["a goal by the team", "profit fell again"] * 20
    bars = headstart.Bars()
    headstart.TextClassifier(transfer="tfidf").fit(texts, ["b", "c"] * 20, progress=bars)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (0.25, "0.2"),
        (7.5, "7.5"),
        (94, "94"),
        (940, "940"),
        (999.9, "1000"),
        (1000, "1k"),
        (12_500, "12.5k"),
        (999_999, "1000k"),
        (3e6, "3M"),
        (4.56e9, "4.6G"),
    ],
)
def test_short(number, text):
    assert short(number) == text
