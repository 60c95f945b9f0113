"""One exam for every estimator: what scikit-learn promises of its own, asked of ours on texts.

scikit-learn's `check_estimator` runs almost nothing on an estimator whose input is text.
"""

import copy
import inspect
import pickle
from contextlib import contextmanager

import numpy as np
import pyarrow as pa
import pytest
import torch
from scipy.sparse import csr_matrix
from sklearn import config_context
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import get_tags

from headstart.compare.ranking import rank
from headstart.data.corpora import as_corpus
from headstart.data.labelled import Dataset
from headstart.errors import DataError, SettingsError
from headstart.transfer.estimators import TextClassifier
from headstart.transfer.loading import load
from headstart.transfer.methods import (
    Features,
    FineTune,
    Majority,
    Probe,
    Scratch,
    TfIdf,
    Training,
)
from headstart.transfer.pairs import PairClassifier
from headstart.transfer.regressor import TextRegressor
from headstart.transfer.text_features import TextFeatures
from headstart.transfer.token_tagger import TokenTagger

BRIEF = Training(hidden=8, batch_size=8, min_steps=5, max_steps=15, evaluate_every=5, patience=2)
METHODS = {
    "majority": Majority(),
    "tfidf": TfIdf(strengths=(1.0, 10.0)),
    "probe": Probe(strengths=(1.0, 10.0)),
    "scratch": Scratch(width=8, learning_rate=2e-2, embedding_rate=0.1, training=BRIEF),
    "frozen": Features(learning_rate=2e-2, training=BRIEF),
    "finetune": FineTune(learning_rate=2e-2, training=BRIEF),
    "bert": FineTune(learning_rate=1e-2, training=BRIEF),
}
NEURAL = ("scratch", "frozen", "finetune", "bert")
ENCODERS = {"probe": "glove", "frozen": "glove", "finetune": "glove", "bert": "bert"}


def make_classifier(name, encoders, **settings):
    needed = encoders[ENCODERS[name]] if name in ENCODERS else None
    return TextClassifier(needed, METHODS[name], **settings)


@pytest.fixture(params=METHODS)
def classifier(request, encoders):
    """A classifier of each method, not fitted."""
    return make_classifier(request.param, encoders)


@pytest.fixture(scope="module")
def fitted_models(encoders, texts, labels):
    return {name: make_classifier(name, encoders).fit(texts, labels) for name in METHODS}


@pytest.fixture(params=METHODS)
def fitted(request, fitted_models):
    """A classifier of each method, fitted to the three topics; not to be changed."""
    return fitted_models[request.param]


@pytest.fixture(params=["classifier", "regressor", "features"])
def estimator(request, encoder):
    """One of each class of estimator, not fitted."""
    match request.param:
        case "classifier":
            return TextClassifier(encoder, METHODS["probe"])
        case "regressor":
            return TextRegressor(encoder, METHODS["probe"])
    return TextFeatures(encoder)


def through_pickle(estimator):
    return pickle.loads(pickle.dumps(estimator))  # noqa: S301 - made on this very line


# What is promised of the settings


@pytest.mark.parametrize("kind", [TextClassifier, TextRegressor, TextFeatures])
def test_the_constructor_stores_its_arguments_unchanged(kind):
    given = {name: object() for name in inspect.signature(kind).parameters}
    estimator = kind(**given)
    assert vars(estimator) == given
    assert estimator.get_params(deep=False) == given


def test_settings_can_be_set_and_cloned(estimator, other_encoder):
    estimator.set_params(encoder=other_encoder, max_tokens=7)
    copied = clone(estimator)
    assert copied is not estimator
    assert copied.get_params() == estimator.get_params()
    assert copied.encoder is other_encoder
    with pytest.raises(ValueError, match="colour"):
        estimator.set_params(colour="red")


