"""The exam of the estimators, sat by the one for pairs: what differs where two texts are given."""

import copy
import inspect
import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from headstart.errors import DataError, SettingsError
from headstart.transfer.loading import load
from headstart.transfer.methods import Features, FineTune, Majority, Probe, Scratch, TfIdf, Training
from headstart.transfer.pairs import PairClassifier

BRIEF = Training(hidden=8, batch_size=8, min_steps=5, max_steps=20, evaluate_every=5, patience=2)
METHODS = {
    "majority": Majority(),
    "tfidf": TfIdf(strengths=(1.0, 10.0)),
    "probe": Probe(strengths=(1.0, 10.0)),
    "scratch": Scratch(width=8, learning_rate=2e-2, embedding_rate=0.1, training=BRIEF),
    "frozen": Features(learning_rate=2e-2, training=BRIEF),
    "elmo": Features(learning_rate=2e-2, training=BRIEF),
    "bert": FineTune(learning_rate=1e-2, training=BRIEF),
    "gpt": FineTune(learning_rate=1e-2, training=BRIEF),
    "bert frozen": Features(learning_rate=1e-2, training=BRIEF),
}
ENCODERS = {
    "probe": "glove",
    "frozen": "glove",
    "elmo": "elmo",
    "bert": "bert",
    "gpt": "gpt",
    "bert frozen": "bert",
}
ODD = [
    ("", ""),
    ("", "goal"),
    ("goal", ""),
    ("goal " * 40, "song"),
    ("unheard-of", "☕"),
    ("\0", " \n"),
]


def make_classifier(name, encoders, **settings):
    needed = encoders[ENCODERS[name]] if name in ENCODERS else None
    return PairClassifier(needed, METHODS[name], **settings)


@pytest.fixture(scope="module")
def pairs(texts):
    """Pairs of which the second text has the topic."""
    return [
        ("the a was", text) if row % 2 else ("today for", text) for row, text in enumerate(texts)
    ]


@pytest.fixture(params=["majority", "tfidf", "probe", "scratch", "frozen", "bert"])
def classifier(request, encoders):
    """A classifier that is quickly fitted, not fitted."""
    return make_classifier(request.param, encoders)


@pytest.fixture(scope="module")
def fitted_models(encoders, pairs, labels):
    return {
        (name, symmetric): make_classifier(name, encoders, symmetric=symmetric).fit(pairs, labels)
        for name in METHODS
        for symmetric in (False, True)
    }


@pytest.fixture(params=[False, True], ids=["ordered", "symmetric"])
def symmetric(request):
    return request.param


@pytest.fixture(params=METHODS)
def fitted(request, symmetric, fitted_models):
    """A classifier of each method, fitted to the three topics; not to be changed."""
    return fitted_models[request.param, symmetric]


def test_the_constructor_stores_its_arguments_unchanged():
    given = {name: object() for name in inspect.signature(PairClassifier).parameters}
    estimator = PairClassifier(**given)
    assert vars(estimator) == given
    assert estimator.get_params(deep=False) == given
    assert clone(PairClassifier(symmetric=True)).symmetric


@pytest.mark.parametrize("name", ["tfidf", "probe", "scratch", "frozen"])
def test_it_learns(name, symmetric, fitted_models, pairs, labels):
    assert fitted_models[name, symmetric].score(pairs, labels) > 0.8


def test_fitting_again_forgets_and_changes_no_setting(classifier, pairs, labels):
    before = copy.copy(classifier.get_params())
    others = ["late" if label == "music" else "early" for label in labels]
    fresh = clone(classifier).fit(pairs, others).predict_proba(pairs)
    again = classifier.fit(pairs, labels).fit(pairs, others)
    assert np.array_equal(again.predict_proba(pairs), fresh)
    assert all(again.get_params()[name] is before[name] for name in before)


def test_pairs_may_be_lists_tuples_or_an_array(classifier, pairs, labels):
    X = np.array(pairs)
    X.flags.writeable = False
    expected = classifier.fit(list(pairs), labels).predict_proba(pairs)
    assert np.array_equal(classifier.fit(X, labels).predict_proba(X), expected)
    assert np.array_equal(classifier.predict_proba([list(pair) for pair in pairs]), expected)


@pytest.mark.parametrize("name", ENCODERS)
def test_the_encoder_and_the_callers_random_numbers_are_not_touched(name, encoders, pairs, labels):
    encoder = encoders[ENCODERS[name]]
    before = {name: tensor.clone() for name, tensor in encoder.tensors().items()}
    ours = torch.get_rng_state()
    make_classifier(name, encoders).fit(pairs, labels).predict(pairs)
    assert torch.equal(torch.get_rng_state(), ours)
    assert all(torch.equal(encoder.tensors()[name], before[name]) for name in before)


def test_one_pair_is_predicted_as_among_many(fitted, pairs):
    mixed = [*pairs, *ODD]
    together = fitted.predict_proba(mixed)
    alone = np.concatenate([fitted.predict_proba([pair]) for pair in mixed])
    assert alone == pytest.approx(together, abs=1e-6)
    assert together.sum(1) == pytest.approx(1.0, abs=1e-12)
    assert fitted.predict(mixed).tolist() == fitted.classes_[together.argmax(1)].tolist()


def test_swapping_the_texts_of_a_symmetric_pair_changes_nothing(fitted, pairs):
    mixed = [*pairs, *ODD]
    found = fitted.predict_proba(mixed)
    swapped = fitted.predict_proba([(b, a) for a, b in mixed])
    if fitted.symmetric or isinstance(fitted.method_, Majority):
        assert swapped == pytest.approx(found, abs=1e-6)
    else:
        assert not np.allclose(swapped, found, atol=1e-6)


