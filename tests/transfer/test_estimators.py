"""What `TextClassifier` promises beyond the exam that every estimator sits."""

import errno
import json
import os
import resource

import numpy as np
import pytest

from headstart.errors import DataError, ExistsError, FormatError, StorageError
from headstart.transfer.estimators import TextClassifier
from headstart.transfer.loading import load
from headstart.transfer.methods import (
    Features,
    FineTune,
    Probe,
    Scratch,
    TfIdf,
    with_defaults,
)


@pytest.fixture(scope="module")
def fitted(encoder, task, brief):
    return TextClassifier(encoder, FineTune(training=brief)).fit(*task)


def test_auto_is_finetune_with_an_encoder_and_scratch_without(encoder, monkeypatch, task):
    seen = []

    def stop(method, *_, **__):
        seen.append(method)
        raise InterruptedError

    monkeypatch.setattr("headstart.transfer.learning.fit", stop)
    for start in (encoder, None):
        with pytest.raises(InterruptedError):
            TextClassifier(start).fit(*task)
    assert seen == [with_defaults(each, whole_model=None) for each in (FineTune(), Scratch())]


def test_an_encoder_is_given_by_its_path(encoder, task, tmp_path):
    encoder.save(tmp_path / "encoder")
    given = [TextClassifier(each, "probe").fit(*task) for each in (encoder, tmp_path / "encoder")]
    assert np.array_equal(*(classifier.predict_proba(task[0]) for classifier in given))
    with pytest.raises(FormatError, match="no such file"):
        TextClassifier(str(tmp_path / "nowhere"), "probe").fit(*task)


def test_a_refused_fit_leaves_the_old_model(encoder, task):
    classifier = TextClassifier(encoder, "probe").fit(*task)
    before = classifier.predict_proba(task[0])
    with pytest.raises(DataError):
        classifier.fit(task[0], ["same"] * len(task[0]))
    assert np.array_equal(classifier.predict_proba(task[0]), before)


def test_the_report_says_what_was_done(fitted, task):
    report = fitted.fit_report_
    assert report["labels"] == len(task[0])
    assert report["seconds"] > 0
    assert 0 <= report["validation_accuracy"] <= 1
    assert report["steps"] >= 10


def test_megabytes_count_all_that_prediction_needs(fitted, encoder):
    vectors = 102 * 8
    lstm = 2 * (4 * 8 * (8 + 8) + 8 * 8)
    head = 2 * 2 * (8 + 2 * 8) + 2
    words = sum(len(word) for word in ["[PAD]", "[UNK]", *encoder.words])
    settings = len(json.dumps(fitted.model_.config()))
    weights = 4 * (vectors + lstm + head + 1)
    assert fitted.megabytes == pytest.approx((weights + words + settings) / 1e6)


def test_fitted_vectors_are_those_of_the_pipeline(fitted, encoder, task):
    vectors = fitted.fitted_vectors()
    assert vectors.words == encoder.words
    assert np.array_equal(
        vectors.matrix, fitted.model_.tensors()["encoder.embedding.weight"][2:].numpy()
    )
    assert TextClassifier(transfer="tfidf").fit(*task).fitted_vectors() is None


def test_an_existing_folder_is_refused_and_replaced_on_demand(fitted, encoder, task, tmp_path):
    folder = fitted.save(tmp_path / "model")
    other = TextClassifier(encoder, "probe").fit(*task)
    with pytest.raises(ExistsError, match="already exists"):
        other.save(folder)
    assert load(folder).method_ == fitted.method_
    other.save(folder, overwrite=True)
    assert load(folder).method_ == Probe()
    assert os.listdir(tmp_path) == ["model"]


@pytest.mark.parametrize(
    "class_weight", [None, "balanced", {"bad": 2.0, "good": 0.5}, {1: 2.0, 0: 1.0}]
)
def test_a_loaded_classifier_can_be_fitted_again(class_weight, task, tmp_path):
    texts, labels = task
    if isinstance(class_weight, dict) and 1 in class_weight:
        labels = [int(label == "good") for label in labels]
    classifier = TextClassifier(transfer="tfidf", class_weight=class_weight).fit(texts, labels)
    loaded = load(classifier.save(tmp_path / "model"))
    assert loaded.class_weight == class_weight
    expected = classifier.predict_proba(texts)
    assert np.allclose(loaded.fit(texts, labels).predict_proba(texts), expected)


@pytest.mark.parametrize("weight", [{"good": 0.0}, {"good": -1.0}, {"good": np.nan}, {"fine": 1.0}])
def test_impossible_class_weights_are_refused(weight, task):
    with pytest.raises(DataError, match="class_weight"):
        TextClassifier(transfer=TfIdf(), class_weight=weight).fit(*task)


def test_labels_that_json_has_not_can_be_learnt_but_not_saved(task, tmp_path):
    labels = [label.encode() for label in task[1]]
    classifier = TextClassifier(transfer="tfidf").fit(task[0], labels)
    assert set(classifier.predict(task[0])) == {b"good", b"bad"}
    with pytest.raises(DataError, match="only text and numbers can be saved as labels, got b'bad'"):
        classifier.save(tmp_path / "model")
    assert os.listdir(tmp_path) == []


def test_scoring_labels_of_another_type_names_both_types(fitted, task):
    with pytest.raises(DataError, match=r"label 0 is np\.int64\(1\).*fitted to labels like 'bad'"):
        fitted.score(task[0], [1] * len(task[0]))


def test_times_can_be_learnt_but_not_saved(task, tmp_path):
    times = np.array([len(label) for label in task[1]], "datetime64[ns]")  # in Python, numbers
    classifier = TextClassifier(transfer="tfidf").fit(task[0], times)
    assert set(classifier.predict(task[0])) == set(times)
    with pytest.raises(DataError, match=r"can be saved as labels, got np[.]datetime64"):
        classifier.save(tmp_path / "model")
    assert os.listdir(tmp_path) == []


def test_the_card_tells_what_the_model_is(fitted, tmp_path):
    card = (fitted.save(tmp_path / "my model") / "README.md").read_text()
    assert card.startswith("# my model\n")
    assert "| method | finetune |" in card
    assert "| classes | bad, good |" in card
    assert "hs.load('my model')" in card


@pytest.mark.parametrize("limit", [100, 3000, 6000])
def test_a_full_disk_leaves_nothing(fitted, tmp_path, limit):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with pytest.raises(StorageError, match=r"cannot write: .*; .* MiB are free") as told:
            fitted.save(tmp_path / "model")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert told.value.exit_code == 74
    assert os.listdir(tmp_path) == []


def test_a_disk_that_fills_up_keeps_the_old_model(fitted, tmp_path, monkeypatch):
    folder = fitted.save(tmp_path / "model")
    expected = load(folder).predict_proba(["good1 bad2"])

    def fill(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("headstart.weights.save_file", fill)
    with pytest.raises(StorageError, match="No space left on device"):
        fitted.save(folder, overwrite=True)
    assert np.array_equal(load(folder).predict_proba(["good1 bad2"]), expected)
    assert os.listdir(tmp_path) == ["model"]


def test_frozen_and_loaded_models_say_the_same_in_any_batch(encoder, task, brief, tmp_path):
    classifier = TextClassifier(encoder, Features(training=brief)).fit(*task)
    loaded = load(classifier.save(tmp_path / "model"))
    texts = [*task[0], "", "good1 " * 300]
    one_by_one = np.concatenate([loaded.predict_proba([text]) for text in texts])
    assert one_by_one == pytest.approx(classifier.predict_proba(texts), abs=1e-6)