@pytest.mark.parametrize(
    ("made", "written"),
    [
        (TextClassifier(), "TextClassifier()"),
        (
            TextClassifier(None, "tfidf", class_weight={"a": 2.0}),
            "TextClassifier(transfer='tfidf', class_weight={'a': 2.0})",
        ),
        (
            TextClassifier(class_weight=np.array([1, 2])),
            "TextClassifier(class_weight=array([1, 2]))",
        ),
        (TextRegressor(random_state=1), "TextRegressor(random_state=1)"),
        (TokenTagger(scheme="BIO"), "TokenTagger(scheme='BIO')"),
    ],
)
def test_an_estimator_is_written_as_the_call_that_makes_it(made, written):
    assert repr(made) == written


def test_scikit_learn_knows_them_by_what_they_do():
    assert is_classifier(TextClassifier())
    assert is_regressor(TextRegressor())
    assert not is_classifier(TokenTagger())
    for kind in (TextClassifier, TextRegressor, TokenTagger):
        tags = get_tags(kind())
        assert (tags.input_tags.string, tags.input_tags.two_d_array) == (True, False)
        assert tags.target_tags.required


def test_weights_are_routed_to_the_score(texts, labels):
    weights = [float(label == labels[0]) for label in labels]
    pipeline = make_pipeline(FunctionTransformer(), TextClassifier(transfer="majority"))
    with config_context(enable_metadata_routing=True):
        pipeline.fit(texts, labels)
        assert pipeline.score(texts, labels) == pytest.approx(1 / 3)
        assert pipeline.score(texts, labels, sample_weight=weights) in (0.0, 1.0)


def test_a_clone_knows_nothing_that_was_learnt(fitted):
    with pytest.raises(NotFittedError):
        clone(fitted).predict(["goal"])


def test_fitting_changes_no_setting(classifier, texts, labels):
    before = copy.copy(classifier.get_params())
    assert classifier.fit(texts, labels) is classifier
    after = classifier.get_params()
    assert all(after[name] is before[name] for name in before)


@pytest.mark.parametrize(
    "settings",
    [
        {"transfer": "magic"},
        {"transfer": 3},
        {"transfer": "probe"},
        {"encoder": 3, "transfer": "frozen"},
        {"max_tokens": 0},
        {"random_state": None},
        {"calibrate": "yes"},
    ],
)
def test_an_impossible_setting_is_refused_by_fit(settings, texts, labels):
    with pytest.raises(SettingsError):
        TextClassifier(**settings).fit(texts, labels)


@pytest.mark.parametrize("settings", [{"pooling": "sum"}, {"max_tokens": 0}, {"encoder": None}])
def test_impossible_settings_of_features_are_refused(settings, encoder):
    with pytest.raises(SettingsError):
        TextFeatures(**{"encoder": encoder, **settings}).fit(["goal"])


# What is promised of learning


def test_it_learns(fitted, texts, labels):
    least = 0.3 if isinstance(fitted.method_, Majority) else 0.8
    assert fitted.score(texts, labels) > least


def test_fitting_again_forgets(classifier, texts, labels):
    others = ["late" if label == "music" else "early" for label in labels]
    fresh = clone(classifier).fit(texts, others).predict_proba(texts)
    again = classifier.fit(texts, labels).fit(texts, others)
    assert again.classes_.tolist() == ["early", "late"]
    assert np.array_equal(again.predict_proba(texts), fresh)


def test_the_same_seed_gives_the_same_model(classifier, fitted_models, texts, labels):
    torch.rand(3)  # what the caller draws meanwhile is no matter
    np.random.rand(3)  # noqa: NPY002 - the global stream is what is tested
    name = next(name for name, method in METHODS.items() if method == classifier.transfer)
    again = classifier.fit(texts, labels)
    assert np.array_equal(again.predict_proba(texts), fitted_models[name].predict_proba(texts))


@pytest.mark.parametrize("name", NEURAL)
def test_another_seed_gives_another_model(name, encoders, fitted_models, texts, labels):
    other = make_classifier(name, encoders, random_state=1).fit(texts, labels)
    assert not np.allclose(other.predict_proba(texts), fitted_models[name].predict_proba(texts))


