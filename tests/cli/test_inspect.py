"""What a model is, and what it knows of one's own words."""

import json

import numpy as np

from headstart.hub.bundle import PretrainedWordVectors


def test_an_encoder(run):
    code, out, _ = run("inspect", "words.vec")
    assert code == 0
    assert "words.vec" in out
    assert "width" in out


def test_what_fills_pages_is_for_machines(run, files):
    lineage = {"corpus": "news", "curve": [[1, 2.5]] * 99, "translations": [{"source": "a b"}] * 9}
    vectors = PretrainedWordVectors.from_words(
        "vectors", ["a"], np.eye(1), config={}, lineage=lineage
    )
    vectors.save(files / "long")
    _, out, err = run("inspect", "long")
    assert "news" in out, err
    assert max(map(len, out.splitlines())) < 100
    _, out, _ = run("inspect", "long", "--json")
    assert json.loads(out)["about"]["translations"] == lineage["translations"]


def test_a_fitted_model(run):
    code, out, _ = run("inspect", "model", "--json")
    about = json.loads(out)["about"]
    assert (code, about["transfer"], about["classes"]) == (0, "tfidf", ["business", "sport"])


def test_the_words_of_the_task(run):
    code, out, _ = run("inspect", "words.vec", "--data", "train.csv", "--json")
    words = json.loads(out)["words"]
    assert code == 0
    assert {word["label"] for word in words} == {"business", "sport"}
    assert all(set(word["columns"]) == {"pretrained"} for word in words)
    code, out, _ = run("inspect", "words.vec", "--data", "train.csv")
    assert code == 0
    assert "pretrained" in out


def test_side_by_side(run):
    run(
        *("fit", "classification", "train.csv", "--encoder", "words.vec", "--transfer", "finetune"),
        *("--out", "tuned"),
    )
    code, out, _ = run(
        *("inspect", "tuned", "--data", "train.csv", "--encoder", "words.vec", "--json")
    )
    found = json.loads(out)
    assert code == 0
    assert set(found["words"][0]["columns"]) == {"pretrained", "finetuned"}
    assert found["moved"][0]["distance"] > 0


def test_word_tests(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "v.txt").write_text("king 1 0\nqueen 1 1\nman 2 0\nwoman 2 2\ncat -1 3\n")
    (tmp_path / "pairs.tsv").write_text("king\tman\t9\nKing\tQueen\t7\nking\tcat\t1\nx\ty\t5\n")
    (tmp_path / "questions.txt").write_text(": family\nman woman king queen\nman dog king cat\n")
    tests = ("--similarity", "pairs.tsv", "--analogies", "questions.txt")
    code, out, _ = run("inspect", "v.txt", *tests, "--json")
    found = json.loads(out)
    assert code == 0
    assert found["similarity"] == [
        {"test": "pairs", "spearman": 1.0, "covered": 3, "pairs": 4, "missing": 2}
    ]
    assert (
        found["analogies"][0] | {"accuracy": 1.0, "covered": 1, "questions": 2}
        == (found["analogies"][0])
    )
    assert found["analogies"][-1] == {"section": "all"} | {
        name: value for name, value in found["analogies"][0].items() if name != "section"
    }
    assert "spearman" in run("inspect", "v.txt", *tests)[1]


def test_what_cannot_be(run, files):
    assert (
        "is compared with the model on the words of --data; add --data"
        in run("inspect", "words.vec", "--encoder", "words.vec")[2]
    )
    assert "no word vectors to inspect" in run("inspect", "model", "--data", "train.csv")[2]

    rows = (f"{word},{number}" for number, word in enumerate(["team", "bank", "shares"] * 4))
    (files / "rated.csv").write_text("\n".join(["text,label", *rows]))
    words = ("fit", "regression", "rated.csv", "--encoder", "words.vec", "--transfer", "probe")
    assert run(*words, "--out", "rated")[0] == 0
    told = run("inspect", "rated", "--data", "rated.csv")[2]
    assert "rated: predicts numbers; --data needs a model that predicts one class" in told
    rows = (f"{word},{label}" for word, label in [("team", "a|b"), ("bank", "b"), ("cup", "a")] * 4)
    (files / "sets.csv").write_text("\n".join(["text,label", *rows]))
    words = ("fit", "classification", "sets.csv", "--label-separator", "|", "--transfer", "tfidf")
    assert run(*words, "--out", "sets")[0] == 0
    told = run("inspect", "sets", "--data", "sets.csv")[2]
    assert "sets: predicts several labels per text; --data needs a model" in told

    run(
        *("fit", "classification", "train.csv", "--encoder", "words.vec", "--transfer", "probe"),
        *("--out", "probed"),
    )
    beside = run("inspect", "probed", "--data", "train.csv", "--encoder", "words.vec")
    assert "its word vectors are as pretrained" in beside[2]
