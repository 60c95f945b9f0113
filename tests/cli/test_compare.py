"""A comparison as a command: what is typed arrives, the answer is a table and a sentence."""

import json
import math
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest

from headstart.compare import study
from headstart.devices import available_cores

SUMMARY = [
    {"method": "scratch", "labels": 50, "mean": 0.5, "low": 0.45, "high": 0.55},
    {"method": "scratch", "labels": 1000, "mean": 0.8, "low": 0.79, "high": 0.81},
    {"method": "glove:frozen", "labels": 50, "mean": 0.75, "low": 0.6, "high": 0.8},
]
CLEAN = {"sentence": "All 2 test rows are clean."}


@pytest.fixture
def given(monkeypatch):
    """Stand in for the study: remember what it was given."""
    arguments = {}

    def compare(data, **options):
        arguments.update(options, data=data)
        return SimpleNamespace(
            results={
                "summary": SUMMARY,
                "clean": CLEAN,
                "cells": [{"correct": [1, 0]}],
                "best": {},
                "seconds": 130.4,
                "cores_used": 1.84,
            },
            table=SUMMARY,
            headline="glove:frozen needs 4 times fewer labels than scratch.",
            best={"method": "glove:frozen"},
        )

    monkeypatch.setattr(study, "compare", compare)
    return arguments


def test_the_answer_is_a_table_and_a_sentence(run, given):
    code, out, _ = run("compare", "train.csv", "--out", "runs/a")
    head, scratch, glove, _, *rest = out.splitlines()
    assert code == 0
    assert head.split() == ["method", "50", "labels", "1,000", "labels"]
    assert " ".join(scratch.split()) == "scratch 0.500 [.45, .55] 0.800 [.79, .81]"
    assert " ".join(glove.split()) == "glove:frozen 0.750 [.60, .80]"
    assert rest == [
        "glove:frozen needs 4 times fewer labels than scratch.",
        "All 2 test rows are clean.",
        "winner: glove:frozen, fitted to all labels, saved in runs/a/best",
        f"took 2 min on 1.8 of {available_cores()} cores",
        "report: runs/a/report.html",
    ]


def test_a_winner_that_another_beats_on_the_test_rows_is_explained(run, given, monkeypatch):
    found = study.compare("train.csv")
    said = "the winner was chosen on validation rows; on the test rows, glove:frozen scores higher"
    for best, explained in (("glove:frozen", False), ("scratch", True)):
        found.best = {"method": best, "labels": 50}
        monkeypatch.setattr(study, "compare", lambda data, **options: found)
        assert (said in run("compare", "train.csv", "--out", "runs/a")[1]) is explained


def test_a_winner_that_another_equals_on_the_test_rows_is_not_beaten(run, given, monkeypatch):
    found = study.compare("train.csv")
    equal = {**SUMMARY[2], "method": "tfidf", "mean": SUMMARY[2]["mean"] + 1e-12}
    found.best, found.table = {"method": "glove:frozen", "labels": 50}, [equal, *SUMMARY]
    monkeypatch.setattr(study, "compare", lambda data, **options: found)
    assert "scores higher" not in run("compare", "train.csv", "--out", "runs/a")[1]


def test_what_was_left_out_is_in_the_table(run, given, monkeypatch):
    left_out = [{"method": "scratch", "labels": 5000}, {"method": "bert:finetune", "labels": 50}]
    found = SimpleNamespace(
        results={
            "left_out": left_out,
            "clean": CLEAN,
            "data": {"train_rows": 1375},
            "seconds": 130.4,
            "cores_used": 1.84,
        },
        table=SUMMARY,
        headline="None.",
        best={"method": "scratch", "fitted_labels": 1000},
    )
    monkeypatch.setattr(study, "compare", lambda data, **options: found)
    _, out, _ = run("compare", "train.csv", "--out", "runs/a")
    lines = {line.split()[0]: line.split()[1:] for line in out.splitlines() if line.split()}
    assert lines["scratch"][-2:] == lines["bert:finetune"][:2] == ["left", "out"]
    assert lines["method"][-2:] == ["5,000", "labels"]
    assert "winner: scratch, fitted to 1,000 labels (time limit), saved in runs/a/best" in out


def test_the_table_has_the_methods_in_the_order_they_were_asked_for(run, given, monkeypatch):
    found = study.compare("train.csv")
    asked = ["glove=g.txt:frozen", "bert:finetune", "scratch"]
    left_out = [{"method": "scratch", "labels": 5000}, {"method": "bert:finetune", "labels": 50}]
    found.results |= {"settings": {"methods": asked}, "left_out": left_out}
    monkeypatch.setattr(study, "compare", lambda data, **options: found)
    _, out, _ = run("compare", "train.csv", "--out", "runs/a")
    names = [line.split()[0] for line in out.splitlines()[1:4]]
    assert names == ["glove:frozen", "bert:finetune", "scratch"]


