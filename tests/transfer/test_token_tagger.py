"""The estimator: schemes in and out, what scikit-learn promises, and what is refused."""

import json
import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score

from headstart.errors import DataError, FormatError, SettingsError
from headstart.storage import file_sha256
from headstart.tasks.tagging import convert
from headstart.transfer.loading import load
from headstart.transfer.methods import Majority, Scratch, Training
from headstart.transfer.token_tagger import TokenTagger

BRIEF = Training(hidden=8, batch_size=8, min_steps=20, max_steps=40, evaluate_every=10, patience=2)
SCRATCH = Scratch(width=8, learning_rate=2e-2, embedding_rate=5e-2, training=BRIEF)
NAMES = [["Mary", "Ann", "met", "Bob"], ["Ann", "left", "Bob", "Mary"]] * 6
TAGS = [["B-P", "I-P", "O", "B-P"], ["B-P", "O", "B-P", "B-P"]] * 6


@pytest.mark.parametrize("scheme", ["IOB1", "IOB2", "BIOES"])
@pytest.mark.parametrize("declared", [True, False])
def test_predictions_are_in_the_scheme_of_the_tags(scheme, declared, tmp_path):
    tags = [convert(its, scheme) for its in TAGS]
    tagger = TokenTagger(transfer=SCRATCH, scheme=scheme if declared else "auto").fit(NAMES, tags)
    assert tagger.scheme_ == scheme
    assert tagger.classes_ == sorted({tag for its in tags for tag in its})
    assert tagger.predict(NAMES) == tags
    assert tagger.score(NAMES, tags) == 1.0
    assert tagger.score(NAMES, TAGS) == 1.0, "in another scheme"
    assert load(tagger.save(tmp_path / "tagger")).predict(NAMES) == tags


def test_plain_tags_are_scored_by_accuracy():
    plain = [["N" if tag != "O" else "V" for tag in its] for its in TAGS]
    tagger = TokenTagger(transfer="majority").fit(NAMES, plain)
    assert tagger.scheme_ == "plain"
    assert tagger.score(NAMES, plain) == 1.0
    assert tagger.predict([["left", "nobody"]]) == [["V", "N"]]


def test_illegal_tags_are_reported_and_repaired_on_request():
    wrong = [["B-P", "I-P", "O", "I-P"], *TAGS[1:]]
    with pytest.raises(DataError, match="sentence 0, word 3: tag 'I-P' after 'O' is not legal"):
        TokenTagger(transfer="majority").fit(NAMES, wrong)
    repaired = TokenTagger(transfer=Majority(), repair=True).fit(NAMES, wrong)
    asked = TokenTagger(transfer=Majority()).fit(NAMES, TAGS)
    assert repaired.predict(NAMES) == asked.predict(NAMES)


def test_what_is_no_tag_of_spans_is_not_repaired():
    with pytest.raises(DataError, match="sentence 0, word 3: tag 'NOUN' is not a tag of IOB2"):
        TokenTagger(transfer="majority", scheme="BIO", repair=True).fit(
            NAMES, [["B-P", "I-P", "O", "NOUN"], *TAGS[1:]]
        )


def test_a_tag_of_no_span_leaves_other_tags_in_their_scheme():
    tags = [convert(its, "BIOES") for its in TAGS]
    tagger = TokenTagger(transfer="majority").fit([["Mary"], ["left"]] * 6, [["S-P"], ["O"]] * 6)
    scores = tagger.evaluate([["Mary", "left"], ["left"]], [["B-P", "O"], ["_"]])
    assert (scores.f1, scores.accuracy, [each.type for each in scores.types]) == (1, 2 / 3, ["P"])
    assert tagger.as_learnt([["B-P", "O"], ["_"]]) == [["S-P", "O"], ["_"]]
    assert tagger.as_learnt(tags) is tags


