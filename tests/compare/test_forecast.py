"""A forecast sees a few training labels and nothing else, and is then held against the scores."""

import json

import numpy as np
import pytest

from headstart.compare import forecast as module
from headstart.compare.contestants import parse_all
from headstart.compare.forecast import forecast, hold_against
from headstart.compare.study import compare
from headstart.data.labelled import Dataset
from headstart.data.splits import nested_subsets
from headstart.progress import SILENT

CONTESTANTS = parse_all(["tfidf", "scratch", "a=f:probe", "a=f:frozen", "b=f:probe", "b=f:scratch"])


def made_up(order, values):
    """Return what `rank_encoders` says, as far as it is held against anything."""
    told = dict(zip(order, values, strict=True))
    return {
        "labels": 20,
        "encoders": [
            {
                "encoder": name,
                **{each: {"value": value} for each in ("logme", "h_score")},
                "probe": {"value": -value},
            }
            for name, value in told.items()
        ],
    }


def summary(scores, labels=10):
    return [{"method": name, "labels": labels, "mean": score} for name, score in scores.items()]


def test_it_reads_the_training_rows_of_the_middle_budget_and_no_others(vectors, rows, monkeypatch):
    seen = []
    monkeypatch.setattr(
        module, "rank_encoders", lambda encoders, given, **options: seen.append(given) or {}
    )
    train = rows(60)
    encoders = {"a": vectors, "b": vectors}
    forecast(CONTESTANTS, encoders, train, [6, 12, 60], progress=SILENT)
    expected = train.select(nested_subsets(train.labels, [12], seed=0)[12])
    assert (seen[0].texts, seen[0].labels) == (expected.texts, expected.labels)
    many = rows(600)
    forecast(CONTESTANTS, encoders, many, [400], progress=SILENT)
    assert len(seen[1]) == 200
    assert set(seen[1].texts) <= set(many.texts)


@pytest.mark.parametrize(
    ("kinds", "budgets", "labels"),
    [(150, [1000], 300), (150, [150], 300), (3, [3], 6), (3, [1000], 200), (601, [601], None)],
)
def test_two_labels_of_each_class_are_read_or_none(vectors, monkeypatch, kinds, budgets, labels):
    def read(encoders, given, **options):
        return {"labels": len(given)}

    monkeypatch.setattr(module, "rank_encoders", read)
    train = Dataset(
        [f"wave {row}" for row in range(1200)], [f"c{row % kinds}" for row in range(1200)]
    )
    found = forecast(CONTESTANTS, {"a": vectors, "b": vectors}, train, budgets, progress=SILENT)
    assert (found and found["labels"]) == labels


def test_there_is_none_for_fewer_than_two_encoders(vectors, rows):
    assert forecast(CONTESTANTS, {"a": vectors}, rows(30), [6], progress=SILENT) is None
    controls = parse_all(["scratch", "a=f:scratch", "b=f:scratch"])
    assert forecast(controls, {"a": vectors, "b": vectors}, rows(30), [6], progress=SILENT) is None


def test_the_best_method_of_an_encoder_is_what_it_reached():
    scores = {"tfidf": 0.99, "a:probe": 0.7, "a:frozen": 0.8, "b:probe": 0.75, "b:scratch": 0.9}
    found = hold_against(made_up("ab", [1.0, 2.0]), CONTESTANTS, summary(scores))
    assert found["reached"] == [
        {"encoder": "a", "labels": 10, "method": "a:frozen", "mean": 0.8},
        {"encoder": "b", "labels": 10, "method": "b:probe", "mean": 0.75},
    ]
    judged = {each["estimate"]: each for each in found["judged"]}
    assert judged["logme"]["foretold"] == ["b", "a"]
    assert judged["logme"]["found"] == ["a", "b"]
    assert judged["logme"]["regret"] == pytest.approx(0.05)
    assert judged["probe"]["foretold"] == ["a", "b"]
    assert judged["probe"]["regret"] == 0
    assert all(each["tau"] is None for each in found["judged"]), "two encoders have no tau"


def test_four_encoders_have_a_tau():
    contestants = parse_all([f"{name}=f:probe" for name in "abcd"])
    scores = summary({"a:probe": 0.6, "b:probe": 0.9, "c:probe": 0.7, "d:probe": 0.8})
    found = hold_against(made_up("abcd", [1, 4, 2, 3]), contestants, scores)
    assert [each["tau"] for each in found["judged"]] == [1, 1, -1]
    assert [round(each["regret"], 9) for each in found["judged"]] == [0, 0, 0.3]
    swapped = hold_against(made_up("abcd", [1, 4, 3, 2]), contestants, scores)
    assert swapped["judged"][0]["tau"] == pytest.approx(4 / 6)  # one of six pairs is wrong
    alike = hold_against(made_up("abcd", [1, 1, 1, 1]), contestants, scores)
    assert alike["judged"][0]["tau"] is None


def test_an_encoder_that_was_left_out_of_a_budget_is_not_held_against_it():
    scores = [
        *summary({"a:probe": 0.7, "b:probe": 0.8}, 10),
        *summary({"a:probe": 0.9}, 100),
    ]
    found = hold_against(made_up("ab", [2.0, 1.0]), CONTESTANTS, scores)
    assert {each["labels"] for each in found["judged"]} == {10}
    assert len(found["reached"]) == 3


@pytest.mark.slow
def test_a_comparison_tells_whether_it_could_have_been_known(files):
    lines = (files / "vectors.txt").read_text().splitlines()
    random = np.random.default_rng(3)
    noise = [
        " ".join([line.split()[0], *(f"{each:.3f}" for each in random.normal(size=8))])
        for line in lines
    ]
    (files / "noise.txt").write_text("\n".join(noise) + "\n")
    methods = [f"good={files / 'vectors.txt'}:probe", f"noise={files / 'noise.txt'}:probe"]
    compare(
        files / "train.csv", test=files / "test.csv", methods=methods, label_budgets=[6, 24],
        seeds=1, workers=1, out=files / "out",
    )  # fmt: skip
    told = json.loads((files / "out" / "results.json").read_text())["forecast"]
    assert told["labels"] == 24
    assert [row["encoder"] for row in told["encoders"]] == ["good", "noise"]
    assert all(each["foretold"] == ["good", "noise"] for each in told["judged"])
    assert {each["labels"] for each in told["judged"]} == {6, 24}
    assert all(each["regret"] >= 0 for each in told["judged"])
    page = (files / "out" / "report.html").read_text()
    assert "Could the best encoder have been predicted?" in page


def test_the_test_rows_have_no_say(vectors, rows):
    """The forecast of a comparison is a function of training rows: it is not given any others."""
    train = rows(60)
    first = forecast(CONTESTANTS, {"a": vectors, "b": vectors}, train, [24], progress=SILENT)
    chosen = set(nested_subsets(train.labels, [24], seed=0)[24].tolist())
    changed = Dataset(
        [text if row in chosen else "wave wave" for row, text in enumerate(train.texts)],
        train.labels,
    )
    again = forecast(CONTESTANTS, {"a": vectors, "b": vectors}, changed, [24], progress=SILENT)
    assert first["encoders"] == again["encoders"]
