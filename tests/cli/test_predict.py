"""Predictions for texts typed, piped, and in files."""

import csv
import io
import json

import pytest
import torch

from headstart.training.precision import has_fast_bf16


def test_texts_that_are_typed(run):
    code, out, err = run("predict", "model", "--text", "a late goal", "--text", "the shares fell")
    assert (code, err) == (0, "")
    head, *rows = [line.split() for line in out.splitlines()]
    assert head == ["text", "label", "probability"]
    assert [row[-2] for row in rows] == ["sport", "business"]


def test_json(run):
    code, out, _ = run("predict", "model", "--text", "a late goal", "--json")
    (row,) = json.loads(out)
    assert (code, row["text"], row["label"]) == (0, "a late goal", "sport")
    assert 0.5 < row["probability"] <= 1


def test_bfloat16_is_a_thousandth_off_at_most(run):
    exact, quick = (
        json.loads(run("predict", "model", "--text", "a late goal", "--json", *more)[1])[0]
        for more in ([], ["--bf16"])
    )
    assert quick["label"] == exact["label"]
    assert quick["probability"] == pytest.approx(exact["probability"], abs=0.01)


@pytest.mark.parametrize("fast", {False, has_fast_bf16(torch.device("cpu"))})
@pytest.mark.parametrize("words", [("predict", "--text", "a late goal"), ("evaluate", "test.csv")])
def test_bfloat16_that_changes_nothing_is_told_of(run, monkeypatch, fast, words):
    monkeypatch.setattr("headstart.training.precision.has_fast_bf16", lambda device: fast)
    command, *more = words
    code, _, err = run(command, "model", *more, "--bf16")
    assert (code, "--bf16 is ignored" in err) == (0, not fast)


@pytest.mark.parametrize("as_json", [False, True])
def test_a_file_to_standard_output(run, files, as_json):
    code, out, _ = run("predict", "model", "test.csv", *["--json"] * as_json)
    if as_json:
        rows = [json.loads(line) for line in out.splitlines()]
    else:
        rows = list(csv.DictReader(io.StringIO(out)))
    assert code == 0
    assert [row["label"] for row in rows] == ["sport", "business"]


def test_decomposed_letters_are_told_once(run, files):
    texts = ["a late goal", *["die Bo\u0308rse", "B\u00f6rse"] * 2]
    (files / "nfd.csv").write_text("\n".join(["text", *texts]) + "\n")
    code, _, err = run("predict", "model", "nfd.csv", "--batch-size", "2")
    assert (code, err.count("are decomposed")) == (0, 1)
    assert "nfd.csv: letters in 2 of the texts are decomposed" in err


def test_columns_that_are_kept(run, files):
    (files / "ids.csv").write_text("id,place,text\n07,3,a goal\n=8,4,profit fell\n")
    code, out, _ = run("predict", "model", "ids.csv", "--keep", "place,id")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert code == 0
    assert list(rows[0]) == ["place", "id", "text", "label", "probability"]
    assert [row["id"] for row in rows] == ["07", "'=8"]
    assert [row["label"] for row in rows] == ["sport", "business"]
    code, out, _ = run("predict", "model", "ids.csv", "--keep", "id", "--out", "ids.jsonl")
    assert code == 0
    assert json.loads((files / "ids.jsonl").read_text().splitlines()[1])["id"] == "=8"


def test_a_file_to_a_file(run, files):
    code, out, _ = run("predict", "model", "articles.txt", "--out", "predicted.jsonl")
    assert (code, out) == (0, "120 predictions in predicted.jsonl\n")
    assert len((files / "predicted.jsonl").read_text().splitlines()) == 120


def test_standard_input(run, monkeypatch):
    piped = io.BufferedReader(io.BytesIO(b"a goal\nprofit fell\n"))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(piped))
    code, out, _ = run("predict", "model", "-")
    assert code == 0
    assert [row["text"] for row in csv.DictReader(io.StringIO(out))] == ["a goal", "profit fell"]


def test_blank_lines_alone_are_refused_before_a_row_is_printed(run, files):
    (files / "blank.txt").write_text("\n \n\n")
    code, out, err = run("predict", "model", "blank.txt")
    assert (code, out) == (2, "")
    assert "blank.txt: contains no text" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["model"], "nothing to predict; give a file of texts or --text"),
        (["model", "test.csv", "--text", "x"], "give either a file of texts or --text, not both"),
        (["model", "--text", "x", "--out", "a.csv"], "--out is for the predictions of a file"),
        (["model", "none.csv"], "none.csv: no such file"),
        (["model", "Shares fell."], "Shares fell.: no such file; to predict a text, pass it with"),
        (["model", "word " * 99], "word : no such file; to predict a text, pass it with --text"),
        (["model", "hf:a b"], "hf:a b: not a valid name of a Hub dataset"),
        (["model", "model"], "model: is a folder; give a file"),
        (["model/config.json", "test.csv"], "config.json: is a file of a model; give its folder"),
        (["test.csv", "model"], "test.csv: is data, not a model; the model comes first"),
        (["model", "test.csv", "--out", "a.xlsx"], "a.xlsx: must end in .csv"),
        (["model", "test.csv", "--text-b", "x"], "--text-b goes with --text; for a file of pairs"),
        (
            ["model", "--text", "x", "--text-column", "body"],
            "column options are for files; remove them",
        ),
        (
            ["model", "--text", "x", "--pair-columns", "a,b"],
            "column options are for files; remove them",
        ),
        (["model", "--text", "x", "--keep", "id"], "column options are for files; remove them"),
        (["model", "test.csv", "--keep", "id"], "test.csv: no column 'id'; the columns are 'text'"),
        (["model", "test.csv", "--keep", "text"], "the predictions have a column 'text' of their"),
        (["model", "articles.txt", "--keep", "id"], "articles.txt: plain text has no columns"),
        (["model", "articles.txt", "--text-column", "body"], "plain text has no columns"),
        (["model", "-", "--text-column", "body"], "-: plain text has no columns"),
        (["model", "test.csv", "--text-column", "body"], "test.csv: no column 'body'"),
        (["none", "--text", "x"], "none: no such file or folder"),
        (["words.vec", "--text", "x"], "words.vec: is an encoder, not a fitted model"),
    ],
)
def test_what_was_asked_wrong(run, words, message):
    code, out, err = run("predict", *words)
    assert (code, out) == (2, "")
    assert message in err
