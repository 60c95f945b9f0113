"""Whole models that were fitted, as folders and back: ours, and those of `transformers`."""

import json
import os
import pickle

import numpy as np
import pytest
import torch

from headstart.errors import FormatError, SettingsError
from headstart.hub.language_models import PretrainedBert
from headstart.hub.store import load_encoder
from headstart.models.bert import Bert
from headstart.transfer.estimators import TextClassifier
from headstart.transfer.loading import load
from headstart.transfer.methods import (
    Features,
    FineTune,
    GradualUnfreeze,
    LowRank,
    Probe,
    Scratch,
    Training,
)

BRIEF = Training(
    hidden=8, dropout=0.1, batch_size=8, min_steps=4, max_steps=5, evaluate_every=5, patience=1
)
TRANSFERS = {
    "probe": Probe(),
    "frozen": Features(training=BRIEF),
    "own": FineTune(training=BRIEF),
    "mean": FineTune(pooling="mean", training=BRIEF),
    "gradual": GradualUnfreeze(training=BRIEF),
    "lora": LowRank(rank=2, training=BRIEF),
    "scratch": Scratch(training=BRIEF),
}
OWN = {"bert": "cls", "gpt": "last"}
TEXTS = ["good1 plain2 bad3", "", "strange good25", "bad7 " * 50]


@pytest.fixture(scope="module")
def fitted(whole_models, task):
    """Fit a transfer to a model, once."""
    done = {}

    def fit(name, kind):
        transfer = TRANSFERS[name]
        if name == "own":
            transfer = FineTune(pooling=OWN[kind], training=BRIEF)
        if (name, kind) not in done:
            done[name, kind] = TextClassifier(whole_models[kind], transfer).fit(*task)
        return done[name, kind]

    return fit


@pytest.mark.parametrize("kind", ["bert", "gpt"])
def test_a_loaded_architecture_is_fitted_again_from_nothing(kind, fitted, task, tmp_path):
    model = fitted("scratch", kind)
    again = load(model.save(tmp_path / "model")).fit(*task)
    assert np.array_equal(again.predict_proba(TEXTS), model.predict_proba(TEXTS))


@pytest.mark.parametrize("kind", ["bert", "gpt"])
@pytest.mark.parametrize("name", TRANSFERS)
def test_a_saved_model_says_the_same(name, kind, fitted, tmp_path):
    classifier = fitted(name, kind)
    loaded = load(classifier.save(tmp_path / "model"))
    expected = classifier.predict_proba(TEXTS)
    assert loaded.predict_proba(TEXTS) == pytest.approx(expected, abs=1e-6)
    assert loaded.classes_.tolist() == ["bad", "good"]
    assert (loaded.method_, loaded.proof_) == (classifier.method_, classifier.proof_)
    again = load(loaded.save(tmp_path / "again"))
    assert np.array_equal(again.predict_proba(TEXTS), loaded.predict_proba(TEXTS))


def check_with_transformers(classifier, folder):
    """Check that `transformers` gives the same probabilities, one by one and padded."""
    transformers = pytest.importorskip("transformers", reason="the extra hf is not installed")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    assert model.config.id2label == {0: "bad", 1: "good"}
    expected = np.log(classifier.predict_proba(TEXTS))
    for texts in [[text] for text in TEXTS] + [TEXTS]:
        inputs = tokenizer(texts, truncation=True, padding=True, return_tensors="pt")
        with torch.no_grad():
            logits = model(**inputs).logits
        rows = [TEXTS.index(text) for text in texts]
        assert logits.log_softmax(-1).numpy() == pytest.approx(expected[rows], abs=1e-4)


@pytest.mark.parametrize("kind", ["bert", "gpt"])
def test_transformers_opens_the_same_classifier(kind, fitted, tmp_path):
    classifier = fitted("own", kind)
    check_with_transformers(classifier, classifier.save(tmp_path / "model"))


