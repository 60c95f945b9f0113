"""What `TextFeatures` promises, with any encoder."""

import pickle

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline

from headstart.errors import SettingsError
from headstart.transfer.text_features import TextFeatures

KINDS = ("glove", "bert", "gpt")
IN_CONTEXT = ("cove", "elmo")  # whose vectors are wider than their states


def through_pickle(estimator):
    return pickle.loads(pickle.dumps(estimator))  # noqa: S301 - made on this very line


@pytest.fixture(params=KINDS)
def any_encoder(request, encoders):
    return encoders[request.param]


def test_features_are_the_pooled_vectors(encoder):
    goal, bank = encoder.matrix[[encoder.words.index("goal"), encoder.words.index("bank")]].numpy()
    mean, highest = (goal + bank) / 2, np.maximum(goal, bank)
    expected = {"mean": mean, "max": highest, "mean+max": np.concatenate([highest, mean])}
    for pooling, row in expected.items():
        features = TextFeatures(encoder, pooling=pooling).transform(["Goal BANK", ""])
        assert features[0] == pytest.approx(row, abs=1e-6)
        assert not features[1].any()
        assert features.dtype == np.float32


def test_features_of_one_text_are_those_among_many(any_encoder, texts):
    features = TextFeatures(any_encoder)
    together = features.transform([*texts, "goal " * 50])
    alone = [features.transform([text])[0] for text in [*texts, "goal " * 50]]
    assert np.stack(alone) == pytest.approx(together, abs=1e-6)
    assert features.transform([]).shape == (0, 8)


def test_every_feature_has_a_name(any_encoder, texts):
    features = TextFeatures(any_encoder, pooling="mean+max").fit(texts)
    names = features.get_feature_names_out()
    assert len(set(names)) == len(names) == features.transform(texts).shape[1]
    with pytest.raises(SettingsError, match="pooling must be"):
        features.set_params(pooling="median").transform(texts)


@pytest.mark.parametrize("pooling", ["mean", "mean+max"])
@pytest.mark.parametrize("kind", IN_CONTEXT)
def test_every_feature_of_what_reads_in_context_has_a_name(kind, pooling, encoders, texts):
    features = TextFeatures(encoders[kind], pooling=pooling).fit(texts)
    assert len(features.get_feature_names_out()) == features.transform(texts).shape[1]


def test_features_read_as_much_as_they_are_told(encoder):
    short, long = TextFeatures(encoder, max_tokens=1), TextFeatures(encoder)
    assert np.array_equal(short.transform(["goal bank"]), long.transform(["goal"]))


def test_features_need_no_fit_and_survive_pickle_and_paths(any_encoder, texts, tmp_path):
    expected = TextFeatures(any_encoder).transform(texts)
    any_encoder.save(tmp_path / "encoder")
    from_path = TextFeatures(tmp_path / "encoder")
    assert np.array_equal(from_path.transform(texts), expected)
    assert np.array_equal(from_path.fit(texts).transform(texts), expected)
    assert np.array_equal(through_pickle(from_path).transform(texts), expected)


def test_features_in_a_pipeline_are_searched_and_cross_validated(any_encoder, texts, labels):
    pipeline = make_pipeline(TextFeatures(any_encoder), LogisticRegression())
    assert cross_val_score(pipeline, texts, labels, cv=2, error_score="raise").mean() > 0.8
    grid = {"textfeatures__pooling": ["mean", "mean+max"]}
    assert GridSearchCV(pipeline, grid, cv=2).fit(texts, labels).best_score_ > 0.8
