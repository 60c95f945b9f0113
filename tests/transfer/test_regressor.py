"""Numbers in their own units, with every method, saved and loaded."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import r2_score
from sklearn.model_selection import cross_val_score

from headstart.errors import DataError, FormatError, SettingsError
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
from headstart.transfer.regressor import TextRegressor

STATIC = {"majority": Majority, "tfidf": TfIdf, "probe": Probe}
NEURAL = {"scratch": Scratch, "frozen": Features, "finetune": FineTune}
WHOLE = {"gradual": GradualUnfreeze, "lora": LowRank}


@pytest.fixture(scope="module")
def numbers(make_task):
    """Texts of good and bad words, and how many are good: in thousands, far from 0."""
    random = np.random.default_rng(0)
    texts, values = [], []
    for _ in range(60):
        good = int(random.integers(0, 4))
        words = [f"good{n}" for n in random.integers(0, 20, good)]
        words += [f"bad{n}" for n in random.integers(0, 20, 3 - good)]
        texts.append(" ".join(words))
        values.append(5000.0 + 1000.0 * good)
    return texts, values


def make(name, encoders, brief, **settings):
    method = STATIC[name]() if name in STATIC else (NEURAL | WHOLE)[name](training=brief)
    needs_none = name in ("majority", "tfidf", "scratch")
    kind = "bert" if name in WHOLE else "glove"
    return TextRegressor(None if needs_none else encoders[kind], method, **settings)


@pytest.fixture(scope="module")
def encoders(encoder, whole_models):
    return {"glove": encoder, **whole_models}


@pytest.mark.parametrize("name", [*STATIC, *NEURAL, *WHOLE])
def test_numbers_are_learnt_and_saved(name, encoders, brief, numbers, tmp_path):
    model = make(name, encoders, brief).fit(*numbers)
    predicted = model.predict(numbers[0])
    assert predicted.shape == (60,)
    assert model.score(*numbers) == pytest.approx(r2_score(numbers[1], predicted))
    assert np.abs(predicted - 6500).max() < 4000, "in the units of the numbers"
    report = model.fit_report_
    assert report["validation_loss"] > 0
    if name in ("majority", "probe"):
        assert (model.score(*numbers) > 0.8) == (name == "probe")
        assert (report["validation_pearson"] > 0.8) == (name == "probe")
    loaded = load(model.save(tmp_path / "model"))
    assert loaded.predict(numbers[0]) == pytest.approx(predicted, rel=1e-5)
    assert (loaded.method_, loaded.proof_, loaded.fit_report_) == (
        model.method_,
        model.proof_,
        report,
    )
    assert loaded.megabytes == pytest.approx(model.megabytes, rel=1e-3)


@pytest.mark.parametrize("kind", ["bert", "gpt"])
def test_a_whole_model_is_saved_where_transformers_does_not_look(
    kind, encoders, brief, numbers, tmp_path
):
    method = FineTune(pooling={"bert": "cls", "gpt": "last"}[kind], training=brief)
    model = TextRegressor(encoders[kind], method).fit(*numbers)
    folder = model.save(tmp_path / "model")
    assert (folder / "encoder" / "config.json").exists()
    assert load(folder).predict(numbers[0]) == pytest.approx(model.predict(numbers[0]), rel=1e-5)


def test_the_unit_of_the_numbers_decides_nothing(encoders, brief, numbers):
    texts, values = numbers
    model = make("finetune", encoders, brief)
    expected = model.fit(texts, values).predict(texts)
    other = model.fit(texts, [value / 1024 - 2 for value in values]).predict(texts)
    assert 1024 * (other + 2) == pytest.approx(expected, rel=1e-4)


def test_the_mean_is_what_a_model_that_reads_nothing_says(numbers):
    model = TextRegressor(transfer="majority").fit(*numbers)
    assert model.predict(["good1"]) == pytest.approx(np.mean(numbers[1]))
    assert model.mean_ == np.mean(numbers[1])
    assert model.scale_ == np.std(numbers[1])


def test_scikit_learn_accepts_it(numbers):
    model = TextRegressor(transfer="tfidf")
    assert (cross_val_score(model, *numbers, cv=3, error_score="raise") > 0.2).all()
    fitted = clone(model).fit(*numbers)
    assert fitted.predict([]).shape == (0,)
    with pytest.raises(NotFittedError):
        clone(fitted).predict(["good1"])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1.0, 2.0], "60 texts but 2 numbers; give one number per text"),
        ("12", "numbers must be a list or one column, got a str"),
        (["a"] * 60, "number 0 is 'a'"),
        ([1.0] * 60, "all numbers are 1"),
    ],
)
def test_what_is_no_list_of_numbers_is_refused(values, message, numbers):
    with pytest.raises(DataError, match=message):
        TextRegressor(transfer="tfidf").fit(numbers[0], values)


def test_impossible_settings_are_refused(numbers):
    for settings in ({"transfer": "magic"}, {"transfer": "probe"}, {"max_tokens": 0}):
        with pytest.raises(SettingsError):
            TextRegressor(**settings).fit(*numbers)


def test_two_texts_are_enough():
    model = TextRegressor(transfer="tfidf").fit(["good1", "bad1"], [1, 2])
    assert model.predict(["good1"]) < model.predict(["bad1"])
    assert model.fit_report_["validation_pearson"] == 0.0, "no correlation of one text is defined"


def test_damage_is_named(numbers, tmp_path):
    folder = TextRegressor(transfer="majority").fit(*numbers).save(tmp_path / "model")
    (folder / "config.json").write_text((folder / "config.json").read_text().replace("mean", "men"))
    with pytest.raises(FormatError, match=r"config\.json: corrupted"):
        load(folder)


def test_the_card_tells_what_the_model_is(numbers, tmp_path):
    model = TextRegressor(transfer="tfidf").fit(*numbers)
    card = (model.save(tmp_path / "model") / "README.md").read_text()
    assert "A text regressor" in card
    assert f"| mean | {model.mean_:.6g} |" in card
