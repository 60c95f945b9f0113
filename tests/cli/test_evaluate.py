"""Scores of a model on data it has not seen."""

import json

import pytest
import torch

from headstart.transfer.estimators import TextClassifier


def test_scores(run):
    code, out, _ = run("evaluate", "model", "test.csv")
    first, head, *classes = out.splitlines()
    assert (code, first[:45]) == (0, "2 rows: accuracy 1.000, macro-F1 1.000, calib")
    assert head.split() == ["label", "precision", "recall", "f1", "rows"]
    assert [line.split() for line in classes] == [
        ["business", "1.000", "1.000", "1.000", "1"],
        ["sport", "1.000", "1.000", "1.000", "1"],
    ]


def test_json(run):
    code, out, _ = run("evaluate", "model", "test.csv", "--json")
    found = json.loads(out)
    assert (code, found["rows"], found["accuracy"]) == (0, 2, 1.0)
    assert [scores["label"] for scores in found["classes"]] == ["business", "sport"]


@pytest.mark.parametrize("bf16", [False, True])
def test_texts_are_encoded_in_bfloat16_where_that_is_asked_for(run, monkeypatch, bf16):
    has_it = "headstart.training.precision.has_fast_bf16"
    monkeypatch.setattr(has_it, lambda device: device.type == "cpu")
    encode, used = TextClassifier.predict_proba, []

    def watched(model, texts):
        used.append(torch.is_autocast_enabled("cpu"))
        return encode(model, texts)

    monkeypatch.setattr(TextClassifier, "predict_proba", watched)
    assert run("evaluate", "model", "test.csv", *["--bf16"] * bf16)[0] == 0
    assert used == [bf16]


def test_an_unknown_label(run, files):
    (files / "odd.csv").write_text("text,label\nrain,weather\n")
    code, _, err = run("evaluate", "model", "odd.csv")
    assert code == 2
    assert "odd.csv line 2: label 'weather' is not in the training data" in err


def test_an_unknown_label_counts_as_an_error_where_that_is_asked_for(run, files):
    (files / "odd.csv").write_text("text,label\nthe team won the final,sport\nrain,weather\n")
    words = ("evaluate", "model", "odd.csv", "--unseen-labels", "count-as-error")
    code, out, err = run(*words)
    assert (code, out[:23]) == (0, "2 rows: accuracy 0.500,")
    assert "odd.csv line 3: label 'weather' is not in the training data and counts as an err" in err
    found = json.loads(run(*words, "--json")[1])
    assert (found["unseen_rows"], found["classes"][-1]["label"]) == (1, "weather")
    assert run(*words[:-1], "ignore")[0] == 2


def test_bad_rows_are_left_out_where_that_is_allowed(run, files):
    (files / "bad.csv").write_text("text,label\na goal by the team,sport\na,b,c\nshares,\n")
    code, out, err = run("evaluate", "model", "bad.csv", "--max-bad-rows", "2")
    assert (code, out[:6]) == (0, "1 row:")
    assert "skipped 2 bad rows (2 allowed): line 3, column 3" in err
    assert run("evaluate", "model", "bad.csv", "--max-bad-rows", "1")[0] == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--pair-columns", "a,b"], "the model takes single texts; use --text-column"),
        (
            ["--label-separator", "|"],
            "does not predict several labels per text; remove --label-separator",
        ),
    ],
)
def test_what_the_model_does_not_take_is_refused(run, words, message):
    code, _, err = run("evaluate", "model", "test.csv", *words)
    assert code == 2
    assert message in err
