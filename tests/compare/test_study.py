"""A whole comparison on a small made-up task, and what must hold of every comparison."""

import json
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

from headstart.compare.cells import Terms, run_cell
from headstart.compare.contestants import Contestant
from headstart.compare.study import compare
from headstart.data.labelled import Dataset, read_labelled
from headstart.errors import DataError, FormatError, LockedError, SettingsError
from headstart.storage import folder_lock
from headstart.transfer.loading import load

TOPICS = {
    "sea": ["wave", "tide", "ship", "sail", "harbor", "storm", "gull", "coast"],
    "sky": ["cloud", "wing", "bird", "star", "moon", "wind", "plane", "dawn"],
    "land": ["hill", "tree", "stone", "field", "path", "river", "farm", "horse"],
}
METHODS = ["majority", "tfidf", "vectors={}:probe"]


def _rows(count, seed=0):
    random = np.random.default_rng(seed)
    labels = [list(TOPICS)[row % 3] for row in range(count)]
    everywhere = ["the", "a", "of", "on", "and", "one"]
    texts = [
        " ".join([*random.choice(TOPICS[label], 3), *random.choice(everywhere, 4)])
        for label in labels
    ]
    return Dataset(texts, labels)


@pytest.fixture
def files(tmp_path):
    for name, rows in (("train", _rows(60)), ("test", _rows(45, seed=1))):
        lines = [f"{text},{label}" for text, label in zip(rows.texts, rows.labels, strict=True)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["text,label", *lines]) + "\n")
    random = np.random.default_rng(2)
    centers = random.normal(size=(3, 8))
    vectors = [
        f"{word} {' '.join(f'{number:.4f}' for number in center + random.normal(size=8) / 3)}"
        for center, words in zip(centers, TOPICS.values(), strict=True)
        for word in words
    ]
    (tmp_path / "vectors.txt").write_text("\n".join(vectors) + "\n")
    return tmp_path


def _compare(files, **options):
    methods = [method.format(files / "vectors.txt") for method in METHODS]
    settings = {"methods": methods, "label_budgets": [6, 24], "seeds": 2, "workers": 1}
    return compare(
        files / "train.csv",
        **{"test": files / "test.csv", "out": files / "out", **settings, **options},
    )


@pytest.mark.slow
def test_a_comparison_from_data_to_winner(files):
    found = _compare(files)
    folder = files / "out"
    results = json.loads((folder / "results.json").read_text())
    assert results["summary"] == found.table
    assert len(results["cells"]) == 3 * 2 * 2
    assert pq.read_table(folder / "results.parquet").num_rows == 3 * 2 * 2
    assert "vectors:probe" in (folder / "report.html").read_text()
    scores = {(row["method"], row["labels"]): row["mean"] for row in found.table}
    assert scores["vectors:probe", 6] > scores["majority", 6] + 0.3

    model = load(folder / "best")
    test = read_labelled(files / "test.csv")
    assert model.score(test.texts, test.labels) > 0.9
    assert model.fit_report_["labels"] == 60
    assert results["best"]["method"] != "majority"
    assert "--methods" in results["command"]

    before = {path: path.stat().st_mtime_ns for path in (folder / "cells").iterdir()}
    again = _compare(files, seeds=3)
    after = {path: path.stat().st_mtime_ns for path in (folder / "cells").iterdir()}
    assert len(after) == 3 * 2 * 3
    assert before.items() <= after.items(), "a finished cell was run again"
    assert [c for c in again.results["cells"] if c["seed"] < 2] == results["cells"]


def _terms(tmp_path, **changes):
    terms = Terms(
        train=_rows(60),
        test=_rows(30, seed=1),
        data_print="one",
        encoders={},
        prints={},
        folder=tmp_path,
    )
    return replace(terms, **changes)


def test_a_cell_is_a_function_of_its_terms(tmp_path):
    tfidf = Contestant.parse("tfidf")
    first, second, other = (
        run_cell(_terms(tmp_path), tfidf, None, labels=9, seed=seed) for seed in (0, 0, 1)
    )
    measured = ("seconds", "predictions_per_second")
    for cell in (first, second):
        for name in measured:
            assert cell.pop(name) > 0
    assert first == second
    assert first["correct"] != other["correct"], "another seed must draw other labels"
    assert first["value"] == pytest.approx(np.mean(first["correct"]))


def test_the_cache_knows_whatever_changes_a_result(tmp_path):
    terms, tfidf = _terms(tmp_path), Contestant.parse("tfidf")
    probe = Contestant.parse("word2vec:probe")
    paths = [
        terms.path(tfidf, 9, 0),
        terms.path(tfidf, 9, 1),
        terms.path(tfidf, 10, 0),
        terms.path(Contestant.parse("majority"), 9, 0),
        replace(terms, data_print="other").path(tfidf, 9, 0),
        replace(terms, prints={"word2vec": "a"}).path(probe, 9, 0),
        replace(terms, prints={"word2vec": "b"}).path(probe, 9, 0),
    ]
    assert len(set(paths)) == len(paths)


@pytest.mark.parametrize(
    ("options", "error", "reason"),
    [
        ({"label_budgets": [6, 600]}, SettingsError, "600 labels is above the 60"),
        ({"label_budgets": [2]}, SettingsError, "below the 3 classes"),
        ({"methods": ["bert:magic"]}, SettingsError, "bert:magic"),
        ({"methods": ["glove=no-such.txt:probe"]}, FormatError, r"no-such\.txt: no such file"),
        ({"seeds": 0}, SettingsError, "seeds"),
    ],
)
def test_bad_settings_are_told_before_anything_runs(files, options, error, reason):
    with pytest.raises(error, match=reason):
        _compare(files, **options)
    assert not (files / "out" / "results.json").exists()


def test_labels_that_only_the_test_rows_have(files):
    with (files / "test.csv").open("a") as file:
        file.write("a fish,fish\n")
    with pytest.raises(DataError, match="fish"):
        _compare(files)


def test_a_folder_in_use_is_left_alone(files):
    with folder_lock(files / "out"), pytest.raises(LockedError, match="process"):
        _compare(files)
