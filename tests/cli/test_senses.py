"""A word in a corpus, as the command shows it, and what it says where it cannot."""

import json

import pytest

from headstart.tokenize.words import WordTokenizer

TEXTS = [
    "The team sat on the bank of the river.",
    "The bank raised interest rates.",
    "A bank cut its forecast of profit.",
    "The players met at the river bank.",
    "BANK shares fell.",
    "No word of it here, and one final goal.",
]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    file = tmp_path_factory.mktemp("senses") / "texts.txt"
    file.write_text("\n".join(TEXTS) + "\n")
    return file


@pytest.fixture(scope="module")
def elmo(tmp_path_factory):
    import torch

    from headstart.hub.elmo import PretrainedElmo
    from headstart.models.elmo import Elmo, ElmoConfig

    sizes = {"filters": ((1, 4), (2, 8)), "character_width": 4, "projection": 6, "cells": 10}
    words = WordTokenizer.from_vocabulary(["the", "bank"], lowercase=False)
    model = Elmo(ElmoConfig(**sizes, vocabulary_size=4), generator=torch.Generator().manual_seed(0))
    return PretrainedElmo.of(model, words, lineage={}).save(
        tmp_path_factory.mktemp("made") / "elmo"
    )


def test_occurrences_with_their_nearest_ones(run, corpus, elmo):
    code, out, _ = run(
        *("inspect", "words.vec", "--beside", elmo, "--corpus", corpus, "--word", "bank")
    )
    assert code == 0
    assert "bank: 5 occurrences, 5 of them sampled evenly, each from a different sentence" in out
    assert "words.vec: the word's own vector: the same in every context" in out
    assert "context ratio  untrained  chance level" in out
    assert "The team sat on the [bank] of the river.\n    elmo " in out
    assert "[BANK] shares fell." in out
    assert "No word" not in out
    assert "    words.vec" not in out


def test_scores_of_word_tests_are_printed_beside_the_occurrences(run, corpus, tmp_path):
    pairs = tmp_path / "pairs.tsv"
    pairs.write_text("goal\tteam\t9\ngoal\tbank\t1\nbank\trates\t8\n")
    tests = ("--similarity", pairs)
    code, out, _ = run("inspect", "words.vec", *tests, "--corpus", corpus, "--word", "bank")
    assert code == 0
    assert "spearman" in out
    assert "bank: 5 occurrences" in out


def test_a_page_that_cannot_be_written_is_told_before_the_work(run, corpus, monkeypatch):
    monkeypatch.setattr("headstart.cli.senses.word_senses", None)
    page = corpus / "bank.html"
    code, _, err = run("inspect", "words.vec", "--corpus", corpus, "--word", "bank", "--out", page)
    assert code == 2
    assert "texts.txt: is a file, not a folder" in err


def test_spellings_with_vectors_of_their_own_are_told_apart(run, corpus, tmp_path):
    cased = tmp_path / "cased.vec"
    cased.write_text("bank 1 0\nBANK 0 1\nthe 1 1\n")
    code, out, _ = run("inspect", cased, "--corpus", corpus, "--word", "bank")
    assert code == 0
    assert "cased.vec: the word's own vector: the same in every context\n" in out
    assert "    cased.vec: several are equally near" in out


def test_as_json_and_as_a_page(run, corpus, elmo, tmp_path):
    page = tmp_path / "bank.html"
    code, out, err = run(
        *("inspect", elmo, "--corpus", corpus, "--word", "bank", "--out", page, "--json")
    )
    found = json.loads(out)
    assert code == 0
    assert found["about"]["encoder"].startswith("elmo")
    senses = found["senses"]
    assert (senses["word"], senses["total"]) == ("bank", 5)
    assert [look["name"] for look in senses["encoders"]] == ["elmo"]
    assert len(senses["encoders"][0]["nearest"]) == 5
    assert senses["encoders"][0]["untrained"] > 0
    assert page.read_text().startswith("<!doctype html>")
    assert f"wrote {page}" in err


def test_without_a_word_one_is_chosen(run, elmo, tmp_path):
    """Eight sentences are the fewest, and `match` is in twice as many: too often for so few."""
    lines = [f"It was the goal number {number}." for number in "abcdefgh"]
    lines += [f"It was the match number {number}." for number in "abcdefghijklmnop"]
    table = tmp_path / "news.csv"
    table.write_text("which,said\n" + "".join(f"{at},{line}\n" for at, line in enumerate(lines)))
    words = ("inspect", elmo, "--corpus", table, "--text-column", "said")
    code, out, _ = run(*words)
    assert code == 0
    assert out.startswith("goal: 8 occurrences")
    table.write_text("which,said\n1,It was the goal.\n")
    code, _, err = run(*words)
    assert code == 2
    assert "no suitable word occurs in 8 sentences" in err


def test_encoders_of_one_name_are_told_apart_by_their_paths(run, corpus, elmo, tmp_path):
    other = tmp_path / "elmo"
    other.symlink_to(elmo)
    code, out, _ = run(
        *("inspect", elmo, "--beside", other, "--corpus", corpus, "--word", "bank", "--json")
    )
    names = [look["name"] for look in json.loads(out)["senses"]["encoders"]]
    assert (code, names) == (0, [str(elmo), str(other)])


def test_the_vectors_of_a_fitted_model(run, corpus):
    run(
        *("fit", "classification", "train.csv", "--encoder", "words.vec", "--transfer", "finetune"),
        *("--out", "tuned-for-senses"),
    )
    code, out, _ = run("inspect", "tuned-for-senses", "--corpus", corpus, "--word", "bank")
    assert code == 0
    assert "tuned-for-senses: the word's own vector" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--word", "banl"], "'banl' does not occur; similar words: 'bank'"),
        (["--word", "Bank"], "'Bank' does not occur; similar words: 'bank'"),
        (["--word", "raised"], "'raised' occurs once; two different sentences are needed"),
        (["--word", "river bank"], "'river bank' is not one word; give one without a space"),
        (["--word", "of"], "words.vec: has no vector for 'of'"),
        (["--word", "bank", "--beside", "words.vec"], "--beside repeats an encoder"),
        (["--word", "bank", "--beside", "model"], "model: is a fitted model without word vectors"),
        (["--word", "bank", "--beside", "nowhere"], "nowhere"),
    ],
)
def test_what_cannot_be(run, corpus, words, message):
    code, out, err = run("inspect", "words.vec", "--corpus", corpus, *words)
    assert (code, out) == (2, "")
    assert message in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1


def test_a_corpus_that_is_empty_or_missing(run, tmp_path):
    empty = tmp_path / "empty.txt"
    empty.write_text("\n \n")
    assert (
        "contains no text" in run(*("inspect", "words.vec", "--corpus", empty, "--word", "bank"))[2]
    )
    assert "no such file" in run("inspect", "words.vec", "--corpus", "x.txt", "--word", "bank")[2]


@pytest.mark.parametrize("words", [["--word", "bank"], ["--out", "a.html"], ["--beside", "model"]])
def test_what_is_for_a_corpus_alone(run, words):
    code, _, err = run("inspect", "words.vec", *words)
    assert code == 2
    assert "need a corpus; add --corpus" in err
