"""Rows that were seen before the test, as a comparison looks for them and tells of them."""

import json

import pytest

from headstart.compare.clean_rows import (
    changed_rankings,
    clean_facts,
    clean_value,
    learns_from_corpus,
    look_for_seen,
)
from headstart.compare.contestants import parse_all
from headstart.data.corpora import read_corpus
from headstart.data.labelled import Dataset
from headstart.progress import SILENT

LONG = "one two three four five six seven eight nine ten eleven twelve thirteen"
TRAIN = Dataset(["a text of the training rows", "another"], ["x", "y"])
TEST = Dataset(
    ["a text of the training rows", LONG, "A text: of the training rows!", "b"], ["x"] * 4
)
CORPUS = read_corpus(texts=[f"and {LONG} and"])


def facts_of(*methods, test=TEST):
    contestants = parse_all(methods)
    seen = look_for_seen(TRAIN, test, CORPUS, contestants, progress=SILENT)
    return clean_facts(seen, contestants)


def test_the_facts():
    facts = facts_of("scratch", "word2vec:frozen", "glove=g.txt:probe", "glove=g.txt:frozen")
    assert json.loads(json.dumps(facts)) == facts
    assert facts["by_row"] == [0, 0, 0, 1]
    assert (facts["rows"], facts["test_rows"]) == (1, 4)
    assert [facts[name] for name in ("leaked", "nearly_leaked", "in_corpus")] == [1, 1, 1]
    assert (facts["too_short"], facts["unknown"]) == (3, ["glove"])
    assert facts["sentence"] == (
        "1 of 4 test rows is clean: 1 is a training row, 1 nearly identical to one, and 1 "
        "overlaps with the corpus; 3 have too few words to be searched for inside longer texts. "
        "What else glove learned from was not searched and may contain clean rows."
    )


def test_all_rows_clean_is_one_sentence():
    facts = facts_of("scratch", "word2vec:frozen", test=Dataset(["b", "c"], ["x", "y"]))
    assert facts["sentence"] == (
        "All 2 test rows are clean: none is a training row or nearly identical to one, and none "
        "is known to overlap with the corpus; 2 have too few words to be searched for inside "
        "longer texts."
    )
    long = Dataset([f"b {LONG[:50]} c", f"d {LONG[:40]} e"], ["x", "y"])
    assert facts_of("scratch", "word2vec:frozen", test=long)["sentence"] == (
        "All 2 test rows are clean: none is a training row or nearly identical to one, and none "
        "overlaps with the corpus."
    )


def test_one_row_is_spoken_of_as_one():
    one, repeated = Dataset(["b"], ["x"]), Dataset(TRAIN.texts, TRAIN.labels)
    assert facts_of("word2vec:frozen", test=one)["sentence"] == (
        "The only test row is clean: it is neither a training row nor nearly identical to one, "
        "and is not known to overlap with the corpus; 1 has too few words to be searched for "
        "inside longer texts."
    )
    long = Dataset([f"b {LONG[:50]} c"], ["x"])
    assert facts_of("word2vec:frozen", test=long)["sentence"] == (
        "The only test row is clean: it is neither a training row nor nearly identical to one, and "
        "does not overlap with the corpus."
    )
    assert facts_of("scratch", test=one)["sentence"].endswith(
        "neither a training row nor nearly identical to one."
    )
    assert facts_of("scratch", test=repeated)["sentence"] == (
        "0 of 2 test rows are clean: 2 are training rows, 0 nearly identical to one."
    )
    (said,) = changed_rankings([change(10, name) for name in "bcde"], 1)
    assert "on the 1 clean test row: " in said
    assert said.endswith("; and 1 more pair.")


@pytest.mark.parametrize(
    ("method", "looked", "unknown"),
    [
        ("tfidf", False, []),
        ("mine=runs/bert:finetune", False, ["mine"]),
        ("cove:frozen", False, ["cove"]),
        ("bert:probe", True, []),
        ("mine+adapt=runs/bert:finetune", True, ["mine"]),
    ],
)
def test_a_corpus_counts_where_a_method_learns_from_it(method, looked, unknown):
    facts = facts_of(method)
    assert facts["unknown"] == unknown
    assert (facts["in_corpus"], facts["rows"]) == ((1, 1) if looked else (None, 2))
    assert ("corpus" in facts["sentence"]) == looked


def test_which_methods_learn_from_the_corpus():
    learn = ("word2vec:probe", "bert:finetune", "mine+adapt=runs/bert:finetune")
    others = ("scratch", "glove=g.txt:probe", "cove:frozen", "mine=runs/bert:finetune")
    assert all(learns_from_corpus(parse_all([method])) for method in learn)
    assert not learns_from_corpus(parse_all(others))


def test_the_value_on_clean_rows():
    answers = {"correct": [1, 0, 1, 1]}
    assert clean_value(answers, [True, True, False, True]) == pytest.approx(2 / 3)
    assert clean_value(answers, [False] * 4) is None
    spans = answers | {"total": [2, 4, 1, 2]}
    assert clean_value(spans, [True, True, False, True]) == pytest.approx(2 / 8)


def change(labels, below, much=-0.01):
    names = ("difference", "low", "high", "clean_difference", "clean_low", "clean_high")
    numbers = (0.02, 0.01, 0.03, much, 2 * much, 0.0)
    pair = {"labels": labels, "above": "a:probe", "below": below}
    return pair | dict(zip(names, numbers, strict=True))


def test_changes_are_said_in_a_sentence_a_budget_the_largest_first():
    small = [change(10, "tfidf"), change(10, "scratch", -0.05)]
    many = [change(1000, name) for name in "bcdef"]
    first, second = changed_rankings([*small, *many], 412)
    assert first == (
        "With 10 labels, the ranking changes on the 412 clean test rows: a:probe is ahead of "
        "scratch on all rows, +0.020 [+0.010, +0.030], but behind on clean rows, -0.050 [-0.100, "
        "+0.000]; a:probe is ahead of tfidf on all rows, +0.020 [+0.010, +0.030], but behind on "
        "clean rows, -0.010 [-0.020, +0.000]."
    )
    assert second.startswith("With 1,000 labels, the ranking changes")
    assert second.endswith("; and 2 more pairs.")
    assert changed_rankings([], 412) == []
