"""From tagged sentences to a tagger, its tags and its scores, with the commands a user types."""

import json
import tomllib

import pytest

NAMES = "Mary B-P\nAnn I-P\nmet O\nBob B-P\n\nBob B-P\nleft O\nMary B-P\n\n"


@pytest.fixture(scope="module")
def names(files):
    (files / "names.conll").write_text(NAMES * 6)
    (files / "names.test").write_text("Ann B-P\nleft O\n\nRome B-L\nfell O\n")
    (files / "words.jsonl").write_text('{"tokens": ["Mary", "left"]}\n')
    (files / "ann.conll").write_text("Ann B-P\nO O\nAnn I-P\n")
    return files


@pytest.fixture
def tagger(run, names):
    if not (names / "names").exists():
        assert (
            run("fit", "tagging", "names.conll", "--transfer", "majority", "--out", "names")[0] == 0
        )
    return "names"


def test_a_tagger_is_fitted(run, names):
    code, out, _ = run(
        *("fit", "tagging", "names.conll", "--encoder", "words.vec", "--transfer", "probe"),
        *("--out", "unknown-words"),
    )
    assert code == 2, "the encoder knows none of these names"
    (names / "known.conll").write_text("team B-T\ngoal O\n\ncup O\nteam B-T\nmatch O\n\n" * 4)
    code, out, _ = run(
        *("fit", "tagging", "known.conll", "--encoder", "words.vec", "--transfer", "probe"),
        *("--out", "known"),
    )
    assert code == 0
    assert "tensors taken  1 of 1" in out
    assert "scheme         IOB2, 2 tags" in out
    assert out.endswith("model          known\n")
    settings = tomllib.loads((names / "known" / "settings.toml").read_text())
    assert (settings["transfer"], settings["scheme"]) == ("probe", "auto")


def test_json(run, names):
    found = run(
        *("fit", "tagging", "names.conll", "--transfer", "majority", "--out", "j", "--json")
    )
    assert (found[0], json.loads(found[1])["folder"]) == (0, "j")


def test_a_tagger_is_inspected(run, tagger):
    code, out, _ = run("inspect", tagger, "--json")
    assert (code, json.loads(out)["about"]["classes"]) == (0, ["B-P", "I-P", "O"])


def test_words_are_tagged(run, tagger):
    assert (
        run("predict", tagger, "names.test")[1] == "Ann\tI-P\nleft\tO\n\nRome\tB-P\nfell\tB-P\n\n"
    )
    assert run("predict", tagger, "--text", "Mary left")[1] == "Mary\tB-P\nleft\tO\n\n"
    _, out, _ = run("predict", tagger, "words.jsonl", "--json")
    assert json.loads(out) == {"tokens": ["Mary", "left"], "tags": ["B-P", "O"]}
    code, out, _ = run("predict", tagger, "names.test", "--out", "tagged.conll")
    assert (code, out) == (0, "2 tagged sentences in tagged.conll\n")


def test_a_tagger_is_scored(run, tagger):
    code, out, err = run("evaluate", tagger, "names.test")
    assert code == 0
    assert out.startswith("2 sentences, 4 words: precision 0.3333, recall 0.5000, F1 0.4000")
    assert "names.test line 4: tag 'B-L' is not in the training data and counts as missed" in err
    _, out, _ = run("evaluate", tagger, "names.test", "--json")
    found = json.loads(out)
    assert (found["sentences"], found["words"], found["accuracy"]) == (2, 4, 0.25)
    assert [each["type"] for each in found["types"]] == ["L", "P"]


def test_a_tagger_is_scored_where_there_is_no_span(run, names):
    (names / "spanless.conll").write_text("so O\nit O\n\ngoes O\n")
    (names / "rare.conll").write_text("Ann B-P\nso O\nit O\n\nso O\ngoes O\n\n" * 4)
    run("fit", "tagging", "rare.conll", "--transfer", "majority", "--out", "rare")
    code, out, _ = run("evaluate", "rare", "spanless.conll")
    assert code == 0
    assert out == (
        "2 sentences, 3 words: precision 0.0000, recall 0.0000, F1 0.0000; "
        "accuracy of words 1.0000\n"
    )


def test_what_makes_tags_plain_is_told(run, names):
    (names / "bilou.conll").write_text("Ann U-P\nmet O\nBob B-P\nLee L-P\n\n" * 4)
    words = ("fit", "tagging", "bilou.conll", "--transfer", "majority", "--out")
    told = "bilou.conll line 1: tag 'U-P' is not legal in BIO, IOB1 or BIOES"
    assert told in run(*words, "bilou")[2]
    assert told not in run(*words, "plain", "--scheme", "plain")[2], "it was asked for"
    assert told in run("data", "check", "bilou.conll", "--task", "tagging")[2]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["ann.conll"], "ann.conll line 3: tag 'I-P' after 'O' is not legal in IOB2"),
        (["names.conll", "--transfer", "tfidf"], "'tfidf' counts the words of a text"),
        (["names.conll", "--scheme", "BILOU"], "scheme must be auto, BIO"),
        (
            ["names.conll", "--label-column", "3"],
            "names.conll line 1: found 2 columns, but column 3 was requested",
        ),
        (
            ["table.csv"],
            "table.csv line 1: found one column, expected a word and its tag; put a tab",
        ),
        (["table.csv"], "between them; a CSV table cannot be used for tagging"),
        (["prose.txt"], "prose.txt line 2: found 3 columns, expected 2; write one word per line"),
        (["none.conll"], "none.conll: no such file"),
    ],
)
def test_what_cannot_be_fitted_is_told_in_a_line(run, names, words, message):
    (names / "prose.txt").write_text("two words\nthree words here\n")
    (names / "table.csv").write_text("text,label\nthree words here,x\n")
    code, _, err = run("fit", "tagging", *words, "--out", "nowhere")
    assert code == 2
    assert message in err
    assert not (names / "nowhere").exists()


def test_illegal_tags_are_repaired_on_request(run, names):
    words = ("fit", "tagging", "ann.conll", "--transfer", "majority", "--repair", "--out", "mended")
    assert run(*words)[0] == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["evaluate", "names", "names.test", "--pair-columns", "a,b"], "the model takes words"),
        (
            ["evaluate", "names", "names.test", "--label-separator", "|"],
            "does not predict several labels per text",
        ),
        (["predict", "names", "names.test", "--pair-columns", "a,b"], "the model takes words"),
        (
            ["predict", "names", "names.test", "--label-separator", "|"],
            "does not predict several labels per text",
        ),
        (
            ["predict", "names", "--text", "a", "--text-b", "b"],
            "--text-b is for models of text pairs",
        ),
    ],
)
def test_what_a_tagger_does_not_take_is_refused(run, tagger, words, message):
    code, out, err = run(*words)
    assert (code, out) == (2, "")
    assert message in err
