"""Scores of a model on data it has not seen."""

import json


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


def test_an_unknown_label(run, files):
    (files / "odd.csv").write_text("text,label\nrain,weather\n")
    code, _, err = run("evaluate", "model", "odd.csv")
    assert code == 2
    assert "odd.csv line 2: label 'weather' was not there in training" in err