def test_every_option_arrives(run, given):
    code, *_ = run(
        *("compare", "train.csv", "--test", "test.csv", "--corpus", "articles.txt", "--seeds", "2"),
        *("--methods", "scratch, glove=words.vec:frozen", "--labels", "5,10", "--quick"),
        *(
            "--minutes",
            "inf",
            "--pretrain-minutes",
            "0.5",
            "--pretrain-size",
            "mini",
            "--workers",
            "1",
            "--max-memory",
            "2",
            "--text-column",
            "text",
            *("--task", "pair", "--symmetric", "--drop-leaks"),
            *("--pair-columns", "a, b"),
            *("--scheme", "BIO", "--repair"),
            *("--max-bad-rows", "3", "--unseen-labels", "count-as-error"),
            "--out",
            "runs/b",
        ),
    )
    assert code == 0
    assert given.pop("progress")
    assert {name: value for name, value in given.items() if value is not None} == {
        "data": Path("train.csv"),
        "test": Path("test.csv"),
        "corpus": [Path("articles.txt")],
        "methods": ["scratch", "glove=words.vec:frozen"],
        "label_budgets": [5, 10],
        "seeds": 2,
        "out": Path("runs/b"),
        "quick": True,
        "minutes": math.inf,
        "pretrain_minutes": 0.5,
        "pretrain_size": "mini",
        "task": "pair",
        "symmetric": True,
        "scheme": "BIO",
        "repair": True,
        "drop_leaks": True,
        "text_column": "text",
        "pair_columns": ["a", "b"],
        "max_bad_rows": 3,
        "unseen_labels": "count-as-error",
        "workers": 1,
        "max_memory": 2.0,
    }


@pytest.mark.parametrize("paths", [["pairs.tsv"], ["train.en", "train.de"]])
def test_translations_are_one_file_or_two(run, given, paths):
    words = [word for file in paths for word in ("--parallel", file)]
    assert run("compare", "train.csv", *words, "--out", "runs/h")[0] == 0
    assert given["parallel"] == [Path(file) for file in paths]
    first = dict(given)
    run("compare", "--config", "runs/h/settings.toml", "--out", "runs/i")
    assert given["parallel"] == first["parallel"]


def test_without_translations_none_are_given(run, given):
    run("compare", "train.csv", "--out", "runs/j")
    assert given["parallel"] is None


def test_without_arguments_it_is_the_demo(run, given):
    assert run("compare", "--out", "runs/c")[0] == 0
    assert given["data"] is None
    assert (given["methods"], given["label_budgets"], given["seeds"]) == (None, None, None)


def test_a_demo_goes_by_the_name_of_its_task(run, given):
    assert run("compare", "--demo", "pair", "--out", "runs/k")[0] == 0
    assert (given["data"], given["demo"]) == (None, "pair")


def test_budgets_of_taggers_are_sentences(run, given, monkeypatch):
    found = SimpleNamespace(
        results={"clean": CLEAN, "data": {"train_rows": 9}, "wording": {"labels": "sentences"}},
        table=SUMMARY,
        headline="None.",
        best={"method": "scratch", "fitted_labels": 5},
    )
    monkeypatch.setattr(study, "compare", lambda data, **options: found)
    _, out, _ = run("compare", "train.conll", "--task", "tagging", "--out", "runs/t")
    assert out.splitlines()[0].split() == ["method", "50", "sentences", "1,000", "sentences"]
    assert "winner: scratch, fitted to 5 sentences (time limit)" in out


def test_the_settings_are_saved_and_replay_the_run(run, given, files):
    run("compare", "train.csv", "--labels", "5,10", "--corpus", "articles.txt", "--out", "runs/d")
    saved = files / "runs" / "d" / "settings.toml"
    assert tomllib.loads(saved.read_text())["labels"] == [5, 10]
    first = dict(given)
    run("compare", "--config", saved, "--out", "runs/e")
    different = {name for name in first if first[name] != given[name]}
    assert different == {"out", "progress"}


def test_json_has_the_summary_and_not_every_cell(run, given):
    code, out, err = run("compare", "--json", "--out", "runs/f")
    assert (code, err) == (0, "")
    told = {"summary": SUMMARY, "clean": CLEAN, "best": {}, "seconds": 130.4, "cores_used": 1.84}
    assert json.loads(out) == told


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--labels", "5,many"], "'5,many' is not a list such as 50,200,1000"),
        (["--seeds", "0"], "Invalid value for '--seeds'"),
        (["--config", "none.toml"], "none.toml: cannot read the settings"),
    ],
)
def test_what_was_typed_wrong(run, given, words, message):
    code, out, err = run("compare", *words)
    assert (code, out) == (2, "")
    assert message in err
