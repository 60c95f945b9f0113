"""A comparison on pairs of texts, from the file to the winner and the report."""

import json

import numpy as np
import pytest

from headstart.compare import reading
from headstart.compare.cells import Terms, run_cell
from headstart.compare.contestants import Contestant
from headstart.compare.fairness import shared_texts, warnings
from headstart.compare.reading import Texts, read_texts, remember, remember_pairs
from headstart.compare.study import compare
from headstart.compare.tasks import CLASSIFICATION, PAIR, SYMMETRIC, TAGGING, choose_task
from headstart.data.contamination import find_seen
from headstart.data.pairs import PairDataset, read_labelled_pairs
from headstart.errors import DataError, SettingsError
from headstart.hub.language_models import PretrainedBert
from headstart.progress import SILENT
from headstart.training import precision
from headstart.transfer import features
from headstart.transfer.loading import load
from headstart.transfer.pairs import PairClassifier

pytestmark = pytest.mark.usefixtures("forked")


@pytest.fixture(scope="module")
def make_pairs(rows):
    """The maker of pairs, which are alike if both are of one topic: `make_pairs(60, seed=1)`."""

    def make(count, seed=0):
        first, second = rows(2 * count, seed=seed), rows(2 * count, seed=seed + 10)
        order = np.random.default_rng(seed).permutation(2 * count)
        both = [(at, at if row % 2 else at + 1) for row, at in enumerate(order[:count] // 3 * 3)]
        return PairDataset(
            [(first.texts[a], second.texts[b]) for a, b in both],
            ["same" if first.labels[a] == second.labels[b] else "other" for a, b in both],
        )

    return make


@pytest.fixture
def pair_files(files, make_pairs):
    for name, part in (("train", make_pairs(60)), ("test", make_pairs(40, seed=1))):
        lines = [
            f"{first},{second},{label}"
            for (first, second), label in zip(part.texts, part.labels, strict=True)
        ]
        (files / f"{name}.csv").write_text("\n".join(["text_a,text_b,label", *lines]) + "\n")
    return files


@pytest.mark.slow
def test_a_comparison_of_pairs_from_file_to_winner(pair_files):
    methods = ["majority", "tfidf", "scratch", f"vectors={pair_files / 'vectors.txt'}:probe"]
    found = compare(
        pair_files / "train.csv",
        test=pair_files / "test.csv",
        task="pair",
        methods=methods,
        label_budgets=[8, 40],
        seeds=2,
        workers=1,
        out=pair_files / "out",
    )
    results = json.loads((pair_files / "out" / "results.json").read_text())
    assert (results["task"], results["metric"]) == ("pair", "accuracy")
    assert {len(cell["correct"]) for cell in results["cells"]} == {40}
    assert results["knowledge"] is None, "no word by itself tells the label of a pair"
    assert not (pair_files / "out" / "inspected").exists()
    assert "pairs per second" in found.best["why"]
    assert "texts per second" not in found.best["why"]
    assert "--task pair" in results["command"]
    report = (pair_files / "out" / "report.html").read_text()
    assert "Labeled pairs" in report
    assert "Labeled texts" not in report
    scores = {(row["method"], row["labels"]): row["mean"] for row in found.table}
    assert scores["vectors:probe", 40] > scores["majority", 40] + 0.2

    model = load(pair_files / "out" / "best")
    assert isinstance(model, PairClassifier)
    test = read_labelled_pairs(pair_files / "test.csv")
    assert set(model.predict(test.texts)) <= {"same", "other"}
    assert model.fit_report_["labels"] == 60


@pytest.mark.slow
def test_a_comparison_of_symmetric_pairs_keeps_a_symmetric_winner(pair_files):
    def run(**given):
        return compare(
            pair_files / "train.csv",
            task="pair",
            methods=["tfidf", f"vectors={pair_files / 'vectors.txt'}:probe"],
            label_budgets=[40],
            seeds=1,
            workers=1,
            out=pair_files / "out",
            **given,
        )

    ordered, found = run(), run(symmetric=True)
    assert len(list((pair_files / "out" / "cells").glob("*.json"))) == 4, "no cell is used twice"
    assert "--symmetric" in found.results["command"]
    assert "--symmetric" not in ordered.results["command"]
    model = load(pair_files / "out" / "best")
    pairs = read_labelled_pairs(pair_files / "test.csv").texts
    swapped = [(second, first) for first, second in pairs]
    np.testing.assert_allclose(model.predict_proba(pairs), model.predict_proba(swapped), atol=1e-6)


def test_a_pair_of_which_one_text_stands_in_the_corpus_is_no_clean_row(pair_files, rows):
    text = "a gull over the harbor sees the storm and the ship sail"  # too short for a run
    with (pair_files / "test.csv").open("a") as file:
        file.write(f"{text},wave and tide and moon and star by one river farm,same\n")
    sentences = [*rows(200, seed=5).texts, text]
    (pair_files / "corpus.txt").write_text("\n".join(sentences) + "\n")
    found = compare(
        pair_files / "train.csv",
        test=pair_files / "test.csv",
        corpus=pair_files / "corpus.txt",
        task="pair",
        methods=["majority", "word2vec:probe"],
        label_budgets=[8],
        seeds=1,
        workers=1,
        out=pair_files / "out",
    )
    assert found.results["clean"]["by_row"] == [1] * 40 + [0]


def test_a_pair_whose_texts_change_places_in_the_test_part_is_no_clean_row():
    pair = ("the minister resigned on monday after the vote", "on monday a minister stepped down")
    train = PairDataset([pair, ("rain is coming", "it is dry")], ["same", "other"])
    seen = find_seen(train.as_texts(), PairDataset([pair[::-1]], ["same"]).as_texts())
    assert not seen.num_clean


def test_a_pair_in_the_other_order_leaks_if_neither_text_comes_first():
    train = PairDataset([("cheap flights", "low cost"), ("a", "b")], ["same", "other"])
    test = PairDataset([("low cost", "cheap flights"), ("c", "d")], ["same", "other"])
    for task, leaked in ((PAIR, 0), (SYMMETRIC, 1)):
        seen = find_seen(task.as_texts(train), task.as_texts(test))
        assert seen.leaks.num_test_rows == leaked


def test_a_text_column_of_pairs_is_that_of_the_corpus_or_refused(pair_files):
    asked = {"task": "pair", "text_column": "body", "out": pair_files / "out"}
    with pytest.raises(SettingsError, match="a pair has two texts; name both columns"):
        compare(pair_files / "train.csv", **asked)
    (pair_files / "wiki.csv").write_text("id,words\n1,a wave\n")
    with pytest.raises(DataError, match=r"wiki\.csv: no column 'body'"):
        compare(pair_files / "train.csv", corpus=pair_files / "wiki.csv", **asked)


def test_only_pairs_are_symmetric():
    assert choose_task("pair", None, has_data=True, symmetric=True) is SYMMETRIC
    for name in (None, TAGGING.name):
        with pytest.raises(SettingsError, match="symmetric is only for pairs"):
            choose_task(name, None, has_data=True, symmetric=True)


@pytest.mark.slow
def test_encoders_are_ranked_by_both_texts(pair_files):
    source = pair_files / "vectors.txt"
    found = compare(
        pair_files / "train.csv",
        task="pair",
        methods=[f"one={source}:probe", f"two={source}:probe"],
        label_budgets=[40],
        seeds=1,
        workers=1,
        out=pair_files / "out",
    )
    told = found.results["forecast"]["encoders"]
    assert [row["encoder"] for row in told] == ["one", "two"]
    assert told[0]["probe"]["value"] == told[1]["probe"]["value"] > 0.6
    assert "a pair’s label" in (pair_files / "out" / "report.html").read_text()


@pytest.fixture
def forgetful(bert, monkeypatch):
    """An encoder with numbers of full length, which forgets what a test let it remember."""
    for module in (reading, precision):
        monkeypatch.setattr(module, "has_fast_bf16", lambda device: False)
    yield bert
    for name in ("memory", "pair_memory"):
        vars(bert).pop(name, None)


def test_pairs_are_read_at_once_but_for_probes_and_frozen_sentence_encoders(
    forgetful, make_pairs, tmp_path
):
    texts = Texts.of(make_pairs(12), make_pairs(6, seed=1))

    def read(*transfers):
        asked = [Contestant.parse(f"bert:{transfer}") for transfer in transfers]
        found = read_texts(texts, asked, {"bert": encoder}, tmp_path, progress=SILENT)
        return len(found.files), len(found.pair_files)

    encoder = forgetful  # whose texts' vectors are means
    assert read("probe", "frozen") == (1, 0)
    assert read("lora", "finetune") == (0, 1)
    assert read("probe", "lora") == (1, 1)
    assert read("scratch") == (0, 0)
    bert, words = forgetful.model, forgetful.tokenizer
    encoder = PretrainedBert.of(bert, words, lineage={}, pooling="cls")
    assert read("frozen", "finetune") == (0, 1)


@pytest.mark.slow
@pytest.mark.parametrize("task", [PAIR, SYMMETRIC], ids=["ordered", "symmetric"])
@pytest.mark.parametrize("transfer", ["probe", "frozen", "finetune"])
def test_a_cell_of_pairs_comes_out_as_without_a_memory(
    forgetful, make_pairs, tmp_path, transfer, task
):
    train, test = make_pairs(60), make_pairs(30, seed=1)
    one = Contestant.parse(f"bert:{transfer}")
    terms = Terms(
        task=task, train=train, test=test, data_print="", encoders={}, prints={}, folder=tmp_path,
        widths={"bert": forgetful.model.width},
    )  # fmt: skip
    without = run_cell(terms, one, forgetful, labels=24, seed=0)
    texts = Texts.of(train, test, symmetric=task is SYMMETRIC)
    found = read_texts(texts, [one], {"bert": forgetful}, tmp_path, progress=SILENT)
    for file in found.files.values():
        remember(forgetful, texts, file)
    for file in found.pair_files.values():
        remember_pairs(forgetful, texts, file)
    terms = Terms(**{**vars(terms), "states": found.files, "pair_states": found.pair_files})
    remembered = run_cell(terms, one, forgetful, labels=24, seed=0)
    for name in ("value", "macro_f1", "validation", "correct", "chosen"):
        assert remembered[name] == without[name], name
    assert remembered["validation_loss"] == pytest.approx(without["validation_loss"], rel=1e-4)


@pytest.mark.parametrize("pairs", ["ordered", "symmetric"])
def test_states_of_pairs_are_looked_up(forgetful, make_pairs, tmp_path, monkeypatch, pairs):
    train = make_pairs(12)
    texts = Texts.of(train, train, symmetric=pairs == "symmetric")
    asked = [Contestant.parse("bert:finetune")]
    file = read_texts(texts, asked, {"bert": forgetful}, tmp_path, progress=SILENT).pair_files
    given = {"max_tokens": reading.MAX_TOKENS, "pairs": pairs}
    expected = features.text_states(forgetful, PAIR.texts(train.texts[::-1]), **given)
    remember_pairs(forgetful, texts, file["bert"])
    monkeypatch.setattr(forgetful.model, "forward", None)  # it cannot read any more
    found = features.text_states(forgetful, PAIR.texts(train.texts[::-1]), **given)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_pairs_that_repeat_or_share_texts_are_said():
    train = PairDataset([("a", "b"), ("a", "b"), ("c", "d"), ("a", "e")], ["x", "y", "x", "y"])
    test = PairDataset([("c", "d"), ("z", "c"), ("y", "z")], ["x", "x", "y"])
    as_texts = train.as_texts()
    seen = find_seen(as_texts, test.as_texts())
    duplicates, conflicts, leaks = warnings(as_texts, seen)
    assert "'a | b' on lines 1, 2" in duplicates
    assert conflicts.startswith("data in memory: texts with conflicting labels: 1, in 2 rows")
    assert leaks.startswith("test rows that are also training rows: 1, 33.3%")
    shared = shared_texts(PAIR, train, test, seen)
    assert shared == ["test pairs that share a text with other training pairs: 1"]
    assert shared_texts(PAIR, train.select([3]), test.select([2]), seen) == []
    assert shared_texts(CLASSIFICATION, as_texts, as_texts, seen) == []