def test_a_tag_only_in_the_test_part_counts_as_missed():
    tagger = TokenTagger(transfer="majority").fit(NAMES, TAGS)
    scores = tagger.evaluate([["Rome", "fell"]], [["B-L", "O"]])
    assert scores.words == 2
    assert [(each.type, each.recall, each.support) for each in scores.types if each.support] == [
        ("L", 0.0, 1)
    ]


@pytest.mark.parametrize(
    ("sentences", "tags", "message"),
    [
        (NAMES[:2], [["O"] * 4, ["O"] * 3], "sentence 1: 4 words but 3 tags"),
        (NAMES[:2], [["O"] * 4], "2 sentences, but tags for 1"),
        ([["a"], []], [["O"], []], "sentence 1: has no words"),
        ([], [], "no sentences to learn from"),
        (NAMES[:1], [["O"] * 4], "at least two different tags, got only 'O'"),
        (["Mary left"], [["O", "O"]], "sentence 0 is of type str, not a list of words"),
        ("Mary", [["O"]], "a list of lists of words, got a str"),
        ([["Mary", 3]], [["O", "O"]], "sentence 0, word 1: the word is of type int"),
        ([["Mary"]], [[1]], "sentence 0, word 0: the tag is of type int"),
        ([["\ud800"]], [["O"]], "sentence 0, word 0: not valid Unicode"),
        ((each for each in NAMES), TAGS, "got a generator"),
    ],
)
def test_what_cannot_be_learnt_is_refused(sentences, tags, message):
    with pytest.raises(DataError, match=message):
        TokenTagger(transfer="majority").fit(sentences, tags)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scheme": "BILOU"}, "scheme must be auto, BIO"),
        ({"random_state": None}, "random_state must be a whole number"),
        ({"max_tokens": 0}, "max_tokens must be a whole number above 0"),
        ({"encoder": 3, "transfer": "frozen"}, "encoder must be a pretrained encoder"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(SettingsError, match=message):
        TokenTagger(**settings).fit(NAMES, TAGS)


def test_it_is_an_estimator_of_scikit_learn():
    tagger = TokenTagger(transfer=SCRATCH, random_state=3)
    assert clone(tagger).get_params() == tagger.get_params()
    with pytest.raises(NotFittedError):
        tagger.predict(NAMES)
    assert len(cross_val_score(tagger, NAMES, TAGS, cv=2, error_score="raise")) == 2
    search = GridSearchCV(tagger, {"transfer": [Majority(), SCRATCH]}, cv=2).fit(NAMES, TAGS)
    assert search.best_params_["transfer"] == SCRATCH
    again = pickle.loads(pickle.dumps(search.best_estimator_))  # noqa: S301 - made on this line
    assert again.predict(NAMES) == search.predict(NAMES)
    assert search.best_estimator_.megabytes > 0


def test_sentences_as_arrays_are_read():
    arrays = [np.array(words) for words in NAMES]
    tagger = TokenTagger(transfer="majority").fit(arrays, TAGS)
    assert tagger.predict(arrays) == tagger.predict(NAMES)
    assert tagger.predict([]) == []


@pytest.mark.parametrize("name", ["tags", "scheme", "method", "model", "parameters"])
def test_a_folder_that_does_not_fit_is_refused(name, tmp_path):
    folder = TokenTagger(transfer=SCRATCH).fit(NAMES, TAGS).save(tmp_path / "tagger")
    config = json.loads((folder / "config.json").read_text())
    config[name] = [*config[name], "B-more"] if name == "tags" else None
    (folder / "config.json").write_text(json.dumps(config))
    files = [file for file in folder.iterdir() if file.name != "manifest.json"]
    sums = {file.name: file_sha256(file) for file in files}
    (folder / "manifest.json").write_text(json.dumps({"sha256": sums}))
    with pytest.raises(FormatError, match="does not fit the weights"):
        load(folder)


def test_damage_is_named(tmp_path):
    folder = TokenTagger(transfer=SCRATCH).fit(NAMES, TAGS).save(tmp_path / "tagger")
    (folder / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(FormatError, match=r"model\.safetensors"):
        load(folder)