@contextmanager
def default(kind):
    """Let torch make tensors of another type, or on another device, than it does by itself."""
    torch.set_default_dtype(torch.float64 if kind == "float64" else torch.float32)
    torch.set_default_device("meta" if kind == "meta" else None)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_default_device(None)


AMBIENT = {
    "float64": lambda: default("float64"),
    "another device": lambda: default("meta"),
    "no gradients": torch.no_grad,
    "inference": torch.inference_mode,
}


@pytest.mark.parametrize("ambient", AMBIENT)
@pytest.mark.parametrize("name", [*NEURAL, "probe"])
def test_what_the_caller_set_torch_to_changes_nothing(
    name, ambient, encoders, fitted_models, texts, labels, tmp_path
):
    expected = fitted_models[name].predict_proba(texts)
    with AMBIENT[ambient]():
        fitted = make_classifier(name, encoders).fit(texts, labels)
        shares = fitted.predict_proba(texts)
        again = load(fitted.save(tmp_path / "model"))
        assert again.predict_proba(texts) == pytest.approx(expected, abs=1e-6)
    assert np.array_equal(shares, expected)
    assert again.predict_proba(texts) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("ambient", AMBIENT)
@pytest.mark.parametrize("kind", ["glove", "bert", "gpt", "elmo", "cove"])
def test_an_encoder_is_loaded_as_it_is_whatever_torch_is_set_to(kind, ambient, encoders, tmp_path):
    folder = encoders[kind].save(tmp_path / kind)
    with AMBIENT[ambient]():
        loaded = load(folder)
        features = TextFeatures(loaded).fit_transform(["goal"])
    assert loaded.fingerprint == encoders[kind].fingerprint
    assert np.array_equal(features, TextFeatures(encoders[kind]).fit_transform(["goal"]))


SAID = {
    "glove": lambda glove: (
        glove.most_similar("goal"),
        glove.analogy("goal", "match", "song"),
        glove.similarity("goal", "song"),
    ),
    "elmo": lambda elmo: elmo.word_states([["goal", "song"]])[0].tolist(),
    "cove": lambda cove: cove.word_states([["goal", "song"]])[0].tolist(),
    "bert": lambda bert: bert.fill_mask("goal [MASK]"),
    "gpt": lambda gpt: (gpt.generate("goal", max_new_tokens=3), gpt.perplexity(["goal song"])),
}


@pytest.mark.parametrize("ambient", AMBIENT)
@pytest.mark.parametrize("kind", SAID)
def test_an_encoder_says_the_same_whatever_torch_is_set_to(kind, ambient, encoders, texts, labels):
    data = Dataset(texts, labels, "texts")
    said = SAID[kind](encoders[kind])
    ranked = rank(data, encoders=encoders[kind]).table
    with AMBIENT[ambient]():
        new = copy.deepcopy(encoders[kind])  # which has kept nothing
        assert SAID[kind](new) == said
        again = rank(data, encoders=new).table
    for one, other in zip(ranked, again, strict=True):
        assert {**one, "seconds": 0} == {**other, "seconds": 0}


def test_the_input_is_not_touched(classifier, texts, labels):
    X, y = np.array(texts), np.array(labels)
    X.flags.writeable = y.flags.writeable = False
    expected = classifier.fit(list(texts), list(labels)).predict_proba(texts)
    assert np.array_equal(classifier.fit(X, y).predict_proba(X), expected)
    assert (X.tolist(), y.tolist()) == (texts, labels)


@pytest.mark.parametrize("name", ENCODERS)
def test_the_encoder_is_not_touched(name, encoders, texts, labels):
    encoder = encoders[ENCODERS[name]]
    before = {name: tensor.clone() for name, tensor in encoder.tensors().items()}
    make_classifier(name, encoders).fit(texts, labels).predict(texts)
    assert all(torch.equal(encoder.tensors()[name], before[name]) for name in before)


def test_the_callers_random_numbers_are_not_touched(classifier, texts, labels):
    ours, theirs = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    classifier.fit(texts, labels).predict(texts)
    assert torch.equal(torch.get_rng_state(), ours)
    assert np.array_equal(np.random.get_state()[1], theirs)  # noqa: NPY002


