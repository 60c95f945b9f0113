"""Several labels a text: `TextClassifier` with lists, with every method, calibrated or not."""

import json

import numpy as np
import pytest
from sklearn.model_selection import KFold, cross_val_score

from headstart.errors import DataError, FormatError
from headstart.storage import file_sha256
from headstart.transfer.estimators import TextClassifier
from headstart.transfer.loading import load
from headstart.transfer.methods import (
    Features,
    FineTune,
    GradualUnfreeze,
    LowRank,
    Majority,
    Probe,
    Scratch,
    TfIdf,
)

PLAIN = {"majority": Majority, "tfidf": TfIdf, "probe": Probe}
TRAINED = {"scratch": Scratch, "frozen": Features, "finetune": FineTune}
WHOLE = {"gradual": GradualUnfreeze, "lora": LowRank, "tuned": FineTune}


@pytest.fixture(scope="module")
def label_sets():
    """Texts with good words, bad words, both, or neither, and labels that say so."""
    random = np.random.default_rng(0)
    texts, labels = [], []
    for _ in range(80):
        given = [label for label in ("bad", "good") if random.random() < 0.5]
        words = [f"{label}{n}" for label in given for n in random.integers(0, 20, 2)]
        texts.append(" ".join([*words, f"plain{random.integers(0, 20)}"]))
        labels.append(given)
    return texts, labels


@pytest.fixture(scope="module")
def make(encoder, whole_models, brief):
    def make(name, **settings):
        kinds = PLAIN | TRAINED | WHOLE
        method = kinds[name]() if name in PLAIN else kinds[name](training=brief)
        if name in ("majority", "tfidf", "scratch"):
            return TextClassifier(None, method, **settings)
        return TextClassifier(
            whole_models["bert"] if name in WHOLE else encoder, method, **settings
        )

    return make


@pytest.mark.parametrize("name", [*PLAIN, *TRAINED, *WHOLE])
@pytest.mark.parametrize("calibrate", [False, True])
def test_labels_are_learnt_and_saved(name, calibrate, make, label_sets, tmp_path):
    texts, labels = label_sets
    model = make(name, calibrate=calibrate).fit(texts, labels)
    assert model.classes_.tolist() == ["bad", "good"]
    shares, predicted = model.predict_proba(texts), model.predict(texts)
    assert shares.shape == (80, 2)
    assert predicted.shape == (80,)
    for row, given in zip(shares, predicted, strict=True):
        assert given == [
            label
            for label, share, least in zip(model.classes_, row, model.thresholds_, strict=True)
            if share >= least
        ]
    if name in ("tfidf", "probe"):  # in the vectors, good and bad cancel out
        assert model.score(texts, labels) > {"tfidf": 0.9, "probe": 0.7}[name]
    report = model.fit_report_
    assert 0 <= report["validation_micro_f1"] <= 1
    assert ("temperature" in report) == calibrate
    loaded = load(model.save(tmp_path / "model"))
    assert loaded.predict_proba(texts) == pytest.approx(shares, abs=1e-6)
    assert loaded.thresholds_.tolist() == model.thresholds_.tolist()
    assert (loaded.temperature_, loaded.calibrate) == (model.temperature_, calibrate)
    again = loaded.set_params(encoder=model.encoder).fit(texts, labels)
    assert again.predict_proba(texts) == pytest.approx(shares, abs=1e-4)


def test_thresholds_are_those_of_the_validation_part(make, label_sets):
    model = make("tfidf").fit(*label_sets)
    few = make("tfidf").fit(*[each[:20] for each in label_sets])
    assert few.thresholds_.tolist() == [0.5, 0.5], "four texts choose nothing"
    assert ((model.thresholds_ > 0) & (model.thresholds_ < 1)).all()


def test_labels_may_be_sets_of_any_sortable_type(make, label_sets):
    texts, labels = label_sets
    as_lists = make("tfidf").fit(texts, labels).predict_proba(texts)
    numbers = [{len(label) for label in each} for each in labels]  # bad is 3, good is 4
    model = make("tfidf").fit(texts, numbers)
    assert np.array_equal(model.predict_proba(texts), as_lists)
    assert {type(label) for given in model.predict(texts) for label in given} == {int}


