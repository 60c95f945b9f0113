"""A comparison on tagged sentences, from the file to the winner and the report."""

import json

import numpy as np
import pytest

from headstart.compare import reading
from headstart.compare.cells import Terms, run_cell
from headstart.compare.contestants import Contestant
from headstart.compare.fairness import data_facts
from headstart.compare.reading import Texts, read_texts, remember
from headstart.compare.rows import choose_budgets, read_rows
from headstart.compare.study import compare
from headstart.compare.tasks import CLASSIFICATION, TAGGING, Columns, settled, tagging
from headstart.compare.usual import parse_for, usual_methods
from headstart.data.tagged import TaggedSentences, read_tagged
from headstart.errors import DataError, SettingsError
from headstart.progress import SILENT
from headstart.tasks.tagging import convert
from headstart.training import precision
from headstart.transfer.loading import load
from headstart.transfer.token_tagger import TokenTagger

pytestmark = pytest.mark.usefixtures("forked")


@pytest.fixture
def tagged_files(files, make_sentences):
    for name, part in (("train", make_sentences(60)), ("test", make_sentences(40, seed=1))):
        lines = [
            "".join(f"{word}\t{tag}\n" for word, tag in zip(words, tags, strict=True))
            for words, tags in zip(part.sentences, part.tags, strict=True)
        ]
        (files / f"{name}.conll").write_text("\n".join(lines))
    return files


def terms_of(train, test, folder, encoder=None, **files):
    whole = {"bert": encoder.model.width} if encoder is not None else {}
    return Terms(
        task=settled(TAGGING, train), train=train, test=test, data_print="", encoders={},
        prints={}, folder=folder, widths=whole, **files,
    )  # fmt: skip


@pytest.mark.slow
def test_a_comparison_of_taggers_from_file_to_winner(tagged_files):
    methods = ["majority", f"vectors={tagged_files / 'vectors.txt'}:probe"]
    asked = {
        "test": tagged_files / "test.conll",
        "task": "tagging",
        "methods": methods,
        "label_budgets": [8, 40],
        "seeds": 2,
        "workers": 1,
        "out": tagged_files / "out",
    }
    found = compare(tagged_files / "train.conll", **asked)
    results = json.loads((tagged_files / "out" / "results.json").read_text())
    assert (results["task"], results["metric"]) == ("tagging", "span F1")
    for cell in results["cells"]:
        assert len(cell["correct"]) == len(cell["total"]) == 40
        assert cell["value"] == pytest.approx(sum(cell["correct"]) / sum(cell["total"]))
        assert {each["type"] for each in cell["types"]} == {"land", "sea", "sky"}
    assert results["forecast"] is results["knowledge"] is None
    assert [each["count"] for each in results["data"]["classes"]] == [60, 60, 60]
    assert "sentences per second" in found.best["why"]
    assert "You have 60 sentences" in found.best["why"]
    assert "--task tagging" in results["command"]
    report = (tagged_files / "out" / "report.html").read_text()
    for said in ("Labeled sentences", "Span F1 [95% CI]", "Scores of each type", "40 sentences"):
        assert said in report, said
    assert "40 labels" not in report
    assert "sentences</text>" in (tagged_files / "out" / "learning_curves.svg").read_text()

    model = load(tagged_files / "out" / "best")
    assert isinstance(model, TokenTagger)
    test = read_tagged(tagged_files / "test.conll")
    assert model.score(test.sentences, test.tags) >= 0.5
    assert model.fit_report_["sentences"] == 60

    before = {file: file.stat().st_mtime_ns for file in (tagged_files / "out/cells").iterdir()}
    again = compare(tagged_files / "train.conll", **asked)
    assert again.table == found.table
    after = {file: file.stat().st_mtime_ns for file in (tagged_files / "out/cells").iterdir()}
    assert after == before, "finished cells are kept"


@pytest.fixture
def forgetful(bert, monkeypatch):
    """An encoder with numbers of full length, which forgets what a test let it remember."""
    for module in (reading, precision):
        monkeypatch.setattr(module, "has_fast_bf16", lambda device: False)
    yield bert
    vars(bert).pop("word_memory", None)


@pytest.mark.parametrize("transfer", ["probe", "frozen"])
def test_a_cell_of_tags_comes_out_as_without_a_memory(
    forgetful, make_sentences, tmp_path, transfer
):
    train, test = make_sentences(30), make_sentences(12, seed=1)
    one = Contestant.parse(f"bert:{transfer}")
    without = run_cell(
        terms_of(train, test, tmp_path, forgetful), one, forgetful, labels=12, seed=0
    )
    texts = Texts.of(train, test)
    found = read_texts(texts, [one], {"bert": forgetful}, tmp_path, progress=SILENT)
    remember(forgetful, texts, found.files["bert"])
    terms = terms_of(train, test, tmp_path, forgetful, states=found.files)
    remembered = run_cell(terms, one, forgetful, labels=12, seed=0)
    for name in ("value", "validation", "correct", "total", "chosen"):
        assert remembered[name] == without[name], name


