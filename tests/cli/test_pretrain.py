"""Pretraining from the command line: what is typed arrives, what is made is saved."""

import json
import tomllib
from pathlib import Path

import pytest

from headstart.hub import store


def test_an_encoder_is_saved_with_its_settings(run, files):
    code, out, _ = run(
        *("pretrain", "word2vec", "--corpus", "articles.txt", "--size", "tiny", "--epochs", "1"),
        *("--threads", "1", "--out", "w2v"),
    )
    assert code == 0
    assert out.startswith("word2vec 25d")
    settings = tomllib.loads((files / "w2v" / "settings.toml").read_text())
    assert settings["corpus"] == ["articles.txt"]
    assert (settings["method"], settings["epochs"], settings["threads"]) == ("word2vec", 1.0, 1)
    assert run("neighbors", "w2v", "market")[0] == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["word2vec"], True),
        (["glove", "--tokenizer", "whitespace"], True),
        (["word2vec", "--tokenizer", "bpe"], False),
        (["elmo"], True),
        (["bert"], False),
    ],
)
def test_a_corpus_without_spaces_is_noted_where_words_are_read(
    run, unspaced, monkeypatch, tmp_path, words, told
):
    def stop(*_, **__):
        raise KeyboardInterrupt

    for kind in ("store.pretrain_elmo", "store.pretrain_model", "vector_pretraining.encode_corpus"):
        monkeypatch.setattr(f"headstart.hub.{kind}", stop)
    command = ("pretrain", *words, "--corpus", "chinese.txt", "--out", tmp_path / "encoder")
    _, _, err = run(*command)
    assert ("no spaces between words" in err) == told


@pytest.mark.parametrize("method", ["word2vec", "bert"])
def test_a_corpus_of_decomposed_letters_is_noted(run, files, monkeypatch, method):
    def stop(*_, **__):
        raise KeyboardInterrupt

    for kind in ("store.pretrain_model", "vector_pretraining.encode_corpus"):
        monkeypatch.setattr(f"headstart.hub.{kind}", stop)
    (files / "nfd.txt").write_text("die Bo\u0308rse\nB\u00f6rse\n")
    _, _, err = run("pretrain", method, "--corpus", "nfd.txt", "--out", "encoder")
    assert "letters in 1 of the corpus's first documents are decomposed" in err


def test_every_option_arrives(run, monkeypatch):
    given = {}

    def pretrain(method, corpus, **options):
        given.update(options, method=method, corpus=corpus)
        raise KeyboardInterrupt

    monkeypatch.setattr(store, "pretrain", pretrain)
    code, *_ = run(
        *(
            "pretrain",
            "glove",
            "--corpus",
            "articles.txt",
            "--corpus",
            "train.csv",
            "--size",
            "mini",
        ),
        *("--minutes", "0.5", "--tokens", "9", "--seed", "3", "--min-count", "2", "--out", "x"),
    )
    assert code == 75
    assert given["method"] == "glove"
    assert given["corpus"] == [Path("articles.txt"), Path("train.csv")]
    assert (given["size"], given["minutes"], given["tokens"]) == ("mini", 0.5, 9)
    assert (given["seed"], given["min_count"], given["epochs"]) == (3, 2, None)


@pytest.mark.parametrize(("typed", "tokens"), [("20M", 20_000_000), ("1.5k", 1500), ("7", 7)])
def test_tokens_are_typed_as_for_plan(run, monkeypatch, typed, tokens):
    given = {}
    monkeypatch.setattr(store, "pretrain", lambda method, corpus, **options: given.update(options))
    run("pretrain", "gpt", "--corpus", "articles.txt", "--tokens", typed, "--out", "x")
    assert given["tokens"] == tokens
    code, _, err = run("pretrain", "gpt", "--corpus", "articles.txt", "--tokens", f"{typed}X")
    assert (code, "is not a number such as 50000000 or 50M" in err) == (2, True)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["lsa", "--corpus", "articles.txt"], "cannot pretrain 'lsa'; choose from word2vec, glove"),
        (["glove", "--corpus", "none.txt"], "none.txt: no such file or folder"),
        (["glove", "--corpus", "articles.txt", "--size", "huge"], "unknown size 'huge'"),
        (["glove"], "glove needs a corpus"),
        (["cove", "--corpus", "articles.txt"], "cove learns from translations; pass parallel"),
        (["glove", "--parallel", "a.tsv"], "parallel is for cove, not for glove"),
    ],
)
def test_what_was_asked_wrong(run, words, message):
    code, _, err = run("pretrain", *words, "--out", "x")
    assert code == 2
    assert message in err


def test_json(run):
    code, out, _ = run(
        *("pretrain", "glove", "--corpus", "articles.txt", "--size", "tiny", "--epochs", "1"),
        *("--out", "glove", "--json"),
    )
    found = json.loads(out)
    assert (code, found["folder"]) == (0, "glove")
    assert found["lineage"]["words"] > 0


def test_cove_from_translations_with_its_report(run, files):
    lines = [f"{a} {b}\tdie {b} und {a}" for a in "abcdefgh" for b in "ijklmnop"]
    (files / "pairs.tsv").write_text("\n".join(lines) + "\n")
    code, out, _ = run(
        *("pretrain", "cove", "--parallel", "pairs.tsv", "--vectors", "words.vec"),
        *("--size", "tiny", "--steps", "2", "--set", "vocabulary_size=300", "--out", "cove"),
    )
    assert code == 0
    assert "bleu" in out
    assert {"report.html", "target.json", "log.jsonl"} <= {
        f.name for f in (files / "cove").iterdir()
    }
    assert not (files / "cove.run").exists()