def test_loading_draws_no_number_of_the_callers(fitted, tmp_path):
    fitted.save(tmp_path / "model")
    before = torch.get_rng_state()
    load(tmp_path / "model")
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("kind", ["bert", "cove", "elmo"])
@pytest.mark.parametrize("name", ["scratch", "frozen", "finetune"])
def test_fitting_and_loading_on_any_encoder_draw_none(
    name, kind, encoders, texts, labels, tmp_path
):
    sentences, tags = (
        [text.split() for text in texts],
        [["A", *"B" * text.count(" ")] for text in texts],
    )
    method = METHODS[name]
    if (name, kind) == ("scratch", "bert"):  # the whole model, with no embeddings of its own
        method = Scratch(learning_rate=2e-2, training=BRIEF)
    for model, y in ((TextClassifier, labels), (TokenTagger, tags)):
        before = torch.get_rng_state()
        fitted = model(encoders[kind], method).fit(sentences if y is tags else texts, y)
        assert torch.equal(torch.get_rng_state(), before)
        fitted.save(tmp_path / model.__name__)
        load(tmp_path / model.__name__)
        assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    "labels",
    [
        pytest.param(["1", "01", "1.0"], id="text that looks like one number"),
        pytest.param(["", " ", "é"], id="blank and accented text"),
        pytest.param([7, -1, 0], id="int"),
        pytest.param([0.5, 2.0, -1.5], id="float"),
        pytest.param([True, False, True], id="bool"),
    ],
)
def test_labels_come_back_as_themselves(labels, classifier, texts, tmp_path):
    y = [label for label in labels for _ in range(10)]
    classifier.fit(texts, y)
    assert classifier.classes_.tolist() == sorted(set(labels))
    predicted = classifier.predict(texts).tolist()
    assert {type(label) for label in predicted} == {type(labels[0])}
    assert set(predicted) <= set(labels)
    classifier.save(tmp_path / "model")
    assert load(tmp_path / "model").predict(texts).tolist() == predicted


# What is promised of predictions


def test_probabilities_are_in_the_order_of_the_classes(fitted, texts):
    probabilities = fitted.predict_proba(texts)
    assert fitted.classes_.tolist() == ["money", "music", "sport"]
    assert probabilities.shape == (len(texts), 3)
    assert (probabilities >= 0).all()
    assert probabilities.sum(1) == pytest.approx(1.0, abs=1e-12)
    assert fitted.predict(texts).tolist() == fitted.classes_[probabilities.argmax(1)].tolist()


def test_an_unfitted_classifier_says_so(classifier):
    for use in (classifier.predict, classifier.predict_proba):
        for texts in (["goal"], []):
            with pytest.raises(NotFittedError):
                use(texts)
    with pytest.raises(NotFittedError):
        classifier.save("nowhere")
    with pytest.raises(NotFittedError):
        _ = classifier.megabytes


def test_one_text_is_predicted_as_among_many(fitted, texts):
    mixed = [*texts, "", "goal " * 40, "unheard-of"]
    together = fitted.predict_proba(mixed)
    alone = np.concatenate([fitted.predict_proba([text]) for text in mixed])
    assert alone == pytest.approx(together, abs=1e-6)


def test_odd_texts_are_predicted(fitted):
    odd = ["", " \n", "☕", "\0", "ﬁ" * 5000, "goal match " * 5000]
    assert np.isfinite(fitted.predict_proba(odd)).all()


def test_no_text_is_predicted_as_nothing(fitted):
    assert fitted.predict_proba([]).shape == (0, 3)
    assert fitted.predict([]).tolist() == []
    assert fitted.predict([]).dtype == fitted.classes_.dtype


def test_odd_texts_are_learnt(classifier, texts, labels):
    odd = ["", "goal " * 10_000, *texts[2:]]
    classifier.fit(odd, labels)
    neural = classifier.transfer not in (METHODS["majority"], METHODS["tfidf"])
    assert classifier.fit_report_["truncated"] == int(neural)