def test_states_of_words_are_looked_up(forgetful, make_sentences, tmp_path, monkeypatch):
    sentences = make_sentences(12)
    texts = Texts.of(sentences, sentences)
    asked = [Contestant.parse("bert:lora")]
    expected = reading.word_states(forgetful, sentences.texts[::-1], max_tokens=reading.MAX_TOKENS)
    file = read_texts(texts, asked, {"bert": forgetful}, tmp_path, progress=SILENT).files["bert"]
    remember(forgetful, texts, file)
    monkeypatch.setattr(forgetful.model, "forward", None)  # it cannot read any more
    found = reading.word_states(forgetful, sentences.texts[::-1], max_tokens=reading.MAX_TOKENS)
    np.testing.assert_allclose(found.values, expected.values, atol=1e-6)


def test_elmo_remembers_all_layers_of_words(elmo, make_sentences, tmp_path, monkeypatch):
    sentences = make_sentences(9)
    texts = Texts.of(sentences, sentences)
    file = read_texts(
        texts, [Contestant.parse("elmo:finetune")], {"elmo": elmo}, tmp_path, progress=SILENT
    ).files["elmo"]
    expected = reading.word_states(elmo, sentences.texts, max_tokens=reading.MAX_TOKENS)
    remember(elmo, texts, file)
    try:
        monkeypatch.setattr(elmo.model, "encode", None)
        found = reading.word_states(elmo, sentences.texts, max_tokens=reading.MAX_TOKENS)
    finally:
        del vars(elmo)["word_memory"]
    np.testing.assert_array_equal(found.values, expected.values)


def test_plain_tags_are_scored_by_their_words(tmp_path):
    data = TaggedSentences([["a", "dog"], ["it", "barks"]] * 6, [["D", "N"], ["P", "V"]] * 6)
    task = settled(TAGGING, data)
    assert (task.metric, task.settings) == ("token accuracy", {"scheme": "plain"})
    cell = run_cell(
        terms_of(data, data, tmp_path), Contestant.parse("majority"), None, labels=6, seed=0
    )
    assert (cell["value"], cell["validation"]) == (1.0, 1.0)
    assert cell["total"] == [2] * 12
    assert cell["validation_loss"] is None
    facts = data_facts(task, data, data)
    assert facts["classes"][0] == {"label": "D", "count": 6}


def test_what_has_no_test_part_is_parted_so_that_every_type_is_learned(make_sentences):
    given = make_sentences(60)
    rare = TaggedSentences(
        [*given.texts, ["x"]], [*given.labels, ["B-rare"]], line_a_word=given.line_a_word
    )
    task, train, test = read_rows(TAGGING, rare, None, Columns(), SILENT)
    assert task.name == "tagging"
    assert (len(train), len(test)) == (43, 18)
    assert "rare" in task.kinds(train)
    assert train.notes[-1].startswith("No test file was given: 18 of 61 rows")
    assert choose_budgets(None, task, train, quick=False) == (43,)
    assert choose_budgets(None, task, make_sentences(500), quick=False) == (50, 100, 250, 500)
    assert choose_budgets(None, task, make_sentences(500), quick=True) == (100, 400)


def test_what_makes_tags_plain_is_a_note():
    bilou = TaggedSentences([["Ann", "fell"]] * 9, [["U-P", "O"]] * 9, "bilou.conll")
    _, train, _ = read_rows(TAGGING, bilou, None, Columns(), SILENT)
    assert "bilou.conll line 1, word 1: tag 'U-P' is not legal in BIO" in train.notes[0]


def read_tags(tags, test=None, **columns):
    train, test = (
        None if some is None else TaggedSentences([["w"] * len(its) for its in some], some)
        for some in (tags, test)
    )
    return read_rows(TAGGING, train, test or train, Columns(**columns), SILENT)


def test_the_scheme_of_tags_may_be_named():
    tags = [["B-P", "O"], ["B-P", "B-P"]]
    assert read_tags(tags)[0].settings == read_tags(tags, scheme="BIO")[0].settings
    assert read_tags(tags, scheme="plain")[0].metric == "token accuracy"
    bilou = [["U-P", "O"]] * 9
    assert read_tags(bilou)[1].notes
    assert not read_tags(bilou, scheme="plain")[1].notes
    for scheme in ("IOB1", "BIOES"):
        with pytest.raises(DataError, match=f"is not legal in {scheme} .*or use repair"):
            read_tags(tags, scheme=scheme)
    with pytest.raises(SettingsError, match="scheme must be auto, BIO"):
        read_tags(tags, scheme="BILOU")


def test_illegal_tags_are_repaired_where_that_is_asked_for():
    legal, illegal = [["B-P", "I-P"], ["O", "B-L"]], [["I-P", "I-P"], ["O", "B-L"]]
    legal, illegal = legal * 3, illegal + legal * 2
    with pytest.raises(DataError, match="tag 'I-P' at the beginning of a sentence is not legal"):
        read_tags(illegal, legal)
    task, train, test = read_tags(illegal, illegal, repair=True)
    assert (task.settings, train.tags, test.tags) == ({"scheme": "IOB2"}, legal, illegal)
    assert task.check_test(test, train, "refuse") == ()
    assert read_tags(legal, repair=True)[1].tags == legal
    with pytest.raises(DataError, match="tag '_' is not a tag of IOB2"):
        read_tags([["_", "I-P"]], scheme="BIO", repair=True)


