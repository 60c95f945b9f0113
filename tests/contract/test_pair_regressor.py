"""The exam of the estimator that gives pairs numbers: learning, order, odd pairs, the disk."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.metrics import r2_score
from sklearn.model_selection import cross_val_score

from headstart.errors import DataError, SettingsError
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
    Training,
)
from headstart.transfer.pairs import PairRegressor

BRIEF = Training(hidden=8, batch_size=8, min_steps=30, max_steps=60, evaluate_every=10, patience=2)
METHODS = {
    "majority": (None, Majority()),
    "tfidf": (None, TfIdf()),
    "probe": ("glove", Probe()),
    "scratch": (None, Scratch(width=8, learning_rate=2e-2, embedding_rate=0.1, training=BRIEF)),
    "frozen": ("glove", Features(learning_rate=2e-2, training=BRIEF)),
    "finetune": ("glove", FineTune(learning_rate=2e-2, training=BRIEF)),
    "elmo": ("elmo", Features(learning_rate=2e-2, training=BRIEF)),
    "bert": ("bert", FineTune(learning_rate=1e-2, training=BRIEF)),
    "bert frozen": ("bert", Features(learning_rate=1e-2, training=BRIEF)),
    "bert gradual": ("bert", GradualUnfreeze(learning_rate=1e-2, training=BRIEF)),
    "bert lora": ("bert", LowRank(rank=2, training=BRIEF)),
    "gpt": ("gpt", FineTune(learning_rate=1e-2, training=BRIEF)),
}
ODD = [("", ""), ("", "goal"), ("goal " * 40, "song"), ("unheard-of", "☕")]


@pytest.fixture(scope="module")
def pairs(texts):
    """Pairs of texts of one topic, and of two."""
    return [(text, texts[(row + 10 * (row % 2)) % len(texts)]) for row, text in enumerate(texts)]


@pytest.fixture(scope="module")
def values(pairs):
    """How alike they are, in thousands far from 0."""
    return [7000.0 - 3000.0 * (row % 2) for row in range(len(pairs))]


@pytest.fixture(scope="module")
def fitted_models(encoders, pairs, values):
    return {
        (name, symmetric): PairRegressor(encoders.get(kind), method, symmetric=symmetric).fit(
            pairs, values
        )
        for name, (kind, method) in METHODS.items()
        for symmetric in (False, True)
    }


@pytest.fixture(params=[False, True], ids=["ordered", "symmetric"])
def symmetric(request):
    return request.param


@pytest.fixture(params=METHODS)
def fitted(request, symmetric, fitted_models):
    """A regressor of each method, fitted; not to be changed."""
    return fitted_models[request.param, symmetric]


@pytest.mark.parametrize("name", ["probe", "frozen", "finetune"])
def test_likeness_is_learnt_in_the_units_of_the_numbers(name, fitted_models, pairs, values):
    model = fitted_models[name, True]
    predicted = model.predict(pairs)
    assert model.score(pairs, values) == pytest.approx(r2_score(values, predicted))
    assert model.score(pairs, values) > 0.5
    assert (model.mean_, model.scale_) == (np.mean(values), np.std(values))


def test_one_pair_is_predicted_as_among_many(fitted, pairs):
    together = fitted.predict([*pairs[:4], *ODD])
    alone = [fitted.predict([pair])[0] for pair in [*pairs[:4], *ODD]]
    assert alone == pytest.approx(together, rel=1e-6)
    assert fitted.predict([]).shape == (0,)


def test_swapping_the_texts_of_a_symmetric_pair_changes_nothing(fitted, pairs):
    found = fitted.predict([*pairs, *ODD])
    swapped = fitted.predict([(b, a) for a, b in [*pairs, *ODD]])
    if fitted.symmetric or isinstance(fitted.method_, Majority):
        assert swapped == pytest.approx(found, rel=1e-4, abs=1e-4)
    else:
        assert not np.allclose(swapped, found, rtol=1e-6)


def test_it_survives_pickle_and_the_disk(fitted, pairs, tmp_path):
    expected = fitted.predict([*pairs, *ODD])
    copied = pickle.loads(pickle.dumps(fitted))  # noqa: S301 - made on this very line
    assert copied.predict([*pairs, *ODD]) == pytest.approx(expected, rel=1e-6)
    folder = fitted.save(tmp_path / "model")
    loaded = load(folder)
    assert type(loaded) is PairRegressor
    assert loaded.symmetric is fitted.symmetric
    assert loaded.predict([*pairs, *ODD]) == pytest.approx(expected, rel=1e-5)
    assert (loaded.proof_, loaded.fit_report_) == (fitted.proof_, fitted.fit_report_)
    assert "A pair regressor" in (folder / "README.md").read_text()


def test_pairs_with_an_empty_side_are_learnt_and_counted(pairs, values):
    model = PairRegressor(transfer="tfidf").fit([("", "goal"), ("goal", " "), *pairs[2:]], values)
    assert model.fit_report_["empty"] == 2
    assert model.fit_report_["labels"] == len(pairs)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"y": [1.0, 2.0]}, "30 pairs but 2 numbers; give one number per pair"),
        ({"y": ["4.5"] * 30}, "number 0 is '4.5'; give finite numbers only"),
        ({"y": [1.0] * 29 + [float("nan")]}, "number 29 is nan"),
        ({"y": [1.0] * 30}, "all numbers are 1; there is nothing to learn"),
        ({"X": ["goal"] * 30}, r"pair 0 must be two texts \(first, second\), got 'goal'"),
        ({"X": [("", " ")] * 30}, "no text contains a word"),
    ],
)
def test_what_cannot_be_learnt_is_refused(wrong, message, pairs, values):
    with pytest.raises(DataError, match=message):
        PairRegressor(transfer="tfidf").fit(**{"X": pairs, "y": values, **wrong})


def test_impossible_settings_are_refused(pairs, values):
    for settings, message in (
        ({"symmetric": "yes"}, "symmetric must be true or false, got 'yes'"),
        ({"transfer": "probe"}, "needs an encoder"),
    ):
        with pytest.raises(SettingsError, match=message):
            PairRegressor(**settings).fit(pairs, values)


def test_scikit_learn_accepts_it(encoders, pairs, values):
    model = PairRegressor(encoders["glove"], Probe(), symmetric=True)
    assert np.isfinite(cross_val_score(clone(model), pairs, values, cv=3)).all()
