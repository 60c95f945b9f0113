"""Nearest words and analogies."""

import json

import pytest


def test_the_nearest_words(run):
    code, out, _ = run("neighbors", "words.vec", "team", "--top", "3", "--json")
    rows = json.loads(out)
    assert (code, len(rows)) == (0, 3)
    assert "team" not in [row["word"] for row in rows]
    similarities = [row["similarity"] for row in rows]
    assert similarities == sorted(similarities, reverse=True)


def test_an_analogy_as_a_table(run):
    code, out, _ = run("neighbors", "words.vec", "team", "bank", "--minus", "coach", "--top", "2")
    assert code == 0
    assert out.splitlines()[0].split() == ["word", "similarity"]
    assert len(out.splitlines()) == 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["words.vec", "zebra"], "'zebra' has no vector"),
        (["words.vec", "Team"], "'team' has one"),
        (["model", "team"], "model: has no word vectors"),
    ],
)
def test_what_has_no_vector(run, words, message):
    code, _, err = run("neighbors", *words)
    assert code == 2
    assert message in err


def test_nothing_is_near_when_all_words_are_asked_for(run, files):
    (files / "two.txt").write_text("a 1 0\nb 0 1\n")
    code, out, err = run("neighbors", "two.txt", "a", "b")
    assert (code, out, err) == (0, "no other words\n", "")
