"""A whole comparison on a small made-up task, and what must hold of every comparison."""

import html
import json
import math
import shlex
import time
from contextlib import contextmanager
from dataclasses import replace
from itertools import combinations

import numpy as np
import pyarrow.parquet as pq
import pytest

from headstart.compare import cells
from headstart.compare.cells import run_cell
from headstart.compare.comparison import Comparison
from headstart.compare.contestants import Contestant
from headstart.compare.rows import choose_budgets, warn_of
from headstart.compare.schedule import Job
from headstart.compare.study import compare
from headstart.compare.tasks import CLASSIFICATION
from headstart.data.labelled import Dataset, read_labelled
from headstart.errors import (
    DataError,
    ExistsError,
    FormatError,
    InterruptedRunError,
    LockedError,
    SettingsError,
)
from headstart.storage import folder_lock
from headstart.transfer.estimators import TextClassifier
from headstart.transfer.loading import load

pytestmark = pytest.mark.usefixtures("forked")
TOPICS = {
    "sea": ["wave", "tide", "ship", "sail", "harbor", "storm", "gull", "coast"],
    "sky": ["cloud", "wing", "bird", "star", "moon", "wind", "plane", "dawn"],
    "land": ["hill", "tree", "stone", "field", "path", "river", "farm", "horse"],
}
METHODS = ["majority", "tfidf", "vectors={}:probe"]


def _compare(files, **options):
    methods = [method.format(files / "vectors.txt") for method in METHODS]
    settings = {"methods": methods, "label_budgets": [6, 24], "seeds": 2, "workers": 1}
    return compare(
        **{
            "data": files / "train.csv",
            "test": files / "test.csv",
            "out": files / "out",
            **settings,
            **options,
        },
    )


@pytest.mark.parametrize(
    ("rows", "quick", "expected"),
    [
        (149, False, (10, 25, 50, 100)),
        (210, False, (10, 25, 50, 100, 210)),
        (700, False, (10, 25, 50, 100, 250, 700)),
        (1375, False, (10, 25, 50, 100, 250, 1000)),
        (210, True, (10, 25)),
    ],
)
def test_the_usual_budgets_end_with_all_rows_where_they_are_few(rows, quick, expected):
    labels = [("sea", "sky", "land")[row % 3] for row in range(rows)]
    train = Dataset([f"text {row}" for row in range(rows)], labels)
    assert choose_budgets(None, CLASSIFICATION, train, quick=quick) == expected


