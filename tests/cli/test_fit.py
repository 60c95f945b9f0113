"""Fitting a model prints the proof of transfer, and saves the model with its settings."""

import json
import tomllib


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
    assert "took column 'review' as the text" in err


def test_what_cannot_be(run):
    fit = ("fit", "classification", "train.csv", "--out", "x")
    assert run(*fit, "--transfer", "magic")[0] == 2
    assert run(*fit, "--transfer", "frozen")[0] == 2
    assert run(*fit, "--encoder", "none.txt")[0] == 2
    assert run(*fit[:-1], "model", "--transfer", "majority")[0] == 74


def test_what_would_be_in_vain_is_told_before_it_is_done(run, files):
    fit = ("fit", "classification", "train.csv")
    _, _, err = run(*fit, "--transfer", "tfidf", "--encoder", "words.vec", "--out", "y")
    assert "the transfer 'tfidf' uses no encoder" in err
    (files / "single.csv").write_text("text,label\na,x\nb,x\nc,y\n")
    code, _, err = run("fit", "classification", "single.csv", "--transfer", "tfidf", "--out", "y")
    assert code == 2
    assert "single.csv line 4: the only example of class 'y'" in err
    code, _, err = run("fit", "classification", "none.csv", "--out", "model")
    assert code == 74, "the folder is looked at before the data"
