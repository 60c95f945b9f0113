"""`headstart plan`: what is typed arrives, and the table says what it takes."""

import json

import pytest

from headstart.hub import planning
from headstart.hub.speed import Speed


@pytest.fixture
def timed(monkeypatch):
    """Let timing give these figures at once."""
    figures = {
        **{"tokens_per_second": 1000.0, "processors": 1.0, "others": 1.2},
        **{
            "preparation_seconds": 10.0,
            "preparation_processors": 1.0,
            "validation_seconds": 0.5,
            "tokens_per_epoch": 100_000,
        },
        **{"parameters": 50_000, "memory_bytes": 500_000_000, "checkpoint_bytes": 600_000},
    }
    monkeypatch.setattr(planning, "measure", lambda *_, **__: Speed(**figures))


@pytest.mark.usefixtures("timed")
def test_the_table_has_a_row_for_every_length(run):
    words = ("plan", "gpt", "--corpus", "articles.txt", "--tokens", "2M", "--threads", "1")
    code, out, _ = run(*words)
    assert code == 0
    assert "gpt mini: 50,000 parameters, 1,000 tokens per second on 1 thread" in out
    line = next(line for line in out.splitlines() if line.startswith("2,000,000 tokens"))
    assert line.split()[2:5] == ["2,000,000", "20.00", "0.561"]
    assert "memory: 500 MB at most" in out
    assert "other processes used 1.2 cores during the timing" in out


@pytest.mark.usefixtures("timed")
def test_memory_of_a_longer_text_than_was_timed_is_the_least(run, monkeypatch):
    words = ("plan", "gpt", "--tokens", "2M", "--threads", "1")
    assert "memory: 500 MB at least" in run(*words)[1]
    monkeypatch.setattr(planning, "_SAMPLE", 100)
    _, out, _ = run(*words, "--corpus", "articles.txt")
    assert "memory: 500 MB at least" in out
    assert "times as long and needs more memory" in out


@pytest.mark.usefixtures("timed")
def test_machines_read_it_too(run):
    code, out, _ = run("plan", "word2vec", "--tokens", "50k", "--threads", "1", "--json")
    assert code == 0
    found = json.loads(out)
    assert [course["tokens"] for course in found["courses"]] == [50_000]
    assert found["loss_of"] is None


@pytest.mark.parametrize("typed", ["many", "5X", "", "inf"])
def test_a_number_of_tokens_is_a_number(run, typed):
    code, _, err = run("plan", "gpt", "--tokens", typed)
    assert code == 2
    assert "is not a number such as 50000000 or 50M" in err


def test_a_text_is_needed(run):
    code, _, err = run("plan", "gpt")
    assert (code, err) == (2, "error: gpt needs a corpus; pass one, or only a number of tokens\n")