def test_predictions_survive_pickle(fitted, texts):
    copied = through_pickle(fitted)
    assert copied.predict_proba(texts) == pytest.approx(fitted.predict_proba(texts), abs=1e-6)


def test_predictions_survive_the_disk(fitted, texts, tmp_path):
    loaded = load(fitted.save(tmp_path / "model"))
    assert loaded.predict_proba(texts) == pytest.approx(fitted.predict_proba(texts), abs=1e-6)
    assert (loaded.method_, loaded.proof_) == (fitted.method_, fitted.proof_)
    assert loaded.fit_report_ == fitted.fit_report_
    again = load(loaded.save(tmp_path / "again"))
    assert np.array_equal(again.predict_proba(texts), loaded.predict_proba(texts))


# What is refused


NO_TEXTS = {
    "one string": ("goal", "one string"),
    "bytes": (b"goal", "one string"),
    "generator": ((text for text in ["goal"]), "got a generator"),
    "dict": ({"goal": 1}, "got a dict"),
    "set": ({"goal"}, "got a set"),
    "nothing": (None, "got a NoneType"),
    "table": (np.array([["goal"], ["bank"]]), "got a ndarray"),
    "number inside": (["goal", 3], "text 1 is of type int"),
    "missing value inside": (["goal", "bank", None], "text 2 is of type NoneType"),
    "list inside": ([["goal"], ["bank"]], "text 0 is of type list"),
    "half a character": (["goal", "\ud800"], "text 1 is not valid Unicode"),
}


@pytest.mark.parametrize("kind", NO_TEXTS)
def test_what_is_no_list_of_texts_is_refused(kind, estimator, fitted_models):
    wrong, message = NO_TEXTS[kind]
    with pytest.raises(DataError, match=message):
        estimator.fit(wrong, ["a"] * 2)
    for use in (fitted_models["frozen"].predict, fitted_models["tfidf"].predict_proba):
        with pytest.raises(DataError, match=message):
            use(wrong)


NO_LABELS = {
    "too few": (["a", "b"], "30 texts but 2 labels"),
    "one class": (["a"] * 30, "at least two classes, the labels have only 'a'"),
    "a missing value": ([None, *["a", "b"] * 15][:30], "one type"),
    "a missing value at the end": ([*["a", "b"] * 15, None][-30:], "label 29 is None"),
    "no finite number": ([*[1.0, 2.0] * 15, float("inf")][-30:], "label 29 is inf"),
    "not a number": ([float("nan"), *[1.0, 2.0] * 15][:30], "label 0 is nan"),
    "text and numbers": ([1, *["a", "b"] * 15][:30], "label 0 is 1"),
    "a table": (np.array([["a", "b"]] * 30), r"shape \(30, 2\)"),
    "a sparse table": (csr_matrix(np.eye(30)), r"shape \(30, 30\); give the names of a text's"),
    "the same labels": ([["a", "b"]] * 30, r"all texts have the same labels, \['a', 'b'\]"),
    "no labels": ([[]] * 30, "all texts have no label"),
    "a label among lists": ([["a"], "b", *[[]] * 28], "label 1 is 'b'; give every text a list"),
}


@pytest.mark.parametrize("kind", NO_LABELS)
def test_labels_that_cannot_be_learnt_are_refused(kind, classifier, texts):
    wrong, message = NO_LABELS[kind]
    with pytest.raises(DataError, match=message):
        classifier.fit(texts, wrong)


@pytest.mark.parametrize(
    "labels",
    [None, (label for label in "abab"), "abab", b"abab", dict(enumerate("abab")), set("abcd")],
)
def test_what_is_no_list_of_labels_is_refused(labels, classifier, texts):
    with pytest.raises(DataError, match="labels must be a list or one column"):
        classifier.fit(texts[:4], labels)


def test_a_table_of_texts_is_refused():
    with pytest.raises(DataError, match="got a ndarray of 2 dimensions"):
        TextClassifier(transfer="tfidf").fit(np.array([["a"], ["b"]]), ["x", "y"])