def test_a_heavier_label_is_given_more(make, label_sets):
    shares = [
        make("frozen", class_weight=weight).fit(*label_sets).predict_proba(label_sets[0])[:, 1]
        for weight in ({"good": 0.1}, None, {"good": 10.0})
    ]
    assert shares[0].mean() < shares[1].mean() < shares[2].mean()
    with pytest.raises(DataError, match="class_weight names 'fine'"):
        make("tfidf", class_weight={"fine": 2.0}).fit(*label_sets)


def test_a_label_with_one_text_is_learnt(make, label_sets):
    texts, labels = label_sets
    for name in ("tfidf", "probe", "tuned"):
        model = make(name).fit([*texts, "plain3 plain4"], [*labels, ["rare"]])
        assert model.predict_proba(texts).shape == (80, 3)


def test_one_label_alone_is_a_question_of_yes_or_no(make, label_sets):
    texts, labels = label_sets
    good = [[label for label in each if label == "good"] for each in labels]
    model = make("tfidf").fit(texts, good)
    assert model.predict_proba(texts).shape == (80, 1)
    assert model.score(texts, good) > 0.9


def test_one_label_a_text_is_not_scored_as_its_letters(make, label_sets):
    model = make("tfidf").fit(*label_sets)
    with pytest.raises(DataError, match="label 0 is 'good'; give every text a list of labels"):
        model.score(label_sets[0], ["good"] * len(label_sets[0]))


def test_the_score_is_micro_f1_and_knows_labels_nobody_trained_on(make, label_sets):
    model = make("tfidf").fit(*label_sets)
    perfect = model.predict(label_sets[0]).tolist()
    assert model.score(label_sets[0], perfect) == 1.0
    assert model.score(label_sets[0], [[*each, "new"] for each in perfect]) < 1.0
    scores = cross_val_score(model, *label_sets, cv=KFold(2), error_score="raise")
    assert (scores > 0.5).all()


def test_transformers_is_told_that_there_are_several(whole_models, brief, label_sets, tmp_path):
    model = TextClassifier(whole_models["bert"], FineTune(pooling="cls", training=brief))
    folder = model.fit(*label_sets).save(tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    assert config["problem_type"] == "multi_label_classification"
    assert config["id2label"] == {"0": "bad", "1": "good"}


@pytest.mark.parametrize(
    "change",
    [
        {"thresholds": [0.5]},
        {"thresholds": ["high", "low"]},
        {"temperature": "warm"},
    ],
)
def test_settings_that_do_not_fit_are_refused(change, make, label_sets, tmp_path):
    folder = make("majority").fit(*label_sets).save(tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | change))
    names = [file.name for file in folder.iterdir() if file.name != "manifest.json"]
    sums = {name: file_sha256(folder / name) for name in names}
    (folder / "manifest.json").write_text(json.dumps({"sha256": sums}))
    with pytest.raises(FormatError, match="does not fit the weights"):
        load(folder)


# One label a text


def test_calibration_changes_probabilities_and_no_answer(encoder, make_task):
    texts, labels = make_task(60, first=0, last=40)
    labels[:6] = labels[5::-1]
    models = [
        TextClassifier(encoder, Probe(), calibrate=calibrate).fit(texts, labels)
        for calibrate in (False, True)
    ]
    assert models[0].temperature_ == 1.0 != models[1].temperature_
    assert np.array_equal(*(model.predict(texts) for model in models))
    assert not np.allclose(*(model.predict_proba(texts) for model in models))
    plain, report = (model.fit_report_ for model in models)
    assert report["validation_calibration_error_before"] == plain["validation_calibration_error"]
    assert "temperature" not in plain


def test_a_model_of_before_calibration_is_loaded(task, tmp_path):
    model = TextClassifier(transfer="tfidf").fit(*task)
    folder = model.save(tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    del config["thresholds"], config["temperature"], config["parameters"]["calibrate"]
    (folder / "config.json").write_text(json.dumps(config))
    names = [file.name for file in folder.iterdir() if file.name != "manifest.json"]
    sums = {name: file_sha256(folder / name) for name in names}
    (folder / "manifest.json").write_text(json.dumps({"sha256": sums}))
    assert np.array_equal(load(folder).predict_proba(task[0]), model.predict_proba(task[0]))
