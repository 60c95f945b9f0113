"""Texts without a word that the model knows are counted, for each kind of vocabulary."""

from types import SimpleNamespace

import pytest

from headstart import pretrain
from headstart.data.labelled import Dataset
from headstart.progress import SILENT
from headstart.serve.evaluation import evaluate
from headstart.serve.predictor import predict
from headstart.serve.unknown import UnknownTexts
from headstart.tokenize.words import WordTokenizer
from headstart.transfer.estimators import TextClassifier
from headstart.transfer.methods import Scratch, Training
from headstart.transfer.pairs import PairClassifier

TEXTS, LABELS = ["a late goal", "the shares fell"] * 10, ["sport", "business"] * 10
UNKNOWN = "1 of 4 inputs contain no word that the model knows"
TOLD = ["Goal!", "\u05e9\u05dc\u05d5\u05dd, 12.", " ", "... 12"]  # the second: Hebrew


def fitted(transfer, encoder=None):
    return TextClassifier(encoder, transfer).fit(TEXTS, LABELS)


@pytest.fixture(scope="module")
def models():
    corpus = [f"{text}.\n{text}." for text in TEXTS] * 3
    of = {"size": "tiny", "threads": 1, "steps": 1}
    vectors = pretrain("word2vec", corpus, size="tiny", epochs=1, min_count=1, threads=1)
    words = {
        "scratch": fitted(Scratch(width=8, training=Training(hidden=8))),
        "tfidf": fitted("tfidf"),
        "probe": fitted("probe", vectors),
        "wordpiece": fitted("probe", pretrain("bert", corpus, tokenizer="wordpiece", **of)),
    }
    every = {
        "majority": fitted("majority"),
        "elmo": fitted("probe", pretrain("elmo", corpus, **of)),
        "bytes": fitted("probe", pretrain("gpt", corpus, tokenizer="bpe", **of)),
    }
    return words, every


def count(model, *batches):
    counted = UnknownTexts(model)
    for batch in batches:
        counted.count(batch)
    return counted.notes()


def test_texts_of_unknown_words_are_counted_and_others_are_not(models):
    for name, model in models[0].items():
        (note,) = count(model, TOLD[:3], TOLD[3:])
        assert note.startswith(UNKNOWN), name
        assert count(model, TEXTS, ["late \u05e9"]) == [], name


@pytest.mark.parametrize("transfer", ["tfidf", Scratch(width=8, training=Training(hidden=8))])
def test_words_are_those_of_the_model(transfer):
    texts, labels = (
        ["don't play mp3s on the mp3", "the u.s. shares fell ! ! ! 7"] * 10,
        ["a", "b"] * 10,
    )
    model = TextClassifier(transfer=transfer).fit(texts, labels)
    assert count(model, ["Don't", "MP3!", "«U.S. zzz»", "! 7", "12"]) == []
    (note,) = count(model, ["zzz ! ! !", "zz7"])
    assert note.startswith("2 of 2 inputs")


def test_marks_alone_are_searched_once():
    model = TextClassifier(transfer="tfidf").fit(TEXTS, LABELS)
    assert count(model, ["! " * 200_000, "!" * 200_000]) == []


def test_models_without_unknown_words_say_nothing(models):
    for model in models[1].values():
        assert count(model, TOLD) == []


def test_a_pair_is_unknown_if_both_its_texts_are():
    pairs = [("a dog", "an animal"), ("a cat", "a stone")] * 10
    model = PairClassifier(transfer="tfidf").fit(pairs, ["yes", "no"] * 10)
    (note,) = count(model, [("zz", "dog"), ("zz", "yy"), ("", "")])
    assert note.startswith("1 of 3 inputs")


def test_predicting_and_evaluating_tell_once(models):
    model = models[0]["tfidf"]
    notes = []
    progress = SimpleNamespace(note=notes.append, stage=SILENT.stage)
    assert len(list(predict(model, [TOLD[:2], TOLD[2:]], progress=progress))) == 2
    assert [note[: len(UNKNOWN)] for note in notes] == [UNKNOWN]
    notes.clear()
    evaluate(model, Dataset(TOLD, ["sport"] * 4), batch_size=2, progress=progress)
    (note,) = notes
    assert note.startswith(f"data in memory: {UNKNOWN}")


def test_acronyms_are_words_with_their_periods():
    words = WordTokenizer.from_vocabulary(["u.s.", "."], lowercase=True)
    model = SimpleNamespace(model_=SimpleNamespace(tokenizer=words))
    assert count(model, ["U.S.", "(U.S.)", "u.s., zzz"]) == []
    (note,) = count(model, ["U.K.", "zzz.", "u.s"])
    assert note.startswith("2 of 3"), "a period that the tokenizer parts off is known"