def test_a_sparse_column_of_numbers_is_refused(texts):
    with pytest.raises(DataError, match=r"numbers must be one per text, got .* \(3, 1\)$"):
        TextRegressor(transfer="majority").fit(texts[:3], csr_matrix(np.eye(3, 1)))


@pytest.mark.parametrize("numbers", [{0: 5.0, 1: 1.0}, {5.0, 1.0}])
def test_what_is_no_list_of_numbers_is_refused(numbers, texts):
    with pytest.raises(DataError, match="numbers must be a list or one column"):
        TextRegressor(transfer="majority").fit(texts[:2], numbers)


def test_weights_and_sizes_of_numpy_are_saved(texts, labels, tmp_path):
    numbers = (np.array(labels) == labels[0]).astype(int)
    weights = dict(zip(np.unique(numbers), np.float64([1.0, 2.0]), strict=True))
    classifier = TextClassifier(
        transfer=METHODS["tfidf"], class_weight=weights, max_tokens=np.int64(99)
    ).fit(texts, numbers)
    again = load(classifier.save(tmp_path / "model"))
    assert np.array_equal(again.predict_proba(texts), classifier.predict_proba(texts))
    assert (again.class_weight, again.max_tokens) == (weights, 99)


@pytest.mark.parametrize("name", NEURAL)
def test_a_size_of_numpy_is_saved_by_every_method(name, encoders, texts, labels, tmp_path):
    fitted = make_classifier(name, encoders, max_tokens=np.int64(9)).fit(texts, labels)
    assert fitted.megabytes > 0
    again = load(fitted.save(tmp_path / "model"))
    assert np.array_equal(again.predict_proba(texts), fitted.predict_proba(texts))


def test_numbers_as_labels_are_scored_as_labels(texts):
    numbers = [number for number in (0.5, 2.0, -1.5) for _ in range(10)]
    fitted = TextClassifier(transfer=METHODS["tfidf"]).fit(texts, numbers)
    wrong = [7.25, *numbers[1:]]
    assert fitted.score(texts, numbers) == fitted.score(texts, np.array(numbers)) == 1.0
    assert fitted.score(texts, wrong) == pytest.approx(29 / 30)
    assert fitted.score(texts, wrong, sample_weight=[10.0] + [1.0] * 29) == pytest.approx(29 / 39)
    with pytest.raises(ValueError, match="inconsistent numbers"):
        fitted.score(texts, numbers[1:])


@pytest.mark.parametrize("values", [[True, False, True], [2, 0, 7], ["c", "a", "b"]])
@pytest.mark.parametrize("kind", [object, None])
def test_labels_in_a_column_of_objects_are_scored(values, kind, texts):
    y = np.repeat(np.array(values, kind), 10)
    fitted = TextClassifier(transfer=METHODS["tfidf"]).fit(texts, y)
    assert fitted.score(texts, y) == fitted.score(texts, y.tolist()) == 1.0
    halves = KFold(2, shuffle=True, random_state=0)
    assert cross_val_score(fitted, texts, y, cv=halves, error_score="raise").min() > 0


def test_text_of_any_length_as_labels_survives_the_disk(texts, labels, tmp_path):
    y = np.array(labels, np.dtypes.StringDType())
    fitted = TextClassifier(transfer=METHODS["tfidf"]).fit(texts, y)
    assert fitted.score(texts, y) == fitted.score(texts, labels)
    again = load(fitted.save(tmp_path / "model"))
    assert again.predict(texts).tolist() == fitted.predict(texts).tolist()


def test_labels_of_another_type_or_several_are_not_scored(texts, labels):
    fitted = TextClassifier(transfer=METHODS["tfidf"]).fit(texts, labels)
    with pytest.raises(DataError, match=r"label 0 is .* one type"):
        fitted.score(texts, [0] * len(texts))
    with pytest.raises(DataError, match="predicts one label per text"):
        fitted.score(texts, [[label] for label in labels])


def test_no_text_at_all_is_refused(classifier):
    with pytest.raises(DataError):
        classifier.fit([], [])