@pytest.mark.parametrize("columns", [Columns(scheme="BIO"), Columns(repair=True)])
def test_settings_of_tags_are_refused_for_other_tasks(columns):
    with pytest.raises(SettingsError, match="scheme and repair are only for tags"):
        read_rows(CLASSIFICATION, "none.csv", None, columns, SILENT)


def test_a_comparison_of_repaired_tags_equals_that_of_legal_ones(tmp_path, make_sentences):
    given = make_sentences(60)
    odd = [[tag.replace("B-", "I-") for tag in its] for its in given.tags]
    lines = [
        "".join(f"{word}\t{tag}\n" for word, tag in zip(words, its, strict=True))
        for words, its in zip(given.texts, odd, strict=True)
    ]
    (tmp_path / "odd.conll").write_text("\n".join(lines))
    asked = {"task": "tagging", "methods": ["majority"], "label_budgets": [20], "workers": 1}
    asked |= {"scheme": "BIO", "seeds": 1}
    with pytest.raises(DataError, match="is not legal in IOB2"):
        compare(tmp_path / "odd.conll", out=tmp_path / "x", **asked)
    found = compare(tmp_path / "odd.conll", repair=True, out=tmp_path / "odd", **asked)
    legal = TaggedSentences(given.texts, [convert(its, "IOB2") for its in odd])
    expected = compare(legal, out=tmp_path / "legal", **asked)
    cells = [{path.name for path in (one.folder / "cells").iterdir()} for one in (found, expected)]
    assert cells[0] == cells[1]
    assert found.table[0]["mean"] == expected.table[0]["mean"]
    assert "--task tagging --scheme BIO --repair" in found.results["command"]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ([1], "a budget of 1 is below 2 sentences; use at least one to learn from and one to vali"),
        ([61], "a budget of 61 sentences exceeds the 60 training rows of data in memory"),
    ],
)
def test_impossible_budgets_are_refused(make_sentences, asked, message):
    with pytest.raises(SettingsError, match=message):
        choose_budgets(asked, TAGGING, make_sentences(60), quick=False)
    assert choose_budgets([2], TAGGING, make_sentences(60), quick=False) == (2,)


def test_what_is_no_tagging_is_refused(tmp_path, make_sentences):
    table = tmp_path / "train.csv"
    table.write_text("text,label\na b,x\nc d,y\n")
    out = {"task": "tagging", "out": tmp_path / "out"}
    with pytest.raises(DataError, match=r"train\.csv: a CSV table cannot be used for tagging"):
        compare(table, **out)
    data = make_sentences(60)
    with pytest.raises(SettingsError, match="'tfidf' counts the words of a text"):
        compare(data, methods=["tfidf", "scratch"], **out)
    with pytest.raises(SettingsError, match="pair columns are only for pairs"):
        compare(tmp_path / "train.conll", pair_columns=["a", "b"], **out)
    with pytest.raises(SettingsError, match=r"a TaggedSentences, .*compare with task='tagging'"):
        compare(data, out=tmp_path / "out")
    stranger = TaggedSentences([["x"]], [["B-city"]])
    with pytest.raises(DataError, match="tag 'B-city' is not in the training data"):
        compare(data, test=stranger, **out)
    assert not (tmp_path / "out").exists()


def test_sentences_in_json_are_not_taken_for_texts(tmp_path):
    file = tmp_path / "train.jsonl"
    file.write_text('{"tokens": ["a"], "tags": ["O"]}\n')
    with pytest.raises(DataError, match=r"are those of tagging data; compare with task='tagging'"):
        compare(file, out=tmp_path / "out")


def test_the_usual_methods_are_those_for_the_task():
    assert "tfidf" not in usual_methods(tagging("plain"))
    assert [one.name for one in parse_for(TAGGING, ["majority", "word2vec:probe"])] == [
        "majority",
        "word2vec:probe",
    ]


def test_spans_of_a_type_that_training_lacks_are_missed(tmp_path, make_sentences):
    train, test = make_sentences(60), make_sentences(40, seed=1)
    more = TaggedSentences([*test.texts, ["a", "b"]], [*test.labels, ["B-moon", "B-moon"]])
    seen, cell = (
        run_cell(
            terms_of(train, part, tmp_path), Contestant.parse("majority"), None, labels=40, seed=0
        )
        for part in (test, more)
    )
    assert (cell["correct"], cell["total"]) == ([*seen["correct"], 0], [*seen["total"], 2])
    assert cell["value"] == sum(seen["correct"]) / (sum(seen["total"]) + 2)
    moon = next(each for each in cell["types"] if each["type"] == "moon")
    assert (moon["recall"], moon["support"]) == (0.0, 2)