def test_no_pair_is_predicted_as_nothing(fitted):
    assert fitted.predict_proba([]).shape == (0, 3)
    assert fitted.predict([]).dtype == fitted.classes_.dtype


def test_predictions_survive_pickle_and_the_disk(fitted, pairs, tmp_path):
    expected = fitted.predict_proba([*pairs, *ODD])
    copied = pickle.loads(pickle.dumps(fitted))  # noqa: S301 - made on this very line
    assert copied.predict_proba([*pairs, *ODD]) == pytest.approx(expected, abs=1e-6)
    loaded = load(fitted.save(tmp_path / "model"))
    assert type(loaded) is PairClassifier
    assert loaded.symmetric is fitted.symmetric
    assert loaded.predict_proba([*pairs, *ODD]) == pytest.approx(expected, abs=1e-6)
    assert (loaded.method_, loaded.proof_) == (fitted.method_, fitted.proof_)
    assert loaded.fit_report_ == fitted.fit_report_
    again = load(loaded.save(tmp_path / "again"))
    assert np.array_equal(again.predict_proba(pairs), loaded.predict_proba(pairs))


def test_odd_pairs_are_learnt_and_counted(classifier, pairs, labels):
    classifier.fit([("", "goal " * 10_000), (" ", ""), *pairs[2:]], labels)
    neural = classifier.transfer not in (METHODS["majority"], METHODS["tfidf"])
    assert classifier.fit_report_["truncated"] == int(neural)
    assert classifier.fit_report_["empty"] == 2
    assert classifier.fit_report_["labels"] == 30


def test_an_unfitted_classifier_says_so(classifier):
    with pytest.raises(NotFittedError):
        classifier.predict([("a", "b")])


NO_PAIRS = {
    "one string": ("goal", "pairs must be a list of .first, second., got a str"),
    "generator": ((pair for pair in [("a", "b")]), "got a generator"),
    "set": ({("a", "b")}, "got a set"),
    "a table": (
        type("DataFrame", (list,), {"columns": ["a", "b"]})([["x", "y"], ["z", "v"]]),
        r"got a DataFrame; .* give list\(zip\(table",
    ),
    "texts": (["goal", "bank"], r"pair 0 must be two texts \(first, second\), got 'goal'"),
    "three texts": ([("a", "b"), ("a", "b", "c")], r"pair 1 must be two texts .*\('a', 'b', 'c'\)"),
    "one text": ([("a", "b"), ("a",)], "pair 1 must be two texts"),
    "dicts inside": ([{"a": "x", "b": "y"}] * 2, "pair 0 must be two texts .*{'a': 'x', 'b': 'y'}"),
    "sets inside": ([("a", "b"), {"a", "b"}], "pair 1 must be two texts"),
    "nothing inside": ([("a", "b"), None], "pair 1 must be two texts .*None"),
    "number inside": (
        [("a", "b"), ("a", 3)],
        "the second text of pair 1 is of type int, not a str",
    ),
    "half a character": ([("\ud800", "b")], "the first text of pair 0 is not valid Unicode"),
}


@pytest.mark.parametrize("kind", NO_PAIRS)
def test_what_is_no_list_of_pairs_is_refused(kind, fitted_models):
    wrong, message = NO_PAIRS[kind]
    for use in (
        lambda X: PairClassifier(transfer="tfidf").fit(X, ["a", "b"]),
        fitted_models["frozen", False].predict,
    ):
        with pytest.raises(DataError, match=message):
            use(wrong)


def test_labels_and_settings_that_cannot_be_are_refused(classifier, pairs, labels):
    with pytest.raises(DataError, match="30 pairs but 2 labels; give one label per pair"):
        classifier.fit(pairs, labels[:2])
    with pytest.raises(DataError, match="give one label per pair; only single texts may have sev"):
        classifier.fit(pairs, [[label] for label in labels])
    with pytest.raises(DataError, match="labels must be a list or one column, got a NoneType"):
        classifier.fit(pairs, None)
    with pytest.raises(SettingsError, match="symmetric must be true or false, got 'yes'"):
        classifier.set_params(symmetric="yes").fit(pairs, labels)


@pytest.mark.parametrize("name", [name for name in METHODS if name != "majority"])
def test_pairs_without_a_word_are_refused(name, encoders):
    with pytest.raises(DataError, match="word"):
        make_classifier(name, encoders).fit([("", " "), (" ", "")] * 5, ["a", "b"] * 5)


def test_it_works_inside_scikit_learn(encoder, pairs, labels):
    shout = FunctionTransformer(lambda pairs: [(a.upper(), b.upper()) for a, b in pairs])
    pipeline = make_pipeline(shout, PairClassifier(encoder, METHODS["probe"])).fit(pairs, labels)
    assert pipeline.predict_proba(pairs).shape == (30, 3)
    classifier = PairClassifier(encoder, METHODS["frozen"])
    assert np.isfinite(cross_val_score(classifier, pairs, labels, cv=2)).all()
    grid = {"transfer": [METHODS["majority"], METHODS["probe"]], "symmetric": [False, True]}
    search = GridSearchCV(PairClassifier(encoder), grid, cv=2, error_score="raise")
    assert search.fit(pairs, labels).best_params_["transfer"] == METHODS["probe"]
