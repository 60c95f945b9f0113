"""Pairs of texts, from the fit to the scores, as a user types it."""

import csv
import io
import json
import tomllib

import pyarrow.parquet as pq
import pytest

from headstart.cli.app import main
from headstart.transfer.loading import load

SIDES = [("the dog", "an animal", "yes"), ("the cat", "an animal", "yes")]
SIDES += [("the stone", "an animal", "no"), ("a goal", "an animal", "no")]


@pytest.fixture(scope="module")
def model(files):
    """A fitted model of pairs in the user's folder, and what it was fitted to."""
    rows = [f"{a} {n},{b},{label}" for n in range(5) for a, b, label in SIDES]
    (files / "pairs.csv").write_text("premise,hypothesis,label\n" + "\n".join(rows) + "\n")
    words = ("fit", "pair", "pairs.csv", "--transfer", "tfidf", "--out", "pair-model")
    words = [str(files / word) if "pair" in word and word != "pair" else word for word in words]
    assert main(words) == 0
    return files / "pair-model"


def test_a_fit_says_what_it_took_and_saves_its_settings(run, files, model):
    (files / "empty.csv").write_text((files / "pairs.csv").read_text() + ",an animal,no\n")
    code, out, err = run(
        *("fit", "pair", "empty.csv", "--encoder", "words.vec", "--transfer", "probe"),
        *("--symmetric", "--pair-columns", "hypothesis,premise", "--out", "pair-probe"),
    )
    assert code == 0
    assert "tensors taken  1 of 1" in out
    assert out.endswith("model          pair-probe\n")
    assert "empty.csv line 22: a side is empty, as in 1 of 21 pairs; they are kept" in err
    settings = tomllib.loads((files / "pair-probe" / "settings.toml").read_text())
    assert (settings["symmetric"], settings["pair_columns"]) == (True, ["hypothesis", "premise"])
    code, again, _ = run(
        "fit", "pair", "--config", "pair-probe/settings.toml", "--out", "pair-again", "--json",
    )  # fmt: skip
    assert (code, json.loads(again)["report"]["empty"]) == (0, 1)


def test_probabilities_are_calibrated_where_that_is_asked_for(run, model):
    words = ("fit", "pair", "pairs.csv", "--transfer", "tfidf", "--calibrate")
    code, out, _ = run(*words, "--out", "pair-calibrated")
    assert code == 0
    assert "calibration error 0." in out
    assert load("pair-calibrated").temperature_ != 1
    code, _, err = run(*words, "--numbers", "--out", "x")
    assert code == 2
    assert "numbers have no probabilities to calibrate; remove --calibrate" in err


def test_columns_that_were_guessed_are_said(run, model):
    _, _, err = run("evaluate", "pair-model", "pairs.csv")
    assert "using columns 'premise' and 'hypothesis' as the pair" in err


def test_pairs_that_are_typed(run, model):
    typed = ("--text", "the dog", "--text-b", "an animal", "--text", "the stone", "--text-b", "")
    code, out, _ = run("predict", "pair-model", *typed, "--json")
    first, second = json.loads(out)
    assert code == 0
    assert (first["text_a"], first["text_b"], first["label"]) == ("the dog", "an animal", "yes")
    assert (second["text_b"], second["label"]) == ("", "no")
    assert run("predict", "pair-model", *typed)[1].split()[:4] == [
        *("text_a", "text_b", "label", "probability"),
    ]


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_a_file_to_a_file(run, files, model, ending):
    code, out, _ = run("predict", "pair-model", "pairs.csv", "--out", f"pairs-out.{ending}")
    assert (code, out) == (0, f"20 predictions in pairs-out.{ending}\n")
    path = files / f"pairs-out.{ending}"
    if ending == "parquet":
        rows = pq.read_table(path).to_pylist()
    elif ending == "csv":
        rows = list(csv.DictReader(io.StringIO(path.read_text())))
    else:
        rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert list(rows[0]) == ["text_a", "text_b", "label", "probability"]
    assert [row["label"] for row in rows[:4]] == ["yes", "yes", "no", "no"]


def test_standard_input_has_a_tab_in_every_line(run, monkeypatch, model):
    piped = io.BufferedReader(io.BytesIO(b"the dog\tan animal\n"))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(piped))
    code, out, _ = run("predict", "pair-model", "-")
    (row,) = csv.DictReader(io.StringIO(out))
    assert (code, row["text_b"], row["label"]) == (0, "an animal", "yes")


def test_scores(run, model):
    code, out, _ = run("evaluate", "pair-model", "pairs.csv", "--json")
    assert (code, json.loads(out)["accuracy"]) == (0, 1.0)


