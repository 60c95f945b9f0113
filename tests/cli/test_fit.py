"""Fitting a model prints the proof of transfer, and saves the model with its settings."""

import json
import tomllib
from pathlib import Path

import pytest

from headstart.errors import StorageError


def test_the_proof_is_printed(run, files):
    code, out, _ = run(
        *("fit", "classification", "train.csv", "--encoder", "words.vec"),
        *("--transfer", "probe", "--out", "probe"),
    )
    assert code == 0
    assert "tensors taken  1 of 1" in out
    assert "frozen part" in out
    assert out.endswith("model          probe\n")
    settings = tomllib.loads((files / "probe" / "settings.toml").read_text())
    assert settings["encoder"] == "words.vec"
    assert (settings["transfer"], settings["seed"]) == ("probe", 0)


def test_json(run):
    code, out, _ = run(
        *("fit", "classification", "train.csv", "--transfer", "majority", "--out", "m", "--json")
    )
    found = json.loads(out)
    assert (code, found["folder"], found["proof"]) == (0, "m", None)


def test_a_guess_is_said(run, files):
    (files / "named.csv").write_text(
        (files / "train.csv").read_text().replace("text,label", "review,topic", 1)
    )
    code, _, err = run(
        *("fit", "classification", "named.csv", "--transfer", "majority", "--out", "guessed")
    )
    assert code == 0
    assert "using column 'review' as the text" in err


def test_what_cannot_be(run):
    fit = ("fit", "classification", "train.csv", "--out", "x")
    assert run(*fit, "--transfer", "magic")[0] == 2
    assert run(*fit, "--transfer", "frozen")[0] == 2
    assert run(*fit, "--encoder", "none.txt")[0] == 2
    assert run(*fit[:-1], "model", "--transfer", "majority")[0] == 2


def test_what_would_be_in_vain_is_told_before_it_is_done(run, files):
    fit = ("fit", "classification", "train.csv")
    _, _, err = run(*fit, "--transfer", "tfidf", "--encoder", "words.vec", "--out", "y")
    assert "the transfer 'tfidf' uses no encoder" in err
    (files / "single.csv").write_text("text,label\na,x\nb,x\nc,y\n")
    code, _, err = run("fit", "classification", "single.csv", "--transfer", "tfidf", "--out", "y")
    assert code == 2
    assert "single.csv line 4: the only example of class 'y'" in err
    code, _, err = run("fit", "classification", "none.csv", "--out", "model")
    assert code == 2, "the folder is looked at before the data"
    code, _, err = run("fit", "classification", "none.csv", "--out", "train.csv/model")
    assert (code, err.partition(";")[0]) == (
        2,
        "error: train.csv: is a file, not a folder",
    )


def write_sets(files):
    """Write texts with several labels, or none, as CSV and as JSON lines."""
    rows = [("a goal", ["sport"]), ("a bank", ["money"]), ("a goal a bank", ["sport", "money"])]
    rows = [*rows, ("rain", [])] * 10
    lines = [f"{text},{'|'.join(labels)}" for text, labels in rows]
    (files / "sets.csv").write_text("text,label\n" + "\n".join(lines) + "\n")
    lines = [json.dumps({"text": text, "label": labels}) for text, labels in rows]
    (files / "sets.jsonl").write_text("\n".join(lines) + "\n")


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="no folder that takes no file")
def test_a_folder_that_takes_nothing_is_told_before_the_fit(run, monkeypatch):
    monkeypatch.setattr("headstart.transfer.estimators.TextClassifier.fit", None)
    fit = ("fit", "classification", "train.csv", "--transfer", "tfidf")
    code, _, err = run(*fit, "--out", "/proc/runs/model")
    assert code == StorageError.exit_code
    assert err.startswith("error: /proc/runs/model: cannot write: ")


@pytest.mark.parametrize(
    ("method", "told"),
    [(["tfidf"], True), (["probe", "--encoder", "words.vec"], True), (["majority"], False)],
)
def test_texts_without_spaces_are_noted_where_words_are_read(run, unspaced, tmp_path, method, told):
    fit = ("fit", "classification", "chinese.csv", "--out", tmp_path / "model", "--transfer")
    _, out, err = run(*fit, *method)
    assert ("no spaces between words" in err) == told
    if "--encoder" not in method:  # which knows no word of these texts, and is refused
        assert "every text got the same class: it learned nothing\n" in out, "not for its seed"


