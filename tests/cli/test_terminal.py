"""What is printed is what was found: nothing steers the terminal, nothing is cut."""

import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.cli.terminal import (
    one_line,
    print_json,
    print_table,
    printable,
    say,
    shown_label,
    tell,
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J", r"\x1b[2J"),
        ("a\tb\r\n", r"a\tb\r\n"),
        ("\x9b1m", r"\x9b1m"),
        ("safe\u202efdp.exe", r"safe\u202efdp.exe"),
        ("\u2028", r"\u2028"),
        ("\ud800", r"\ud800"),
        ("naïve ☕ 日本 👩‍🚀", "naïve ☕ 日本 👩‍🚀"),
    ],
)
def test_what_steers_a_terminal_is_shown_as_an_escape(text, shown):
    assert printable(text) == shown


@settings(deadline=None)
@given(st.text())
def test_a_message_is_one_printable_line(text):
    line = one_line(text)
    assert len(line.splitlines()) <= 1
    assert printable(line) == line


def test_results_and_notes_go_apart(capsys):
    say("result")
    tell("a note\n  on two lines")
    assert capsys.readouterr() == ("result\n", "a note on two lines\n")


def test_a_table_shows_everything_and_obeys_nothing(capsys):
    print_table(
        [
            {"label": "[red]x[/red]", "rows": 1234, "share": 0.12345, "note": None},
            {"label": "\x1b[31m" + "long " * 60, "rows": 5, "share": 1.0, "note": ":smile:"},
        ]
    )
    head, first, second = capsys.readouterr().out.splitlines()
    assert head.split() == ["label", "rows", "share", "note"]
    assert first.split() == ["[red]x[/red]", "1,234", "0.123"]
    assert second.split() == [r"\x1b[31mlong", *["long"] * 59, "5", "1.000", ":smile:"]


def test_labels_that_differ_in_a_space_look_different():
    labels = ["sport", "sport ", "\xa0sport", "a b"]
    assert [*map(shown_label, labels)] == ["sport", "'sport '", r"'\xa0sport'", "a b"]


def test_a_table_of_no_rows_is_nothing(capsys):
    print_table([])
    assert capsys.readouterr().out == ""


STEERING = {"label": "\x1b[31m \ud800 \x7f \x9b2J \u202e 日本", "scores": [0.1, 1e-9], "none": None}


def test_json_reads_back_exactly(capsys):
    print_json(STEERING)
    out = capsys.readouterr().out
    assert "日本" in out
    assert out.replace("日本", "").isascii()
    assert printable(out.replace("\n", "")) == out.replace("\n", "")
    assert json.loads(out) == STEERING


def test_json_for_a_terminal_of_another_encoding(monkeypatch):
    file = io.TextIOWrapper(io.BytesIO(), "latin-1")
    monkeypatch.setattr("sys.stdout", file)
    print_json(STEERING)
    file.seek(0)
    out = file.read()
    assert out.isascii()
    assert json.loads(out) == STEERING


def test_json_has_no_numbers_that_are_none():
    with pytest.raises(ValueError, match="Out of range"):
        print_json({"loss": float("inf")})