@pytest.mark.parametrize("kind", ["bert", "gpt"])
def test_transformers_cuts_where_the_fit_did(kind, whole_models, task, tmp_path):
    transfer = FineTune(pooling=OWN[kind], training=BRIEF)
    classifier = TextClassifier(whole_models[kind], transfer, max_tokens=9).fit(*task)
    check_with_transformers(classifier, classifier.save(tmp_path / "model"))


def test_transformers_opens_a_model_without_a_pooler_too(whole_models, task, tmp_path):
    encoder = whole_models["bert"]
    plain = Bert(encoder.model.config, pooler=False, nsp=False)
    plain.load_state_dict(encoder.model.state_dict(), strict=False)
    own = PretrainedBert.of(plain, encoder.tokenizer, lineage={})
    classifier = TextClassifier(own, FineTune(pooling="cls", training=BRIEF)).fit(*task)
    folder = classifier.save(tmp_path / "model")
    loaded = load(folder)
    assert loaded.model_.encoder.model.pooler is None
    assert loaded.predict_proba(TEXTS) == pytest.approx(classifier.predict_proba(TEXTS), abs=1e-6)
    check_with_transformers(classifier, folder)


@pytest.mark.parametrize("kind", ["bert", "gpt"])
@pytest.mark.parametrize("name", ["probe", "frozen", "mean"])
def test_what_transformers_has_no_class_for_holds_its_encoder(name, kind, fitted, tmp_path):
    classifier = fitted(name, kind)
    folder = classifier.save(tmp_path / "model")
    inside = load_encoder(folder / "encoder")
    assert inside.kind == kind
    frozen = name in ("probe", "frozen")
    original = classifier.proof_.encoder
    assert (inside.name == original) == frozen
    assert "classify" not in json.dumps(sorted(inside.tensors()))


@pytest.mark.parametrize(("name", "kind"), [("own", "bert"), ("own", "gpt"), ("frozen", "bert")])
def test_a_loaded_model_can_be_fitted_again_with_its_encoder(
    name, kind, fitted, whole_models, task, tmp_path
):
    classifier = fitted(name, kind)
    loaded = load(classifier.save(tmp_path / "model"))
    loaded.set_params(encoder=whole_models[kind])
    again = loaded.fit(*task).predict_proba(TEXTS)
    assert again == pytest.approx(classifier.predict_proba(TEXTS), abs=1e-5)


@pytest.mark.parametrize("name", ["own", "mean", "frozen", "probe"])
def test_damage_to_any_file_is_named(name, fitted, tmp_path):
    folder = fitted(name, "bert").save(tmp_path / "model")
    files = [file for file in folder.rglob("*") if file.is_file() and file.suffix != ".md"]
    assert any(file.parent != folder for file in files) == (name != "own")
    for file in sorted(files):
        content = file.read_bytes()
        for damage in (lambda f: f.write_bytes(f.read_bytes()[:-9]), os.remove):
            if damage is os.remove and file == folder / "encoder" / "manifest.json":
                continue  # then it is a folder of anybody's, which has none
            damage(file)
            with pytest.raises(FormatError, match="model"):
                load(folder)
            file.write_bytes(content)
    load(folder)


def test_a_classifier_is_no_encoder(fitted, tmp_path):
    for kind in OWN:
        folder = fitted("own", kind).save(tmp_path / kind)
        with pytest.raises(FormatError, match="contains a 'classifier', which is not an encoder"):
            load_encoder(folder)


@pytest.mark.parametrize("name", ["probe", "frozen", "mean"])
def test_what_is_fitted_to_a_kind_that_cannot_be_loaded_is_not_saved(name, own, task, tmp_path):
    model = TextClassifier(own, TRANSFERS[name]).fit(*task)
    with pytest.raises(SettingsError, match="could not read a Pretrained of kind 'mine'"):
        model.save(tmp_path / "model")
    assert not list(tmp_path.iterdir())
    again = pickle.loads(pickle.dumps(model))  # noqa: S301 - our own
    assert np.array_equal(again.predict_proba(TEXTS), model.predict_proba(TEXTS))