def test_several_labels_of_a_text(run, files):
    write_sets(files)
    fit = ("fit", "classification")
    code, out, err = run(
        *(*fit, "sets.csv", "--label-separator", "|", "--transfer", "tfidf", "--out", "several")
    )
    assert (code, err) == (0, "")
    assert out.startswith(
        "validation     micro-F1 1.000, macro-F1 1.000, subset accuracy 1.000, cal"
    )
    settings = tomllib.loads((files / "several" / "settings.toml").read_text())
    assert settings["label_separator"] == "|"
    assert run(*fit, "sets.jsonl", "--transfer", "tfidf", "--out", "lists")[:2] == (
        0,
        out.replace("several", "lists"),
    )
    code, out, _ = run("predict", "several", "--text", "goal bank", "--text", "rain")
    head, first, second = out.splitlines()
    assert head.split() == ["text", "labels"]
    assert "money 0." in first
    assert "sport 0." in first
    assert second.split() == ["rain"]
    _, out, _ = run("predict", "several", "sets.csv", "--label-separator", "/")
    assert out.splitlines()[3].startswith('"a goal a bank","money/sport","0.')
    _, out, _ = run("predict", "several", "--text", "goal bank", "--json")
    assert json.loads(out)[0]["label"] == ["money", "sport"]
    code, out, _ = run("evaluate", "several", "sets.csv", "--label-separator", "|")
    assert out.startswith("40 rows: micro-F1 1.000, macro-F1 1.000, subset accuracy 1.000, calib")
    code, out, _ = run("evaluate", "lists", "sets.jsonl", "--json")
    assert [row["label"] for row in json.loads(out)["classes"]] == ["money", "sport"]
    code, _, err = run("evaluate", "several", "sets.csv")
    assert code == 2
    assert "sets.csv line 2: 'label' is a string, not a list of labels" in err
    code, out, _ = run("inspect", "several")
    assert "validation_micro_f1" in out


def test_a_separator_for_one_label_a_text_is_refused(run):
    for words in (("evaluate", "model", "test.csv"), ("predict", "model", "--text", "a goal")):
        code, _, err = run(*words, "--label-separator", "|")
        assert code == 2
        assert "model: does not predict several labels per text; remove --label-separator" in err


def test_calibration_is_shown(run):
    code, out, _ = run(
        *("fit", "classification", "train.csv", "--transfer", "tfidf", "--calibrate"),
        *("--out", "calibrated"),
    )
    assert code == 0
    line = out.splitlines()[1]
    assert line.startswith("temperature    0.")
    assert "calibration error 0." in line


def test_numbers(run, files):
    rows = [f"{'good ' * stars}text {n},{stars}.5" for n in range(8) for stars in range(5)]
    (files / "stars.csv").write_text("text,stars\n" + "\n".join(rows) + "\n")
    fit = ("fit", "regression", "stars.csv")
    code, out, err = run(*fit, "--transfer", "tfidf", "--out", "stars")
    assert code == 0
    assert "using column 'stars' as the label" in err
    assert out.startswith("validation     R^2 0.")
    assert "Pearson 0.9" in out
    _, out, _ = run("evaluate", "stars", "stars.csv")
    assert out.startswith("40 rows: R^2 0.9")
    _, out, _ = run("predict", "stars", "--text", "good good text 3", "--json")
    assert 1 < json.loads(out)[0]["value"] < 4
    assert run("inspect", "stars")[0] == 0
    (files / "odd.csv").write_text("text,label\na,1\nb,many\n")
    code, _, err = run("fit", "regression", "odd.csv", "--transfer", "tfidf", "--out", "z")
    assert code == 2
    assert "odd.csv line 3: 'label' is 'many', not a finite number" in err
    code, _, err = run(
        "fit", "classification", "stars.csv", "--transfer", "tfidf", "--out", "stars-as-classes"
    )
    assert code == 0
    assert "look like numbers" not in err


def test_many_numbers_as_labels_are_noted(run, files):
    rows = [f"text {n},{n % 12}.5" for n in range(36)]
    (files / "numbers.csv").write_text("text,label\n" + "\n".join(rows) + "\n")
    code, _, err = run(
        *("fit", "classification", "numbers.csv", "--transfer", "majority", "--out", "numbers")
    )
    assert code == 0
    assert "numbers.csv: the labels look like numbers but are read as 12 classes" in err


@pytest.mark.parametrize(
    ("task", "columns", "row"),
    [
        ("classification", "text", ""),
        ("regression", "text", ""),
        ("pair", "text_a,text_b", "other,"),
        ("pair --numbers", "text_a,text_b", "other,"),
    ],
)
def test_bad_rows_are_left_out_where_that_is_allowed(run, files, tmp_path, task, columns, row):
    rows = "".join(f"text {number},{row}{number % 2}\n" for number in range(20))
    (files / "some.csv").write_text(f"{columns},label\n{rows}alone\n")
    words = ("fit", *task.split(), "some.csv", "--transfer", "tfidf", "--out", tmp_path / "m")
    code, _, err = run(*words)
    assert (code, "some.csv line 22, column 2: found 1 column" in err) == (2, True)
    code, _, err = run(*words, "--max-bad-rows", "1")
    assert code == 0
    assert "some.csv: skipped 1 bad row (1 allowed): line 22, column 2" in err


def test_bad_sentences_are_left_out_where_that_is_allowed(run, files, tmp_path):
    good = '{"tokens": ["Mary", "left"], "tags": ["B-P", "O"]}\n'
    (files / "some.jsonl").write_text(f'{{"tokens": ["a"]}}\n{good * 9}')
    words = ("fit", "tagging", "some.jsonl", "--transfer", "majority", "--out", tmp_path / "m")
    assert run(*words)[0] == 2
    code, _, err = run(*words, "--max-bad-rows", "1")
    assert code == 0
    assert "some.jsonl: skipped 1 bad row (1 allowed): line 1: no field" in err
