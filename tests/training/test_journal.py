import json
import sys

import pytest

from headstart.errors import MissingExtraError
from headstart.training.journal import open_journal


def _lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def _write(path, steps, after=0, track=None):
    with open_journal(path, track=track, after=after) as journal:
        for step in steps:
            journal.write(step, "training", {"loss": 1.0 / step})
            if step % 2 == 0:
                journal.write(step, "validation", {"loss": 0.5, "perplexity": float("inf")})


def test_each_line_is_an_object_and_no_number_is_bare(tmp_path):
    _write(tmp_path / "log.jsonl", [1, 2])
    assert _lines(tmp_path / "log.jsonl") == [
        {"kind": "training", "step": 1, "loss": 1.0},
        {"kind": "training", "step": 2, "loss": 0.5},
        {"kind": "validation", "step": 2, "loss": 0.5, "perplexity": None},
    ]


def test_a_line_is_in_the_file_once_it_is_written(tmp_path):
    path = tmp_path / "log.jsonl"
    with open_journal(path, track=None, after=0) as journal:
        journal.write(1, "training", {"loss": 2.0})
        assert _lines(path) == [{"kind": "training", "step": 1, "loss": 2.0}]
        journal.sync()


@pytest.mark.parametrize("tail", ["", '{"kind": "training", "st', "rubbish\n", "[]\n", "\xff\n"])
def test_going_on_drops_what_comes_after(tmp_path, tail):
    path = tmp_path / "log.jsonl"
    _write(path, range(1, 7))
    with path.open("a", encoding="latin-1") as file:
        file.write(tail)
    _write(path, range(4, 9), after=3)
    again = tmp_path / "again.jsonl"
    _write(again, range(1, 9))
    assert path.read_text() == again.read_text()


def test_without_files_nothing_is_written(tmp_path):
    with open_journal(None, track=None, after=0) as journal:
        journal.write(1, "training", {"loss": 1.0})
        journal.sync()
    assert list(tmp_path.glob("**/*.jsonl")) == []


def test_tensorboard_gets_the_curves(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    _write(None, [1, 2, 3], track=tmp_path / "track")
    _write(None, [2, 3], after=1, track=tmp_path / "track")
    events = EventAccumulator(str(tmp_path / "track"))
    events.Reload()
    assert sorted(events.Tags()["scalars"]) == ["training/loss", "validation/loss"]
    assert [event.step for event in events.Scalars("training/loss")] == [1, 2, 3]


def test_without_tensorboard_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with (
        pytest.raises(MissingExtraError, match=r"pip install headstart\[track\]"),
        open_journal(None, track=tmp_path, after=0),
    ):
        raise AssertionError