@pytest.mark.parametrize("transfer", ["majority", "tfidf", "scratch"])
def test_no_text_with_a_number_is_refused(transfer):
    with pytest.raises(DataError, match="no texts to learn from"):
        TextRegressor(transfer=transfer).fit([], [])


@pytest.mark.parametrize("name", [name for name in METHODS if name != "majority"])
def test_texts_without_a_word_are_refused(name, encoders):
    with pytest.raises(DataError, match="word"):
        make_classifier(name, encoders).fit(["", " "] * 5, ["a", "b"] * 5)


def test_two_texts_are_enough(classifier):
    classifier.fit(["goal match", "bank stock"], ["sport", "money"])
    assert classifier.predict(["goal", "bank"]).shape == (2,)


def test_a_class_with_one_text_is_learnt(classifier, texts, labels):
    classifier.fit([*texts, "unheard-of"], [*labels, "rare"])
    assert classifier.predict_proba(texts).shape == (30, 4)


# What is promised inside scikit-learn's tools


def test_it_works_in_a_pipeline(classifier, texts, labels):
    upper = FunctionTransformer(lambda texts: [text.upper() for text in texts])
    pipeline = make_pipeline(upper, classifier).fit(texts, labels)
    assert pipeline.predict_proba(texts).shape == (30, 3)


def test_it_is_cross_validated(classifier, texts, labels):
    scores = cross_val_score(classifier, texts, labels, cv=2, error_score="raise")
    assert len(scores) == 2
    assert np.isfinite(scores).all()


def test_a_grid_of_methods_is_searched(encoder, texts, labels):
    methods = [METHODS["majority"], METHODS["frozen"], METHODS["probe"]]
    search = GridSearchCV(
        TextClassifier(encoder), {"transfer": methods}, cv=2, error_score="raise"
    ).fit(texts, labels)
    assert search.best_params_["transfer"] in methods[1:]
    assert search.predict(["goal match"]).tolist() == ["sport"]


def test_a_grid_of_encoders_is_searched(encoder, other_encoder, texts, labels):
    encoders = [encoder, other_encoder]
    search = GridSearchCV(
        TextClassifier(transfer=METHODS["probe"]),
        {"encoder": encoders},
        cv=2,
        error_score="raise",
    ).fit(texts, labels)
    assert search.best_params_["encoder"] in encoders
    assert search.best_estimator_.encoder is search.best_params_["encoder"]


def test_a_loaded_model_is_fitted_anew_once_it_has_an_encoder(encoders, texts, labels, tmp_path):
    fitted = make_classifier("probe", encoders).fit(texts, labels)
    loaded = clone(load(fitted.save(tmp_path / "model")))
    with pytest.raises(SettingsError, match="a loaded model holds none for a new fit; set its enc"):
        loaded.fit(texts, labels)
    again = loaded.set_params(encoder=encoders["glove"]).fit(texts, labels)
    assert np.array_equal(again.predict_proba(texts), fitted.predict_proba(texts))


@pytest.mark.parametrize("kind", [pa.array, lambda items: pa.chunked_array([items])])
def test_columns_of_arrow_are_lists(kind, texts, labels):
    several = [[label] for label in labels]
    pairs, numbers = [[text, text] for text in texts], [float(len(text)) for text in texts]
    sentences = [text.split() for text in texts]
    tags = [["B-X"] + ["O"] * (len(words) - 1) for words in sentences]
    for made, X, y in (
        (TextClassifier(transfer="tfidf"), texts, labels),
        (TextClassifier(transfer="tfidf"), texts, several),
        (TextRegressor(transfer="tfidf"), texts, numbers),
        (PairClassifier(transfer="tfidf"), pairs, labels),
        (TokenTagger(transfer="majority"), sentences, tags),
    ):
        expected = clone(made).fit(X, y)
        found = made.fit(kind(X), kind(y))
        assert list(found.predict(kind(X))) == list(expected.predict(X))
        assert found.score(kind(X), kind(y)) == expected.score(X, y)
    assert list(as_corpus(kind(texts)).texts()) == texts