@pytest.fixture(scope="module")
def similarity(files):
    """A fitted model of pairs with numbers in the user's folder."""
    rows = [
        f"{a} {n},{b},{4 if label == 'yes' else n / 5}" for n in range(5) for a, b, label in SIDES
    ]
    (files / "sts.csv").write_text("sentence1,sentence2,score\n" + "\n".join(rows) + "\n")
    words = ("--numbers", "--symmetric", "--transfer", "tfidf", "--out", files / "similarity")
    assert main(["fit", "pair", str(files / "sts.csv"), *map(str, words)]) == 0
    return files / "similarity"


def test_pairs_with_numbers_are_scored_and_predicted(run, files, similarity):
    settings = tomllib.loads((similarity / "settings.toml").read_text())
    assert (settings["numbers"], settings["symmetric"]) == (True, True)
    code, out, err = run("evaluate", "similarity", "sts.csv")
    assert code == 0
    assert out.startswith("20 rows: R^2 ")
    assert [name in out for name in ("Pearson", "Spearman", "RMSE")] == [True] * 3
    assert json.loads(run("evaluate", "similarity", "sts.csv", "--json")[1])["pearson"] > 0.8
    assert "using column 'score' as the label" in err
    typed = ("--text", "the dog", "--text-b", "an animal", "--json")
    (row,) = json.loads(run("predict", "similarity", *typed)[1])
    assert list(row) == ["text_a", "text_b", "value"]
    assert row["value"] > 2
    for ending in ("csv", "parquet"):
        words = ("predict", "similarity", "sts.csv", "--out", f"values.{ending}")
        assert run(*words)[:2] == (0, f"20 predictions in values.{ending}\n")
    rows = pq.read_table(files / "values.parquet").to_pylist()
    assert list(rows[0]) == ["text_a", "text_b", "value"]
    read = list(csv.DictReader(io.StringIO((files / "values.csv").read_text())))
    assert [float(row["value"]) for row in read] == [row["value"] for row in rows]


def test_what_is_no_number_is_named_and_what_looks_like_numbers_is_told(run, files, similarity):
    (files / "odd.csv").write_text("text_a,text_b,label\na,b,1\nc,d,alike\n")
    code, _, err = run("fit", "pair", "odd.csv", "--numbers", "--out", "x")
    assert code == 2
    assert "odd.csv line 3: 'label' is 'alike', not a finite number" in err
    code, _, err = run("evaluate", "similarity", "odd.csv")
    assert (code, "odd.csv line 3: 'label' is 'alike'" in err) == (2, True)
    rows = "".join(f"a {n},b,{n / 2}\n" for n in range(12))
    (files / "grades.csv").write_text("text_a,text_b,label\n" + 2 * rows)
    code, _, err = run("fit", "pair", "grades.csv", "--transfer", "majority", "--out", "grades")
    assert code == 0
    assert "read as 12 classes; to predict numbers use headstart fit pair --numbers" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("fit", "pair", "train.csv", "--out", "x"), "cannot tell which columns are the two texts"),
        (
            ("fit", "pair", "pairs.csv", "--pair-columns", "premise", "--out", "x"),
            "pair_columns must be two different columns, got 'premise'",
        ),
        (
            (
                "fit",
                "pair",
                "pairs.csv",
                "--encoder",
                "words.vec",
                "--transfer",
                "tfidf",
                "--out",
                "x",
            ),
            "the transfer 'tfidf' uses no encoder",
        ),
        (("predict", "pair-model", "--text", "a"), "give a --text-b for every --text (1 --text, 0"),
        (("predict", "similarity", "--text", "a"), "give a --text-b for every --text (1 --text, 0"),
        (("predict", "model", "--text", "a", "--text-b", "b"), "the model takes single texts"),
        (
            ("predict", "model", "pairs.csv", "--pair-columns", "a,b"),
            "the model takes single texts",
        ),
        (("predict", "pair-model", "pairs.csv", "--text-column", "a"), "the model takes pairs of"),
        (("evaluate", "pair-model", "pairs.csv", "--text-column", "a"), "the model takes pairs of"),
        (("evaluate", "similarity", "sts.csv", "--text-column", "a"), "the model takes pairs of"),
        (
            ("predict", "pair-model", "--text", "a", "--text-b", "b", "--text-column", "c"),
            "column options are for files",
        ),
        (
            ("predict", "pair-model", "articles.txt", "--pair-columns", "a,b"),
            "plain text has no columns",
        ),
        (("evaluate", "pair-model", "test.csv"), "cannot tell which columns are the two texts"),
    ],
)
def test_what_was_asked_wrong(run, model, similarity, words, message):
    code, _, err = run(*words)
    assert code == 2
    assert message in err