def test_a_comparison_looks_short(tmp_path):
    best, headline = {"method": "tfidf"}, {"sentence": "No head start."}
    results = {"best": best, "headline": headline, "cells": [{}] * 1000, "summary": []}
    assert repr(Comparison(results, tmp_path)) == (
        f"Comparison(headline='No head start.', winner='tfidf', folder={str(tmp_path)!r})"
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
    assert not any("pretrained on the training texts" in each for each in results["warnings"])
    assert results["data"]["corpus"] == {}
    assert 0 < results["cores_used"] < 2
    assert all(0 <= row["calibration_error"] <= 1 for row in found.table)
    assert "--methods" in results["command"]

    before = {path: path.stat().st_mtime_ns for path in (folder / "cells").iterdir()}
    again = _compare(files, seeds=3)
    after = {path: path.stat().st_mtime_ns for path in (folder / "cells").iterdir()}
    assert len(after) == 3 * 2 * 3
    assert before.items() <= after.items(), "a finished cell was run again"
    assert [c for c in again.results["cells"] if c["seed"] < 2] == results["cells"]


@pytest.mark.slow
def test_the_report_tells_what_was_done_and_how_to_do_it_again(files, rows):
    found = _compare(files, seeds=None, quick=True, label_budgets=[6], workers=2)
    settings = found.results["settings"]
    assert (settings["seeds"], settings["labels"], settings["workers"]) == (3, [6], 2)
    assert settings["vectors:probe"]["strengths"] == (0.1, 1.0, 10.0, 100.0)
    assert (settings["minutes"], settings["pretrain_minutes"]) == (None, 5.0)
    words = shlex.split(found.results["command"])
    assert words[:3] == ["headstart", "compare", str(files / "train.csv")]
    assert words[words.index("--labels") + 1] == "6"
    assert "--seeds" not in words
    text = (files / "out" / "report.html").read_text()
    assert "vectors:probe.strengths" in text
    assert html.escape(found.results["command"], quote=True) in text.replace("&#39;", "&#x27;")
    columns = found.results["knowledge"]["words"][0]["columns"]
    assert list(columns) == ["scratch", "pretrained"]
    assert found.head_starts["vectors:probe", 6] is None

    train, test = rows(60), rows(45, seed=1)
    again = compare(train, test=test, methods=["majority"], label_budgets=[6, 60], out=files / "b")
    assert again.results["command"] is None
    text = (files / "b" / "report.html").read_text()
    assert "no command to replay this comparison" in text
    (shared,) = [each for each in again.results["warnings"] if "seeds share" in each]
    assert shared.startswith("With 60 of 60 training rows, seeds share all of their labels")
    assert shared in text


def test_validation_chooses_the_winner_whatever_the_test_rows_say(files, rows):
    # The test rows say the contrary of the training rows: the best method is the worst on them.
    contrary = {"sea": "sky", "sky": "land", "land": "sea"}
    test = rows(45, seed=1)
    test = Dataset(test.texts, [contrary[label] for label in test.labels])
    found = _compare(files, test=test, label_budgets=[24])
    scores = {row["method"]: row["mean"] for row in found.table}
    assert found.best["method"] != "majority"
    assert scores["majority"] > scores[found.best["method"]]


def test_one_label_a_class_leaves_none_to_validate_on(files):
    asked = {"methods": ["tfidf", "scratch", METHODS[2].format(files / "vectors.txt")], "seeds": 1}
    found = _compare(files, label_budgets=[3, 30], **asked).results
    (warning,) = [each for each in found["warnings"] if "validation" in each]
    assert warning.startswith("With 3 labels, no row is left for validation because each class has")
    bare = [cell["labels"] for cell in found["cells"] if cell["calibration_error"] is None]
    assert bare == [3, 3, 3]
    assert [row["labels"] for row in found["recommendation"]["by_labels"]] == [30]
    assert found["headline"]["labels"] in (None, 30)
    assert "With 30 labels" in found["headline"]["sentence"]
    alone = _compare(files, label_budgets=[3], **asked).results
    assert [row["labels"] for row in alone["recommendation"]["by_labels"]] == [3]


@pytest.mark.parametrize(
    ("budgets", "seeds", "said"),
    [
        (
            [10, 50, 80, 100],
            3,
            "With 50 of 100 training rows or more, seeds share at least half of",
        ),
        ([10, 100], 3, "With 100 of 100 training rows, seeds share all of their labels: intervals"),
        ([10, 100], 1, None),
        ([10, 49], 3, None),
    ],
)
def test_budgets_of_which_seeds_share_their_labels_are_warned_of_once(budgets, seeds, said):
    found = warn_of([], CLASSIFICATION, budgets=budgets, seeds=seeds, num_rows=100)
    assert len(found) == (said is not None)
    assert all(each.startswith(said) and "other choices of the labels" in each for each in found)


@pytest.mark.slow
def test_a_ranking_that_rows_seen_before_decide_is_warned_of(files):
    # tfidf knows the codes that it saw with their labels, the vectors know words that it never saw.
    coded = [(f"zq{n} xv{n * 7} c{n}", list(TOPICS)[n % 3]) for n in range(40)]

    def three_of(first):
        for topic, words in TOPICS.items():
            yield from (
                (" ".join(some), topic) for some in combinations(words[first : first + 4], 3)
            )

    train, test = (
        Dataset(*map(list, zip(*three_of(first), *coded, strict=True))) for first in (0, 4)
    )
    methods = ["tfidf", METHODS[2].format(files / "vectors.txt")]
    found = _compare(files, data=train, test=test, label_budgets=[52], methods=methods)
    results = found.results
    assert results["clean"]["by_row"] == [1] * 12 + [0] * 40
    assert results["clean"]["leaked"] == 40
    scores = {row["method"]: (row["mean"], row["clean_mean"]) for row in found.table}
    tfidf, vectors = scores["tfidf"], scores["vectors:probe"]
    assert tfidf[0] > vectors[0]
    assert tfidf[1] < vectors[1]
    (change,) = results["ranking_changes"]
    assert (change["above"], change["below"]) == ("tfidf", "vectors:probe")
    text = (files / "out" / "report.html").read_text()
    (warning,) = [each for each in results["warnings"] if "ranking changes" in each]
    assert warning.startswith("With 52 labels, the ranking changes on the 12 clean test rows: tfid")
    assert warning in text
    assert "On clean rows [95% CI]" in text
    assert results["clean"]["sentence"] in text
    cell = results["cells"][0]
    assert cell["clean_value"] == pytest.approx(np.mean(cell["correct"][:12]))
    assert "clean_value" in pq.read_table(files / "out" / "results.parquet").column_names


def test_every_method_is_given_the_same_rows(terms, brief):
    given = []

    class Spy(TextClassifier):
        def fit(self, texts, labels, **options):
            given.append((tuple(texts), tuple(labels)))
            return super().fit(texts, labels, **options)

    terms = replace(terms, task=replace(CLASSIFICATION, estimator=Spy))
    for name in ("majority", "tfidf", "scratch"):
        for labels in (6, 12):
            run_cell(terms, Contestant.parse(name), None, labels=labels, seed=3)
    assert given[0::2] == [given[0]] * 3
    assert given[1::2] == [given[1]] * 3
    assert set(given[0][0]) <= set(given[1][0])


def test_what_is_finished_survives_ctrl_c(files, monkeypatch):
    advanced = []

    class Impatient:
        @contextmanager
        def stage(self, description, total=None, unit=""):
            def advance(amount):
                advanced.append(amount)
                if description == "comparing" and sum(advanced) >= 2:
                    raise KeyboardInterrupt

            advanced.clear()
            yield advance

        def note(self, message):
            pass

    with pytest.raises(
        InterruptedRunError, match="rerun the same command or call to resume"
    ) as error:
        _compare(files, progress=Impatient())
    assert error.value.exit_code == 75
    kept = list((files / "out" / "cells").glob("*.json"))
    assert 2 <= len(kept) < 3 * 2 * 2
    assert len(_compare(files).results["cells"]) == 3 * 2 * 2
    assert set(kept) <= set((files / "out" / "cells").iterdir())


def test_a_cell_that_fails_is_named(files):
    french = files / "french.csv"
    french.write_text("text,label\n" + "bonjour,a\nau revoir,b\n" * 10)
    with pytest.raises(DataError, match=r"vectors:probe with 6 labels, seed 0: .*knows none"):
        _compare(
            files,
            methods=[METHODS[2].format(files / "vectors.txt")],
            test=None,
            data=french,
            label_budgets=[6],
        )


def test_a_winner_that_cannot_be_saved_is_not_blamed_on_a_cell(terms, monkeypatch, tmp_path):
    monkeypatch.setattr(cells, "_WORKER", {"terms": terms})
    (tmp_path / "best").mkdir()
    (tmp_path / "best" / "notes.txt").write_text("mine")
    work = cells._Work(Job(Contestant.parse("majority"), 6, 0), save_to=tmp_path / "best")
    with pytest.raises(ExistsError, match=r"^\S+best: contains 'notes\.txt'"):
        cells._do(work)


def test_a_cell_is_a_function_of_its_terms(terms):
    tfidf = Contestant.parse("tfidf")
    first, second, other = (run_cell(terms, tfidf, None, labels=9, seed=seed) for seed in (0, 0, 1))
    measured = ("seconds", "predictions_per_second")
    for cell in (first, second):
        assert all(seconds > 0 for seconds in cell.pop("spent"))
        for name in measured:
            assert cell.pop(name) > 0
    assert first == second
    assert first["correct"] != other["correct"], "another seed must draw other labels"
    assert first["value"] == pytest.approx(np.mean(first["correct"]))


def test_a_cell_whose_time_is_up_ends_at_its_next_step(terms, monkeypatch):
    monkeypatch.setattr(cells, "_WORKER", {"terms": terms})
    job = Job(Contestant.parse("scratch"), 24, 0)
    assert cells._do(cells._Work(job, deadline=time.time() - 1.0)) is None
    assert not terms.path(*job).exists()
    assert cells._do(cells._Work(job, deadline=time.time() + 600.0))
    assert terms.path(*job).exists()


def test_the_cache_knows_whatever_changes_a_result(terms):
    tfidf = Contestant.parse("tfidf")
    probe, tuned = (Contestant.parse(f"mine=f:{name}") for name in ("probe", "finetune"))
    paths = [
        terms.path(tfidf, 9, 0),
        terms.path(tfidf, 9, 1),
        terms.path(tfidf, 10, 0),
        terms.path(Contestant.parse("majority"), 9, 0),
        replace(terms, data_print="other").path(tfidf, 9, 0),
        replace(terms, prints={"mine": "a"}).path(probe, 9, 0),
        replace(terms, prints={"mine": "b"}).path(probe, 9, 0),
        replace(terms, prints={"mine": "a"}).path(tuned, 9, 0),
        replace(terms, prints={"mine": "a"}, widths={"mine": 64}).path(tuned, 9, 0),
        replace(terms, prints={"mine": "a"}, widths={"mine": 128}).path(tuned, 9, 0),
    ]
    assert len(set(paths)) == len(paths)


LARGE = ["scratch", "mine={}:finetune", "mine={}:probe", "mine={}:scratch"]


@pytest.mark.slow
def test_whole_models_take_part_from_data_to_winner(files, bert, rows):
    bert.save(files / "bert")
    methods = [method.format(files / "bert") for method in LARGE]
    found = _compare(files, methods=methods, label_budgets=[12], workers=2)
    results = found.results
    assert [row["method"] for row in found.table] == ["scratch", "mine:finetune", "mine:probe",
                                                      "mine:scratch"]  # fmt: skip
    assert set(results["proofs"]) == {"mine:finetune", "mine:probe"}
    assert results["proofs"]["mine:finetune"]["distance"] > 0
    assert [(row["of"], row["method"]) for row in results["gains"]] == [
        ("pretraining", "mine:finetune")
    ]
    assert results["settings"]["mine:finetune"]["learning_rate"] == pytest.approx(0.04 / 16)
    assert results["left_out"] == []
    assert len(list((files / "out" / "states").iterdir())) == 1
    assert results["knowledge"] is None
    assert "Gains from pretraining and adaptation" in (files / "out" / "report.html").read_text()
    assert results["best"]["fitted_labels"] == 60


@pytest.mark.slow
def test_what_there_is_no_time_for_is_left_out_and_shown(files, bert):
    bert.save(files / "bert")
    methods = ["tfidf", "scratch", f"mine={files / 'bert'}:finetune"]
    found = _compare(files, methods=methods, minutes=1e-4)
    results = json.loads((files / "out" / "results.json").read_text())
    assert {(row["method"], row["labels"]) for row in found.table} == {("tfidf", 6), ("scratch", 6)}
    missing = {(row["method"], row["labels"]) for row in results["left_out"]}
    assert missing == {
        ("tfidf", 24), ("scratch", 24), ("mine:finetune", 6), ("mine:finetune", 24)
    }  # fmt: skip
    assert not any("mine" in each for each in results["differences"])
    assert results["settings"]["minutes"] == pytest.approx(1e-4)
    assert "minutes, but was allowed 0.0001: with the fewest labels" in results["warnings"][-1]
    assert "--minutes 0.0001" in results["command"]
    text = (files / "out" / "report.html").read_text()
    assert "Left out for lack of time" in text
    assert "mine:finetune with 6 and 24 labels" in text
    assert load(files / "out" / "best").fit_report_["labels"] == 6

    whole = _compare(files, methods=methods, minutes=math.inf, pretrain_minutes=math.inf)
    assert whole.results["settings"]["pretrain_minutes"] is None
    assert whole.results["left_out"] == []
    assert (len(whole.table), whole.best["fitted_labels"]) == (6, 60)
    assert "--minutes inf" in whole.results["command"]


@pytest.mark.parametrize(
    ("options", "error", "reason"),
    [
        ({"label_budgets": [6, 600]}, SettingsError, "600 labels exceeds the 60"),
        ({"label_budgets": [2]}, SettingsError, "below the 3 classes"),
        ({"methods": ["bert:magic"]}, SettingsError, "bert:magic"),
        ({"methods": ["glove=no-such.txt:probe"]}, FormatError, r"no-such\.txt: no such file"),
        ({"methods": "tfidf"}, SettingsError, r"methods must be a list, such as \['tfidf'\]"),
        ({"label_budgets": 20}, SettingsError, r"label_budgets must be a list, such as \[20\]"),
        ({"label_budgets": ["6"]}, SettingsError, "each of label_budgets must be a whole number"),
        ({"methods": []}, SettingsError, "methods is an empty list; give at least one item, or"),
        ({"seeds": 0}, SettingsError, "seeds must be above 0"),
        ({"seeds": 2.0}, SettingsError, r"seeds must be a whole number, got 2\.0"),
        ({"workers": 1.5}, SettingsError, r"workers must be a whole number, got 1\.5"),
        ({"pretrain_minutes": 0}, SettingsError, "pretrain_minutes must be above 0"),
        (
            {"pretrain_minutes": math.inf, "methods": ["bert:probe"]},
            SettingsError,
            "pretrain_minutes must be finite if CoVe, ELMo, BERT or GPT is pretrained or adapted",
        ),
        ({"minutes": -1}, SettingsError, "minutes must be above 0"),
        ({"minutes": math.nan}, SettingsError, "minutes must be above 0"),
        (
            {"pretrain_size": "huge"},
            SettingsError,
            "unknown pretrain_size 'huge'; choose from tiny",
        ),
        ({"methods": ["word2vec:scratch"]}, SettingsError, "word2vec provides word vectors"),
        ({"data": None}, SettingsError, "test rows, columns and bad rows need labeled data"),
        ({"data": None, "test": None, "max_bad_rows": 1}, SettingsError, "bad rows need labeled"),
        ({"data": None, "test": None, "repair": True}, SettingsError, "as do scheme and repair"),
        ({"repair": True}, SettingsError, "scheme and repair are only for tags"),
        ({"max_bad_rows": -1}, SettingsError, "max_bad_rows must be 0 or more, got -1"),
        ({"unseen_labels": "skip"}, SettingsError, "must be 'refuse' or 'count-as-error', got 'sk"),
    ],
)
def test_bad_settings_are_told_before_anything_runs(files, options, error, reason):
    with pytest.raises(error, match=reason):
        _compare(files, **options)
    assert not (files / "out" / "results.json").exists()


def test_a_corpus_may_lack_the_text_column_of_the_data(files):
    lines = (files / "train.csv").read_text().splitlines()
    (files / "train.csv").write_text("\n".join(["Review,label", *lines[1:]]))
    (files / "wiki.csv").write_text("id,body\n" + "".join(f"{n},a wave\n" for n in range(9)))
    found = _compare(
        files, test=None, text_column="Review", corpus=files / "wiki.csv", methods=["majority"]
    )
    assert any("using column 'body' as the text" in note for note in found.results["data"]["notes"])


@pytest.mark.parametrize("place", ["out", "out/below/it"])
def test_a_file_where_the_folder_shall_be_is_told_before_the_data_are_read(files, place):
    (files / "out").write_text("a file")
    with pytest.raises(ExistsError, match="out: is a file, not a folder"):
        _compare(files, data="no-such.csv", out=files / place)
    assert (files / "out").read_text() == "a file"


def test_numbers_of_numpy_are_as_good_as_others(files):
    budgets, one = np.array([6, 24]), np.int64(1)
    found = _compare(
        files, methods=["majority"], label_budgets=budgets, seeds=one, minutes=np.float32(5),
        max_bad_rows=np.int64(2), drop_leaks=np.bool_(True),
    )  # fmt: skip
    assert found.results["settings"]["labels"] == [6, 24]
    assert "--labels 6,24 --seeds 1 --minutes 5.0" in found.results["command"]
    assert "--max-bad-rows 2" in found.results["command"]


def test_labels_that_only_the_test_rows_have(files):
    with (files / "test.csv").open("a") as file:
        file.write("a fish,fish\n")
    with pytest.raises(DataError, match="fish"):
        _compare(files)


def test_results_on_other_data_are_not_replaced(files):
    (files / "out").mkdir()
    before = '{"title": "How many labels does pretraining save on mine.csv?"}'
    (files / "out" / "results.json").write_text(before)
    with pytest.raises(SettingsError, match=r"holds another comparison, .* on mine\.csv"):
        _compare(files)
    assert (files / "out" / "results.json").read_text() == before


def test_a_comparison_by_other_labels_or_a_model_is_not_replaced(files, rows):
    train, test = rows(60), rows(45, seed=1)
    folder, rest = files / "out", {"methods": ["majority"], "label_budgets": [6], "workers": 1}
    compare(train, test=test, out=folder, **rest)
    kept = (folder / "results.json").read_bytes()
    others = [Dataset(part.texts, [label[::-1] for label in part.labels]) for part in (train, test)]
    with pytest.raises(
        SettingsError, match=r"results\.json holds a comparison .* with other label"
    ):
        compare(others[0], test=others[1], out=folder, **rest)
    with pytest.raises(SettingsError, match="best holds a model; choose another folder"):
        compare(train, test=test, out=folder / "best", **rest)
    assert (folder / "results.json").read_bytes() == kept
    told = r"a Dataset in memory, not list; make one .* with headstart\.data\.labelled\.Dataset\("
    with pytest.raises(SettingsError, match=told):
        compare(list(zip(train.texts, train.labels, strict=True)), out=files / "other", **rest)


def test_other_data_in_memory_or_other_test_rows_replace_nothing(files, rows):
    train, test = rows(60), rows(45, seed=1)
    rest = {"methods": ["majority"], "seeds": 1, "workers": 1, "out": files / "out"}
    compare(train, test=test, label_budgets=[6], **rest)
    kept = (files / "out" / "results.json").read_bytes()
    for others in ((rows(60, seed=2), test), (train, rows(45, seed=3))):
        with pytest.raises(SettingsError, match=r"holds a comparison .* on other rows"):
            compare(others[0], test=others[1], label_budgets=[6], **rest)
    assert (files / "out" / "results.json").read_bytes() == kept
    compare(train, test=test, label_budgets=[6, 24], minutes=5, **rest)


def test_training_rows_that_leak_may_be_dropped_in_the_same_folder(files, rows):
    train, test = rows(60), rows(45, seed=1)
    test = Dataset([train.texts[0], *test.texts], [train.labels[0], *test.labels])
    rest = {"methods": ["majority"], "label_budgets": [6], "seeds": 1, "workers": 1}
    counts = [
        compare(train, test=test, drop_leaks=drop, out=files / "out", **rest).results["data"]
        for drop in (False, True, False)
    ]
    assert [each["train_rows"] for each in counts] == [60, 59, 60]


def test_a_folder_in_use_is_left_alone(files):
    with folder_lock(files / "out"), pytest.raises(LockedError, match="process"):
        _compare(files)


@pytest.mark.slow
def test_rows_left_out_and_labels_that_count_as_errors_are_told(files):
    train, cells = files / "train.csv", files / "out" / "cells"
    whole = train.read_text()
    train.write_text(whole.replace(",sea\n", "\n", 1))
    with (files / "test.csv").open("a") as file:
        file.write("a wave,moon\nthe tide,moon\n")
    asked = {"methods": ["tfidf"], "label_budgets": [24], "seeds": 1, "max_bad_rows": 1,
             "unseen_labels": "count-as-error"}  # fmt: skip
    found = _compare(files, **asked).results
    (cell,) = found["cells"]
    assert (found["data"]["train_rows"], found["data"]["test_rows"]) == (59, 47)
    assert cell["correct"][-2:] == [0, 0]
    assert cell["value"] == sum(cell["correct"]) / 47 > 0.5
    left_out, unseen = found["data"]["notes"]
    assert "train.csv: skipped 1 bad row (1 allowed): line 2, column 2" in left_out
    assert unseen == (
        f"{files / 'test.csv'} line 47: label 'moon' is not in the training data and counts as an "
        "error; such labels: 'moon' (2 rows)"
    )
    report = (files / "out" / "report.html").read_text()
    assert "skipped 1 bad row" in report
    assert "and counts as an error" in report
    assert "--max-bad-rows 1 --unseen-labels count-as-error" in found["command"]

    before = set(cells.iterdir())
    train.write_text(whole)
    with pytest.raises(SettingsError, match="on other rows: a file of the same name has changed"):
        _compare(files, **asked)
    (files / "out" / "results.json").unlink()
    assert len(_compare(files, **asked).results["data"]["notes"]) == 1
    assert len(set(cells.iterdir()) - before) == 1, "the cells of other rows are other cells"
