from pathlib import Path

import numpy as np
import pytest
import torch

from headstart.errors import SettingsError
from headstart.models.word_vectors import WordVectors
from headstart.tasks.pipelines import TextPipeline
from headstart.transfer.fitted import (
    ConstantModel,
    LinearModel,
    NeuralModel,
    tfidf_vectorizer,
)
from headstart.transfer.folders import rebuild

TEXTS = ["good1 plain2", "bad3", "", "strange good2 good3 bad4"]


@pytest.fixture(params=["constant", "linear on tf-idf", "linear on an encoder", "pipeline"])
def model(request, encoder):
    random = np.random.default_rng(0)
    match request.param:
        case "constant":
            return ConstantModel(np.array([-1.5, 0.75]))
        case "linear on tf-idf":
            vectorizer = tfidf_vectorizer().fit(TEXTS)
            shape = (3, len(vectorizer.vocabulary_))
            return LinearModel(vectorizer, random.normal(size=shape), random.normal(size=3))
        case "linear on an encoder":
            weight, bias = random.normal(size=(3, 16)), random.normal(size=3)
            return LinearModel(encoder, weight, bias, 2.5, "mean+max", 3)
    vectors = WordVectors.from_matrix(encoder.tensors()["embedding.weight"])
    pipeline = TextPipeline(vectors, 3, hidden=4, dropout=0.5, scale=1.5)
    return NeuralModel(encoder.tokenizer, pipeline, 3)


def test_a_model_is_its_config_and_its_tensors(model):
    again = rebuild(model.config(), model.tensors(), model.tokenizer, Path())
    assert type(again) is type(model)
    assert again.config() == model.config()
    assert np.array_equal(again.scores(TEXTS), model.scores(TEXTS))
    assert all(torch.equal(again.tensors()[name], t) for name, t in model.tensors().items())


def test_scores_by_hand():
    assert ConstantModel(np.array([-1.5, 0.75])).scores(TEXTS).tolist() == [[-1.5, 0.75]] * 4
    vectorizer = tfidf_vectorizer().fit(["a", "b"])
    model = LinearModel(vectorizer, np.array([[1.0, 0.0], [0.0, 2.0]]), np.array([0.0, 0.5]))
    assert model.scores(["a", "b", "c"]).tolist() == [[1.0, 0.5], [0.0, 2.5], [0.0, 0.5]]


def test_tf_idf_counts_words_of_one_letter_and_pairs():
    vectorizer = tfidf_vectorizer().fit(["a b"])
    assert sorted(vectorizer.vocabulary_) == ["a", "a b", "b"]


def test_what_does_not_belong_together_is_refused(model, encoder):
    with pytest.raises(ValueError, match="unknown form of model 'other'"):
        rebuild(
            {**model.config(), "form": "other"},
            {"weight": torch.ones(1), "bias": torch.ones(1)},
            None,
            Path(),
        )
    if model.tokenizer is not None:
        tensors = model.tensors()
        tensors["encoder.embedding.weight"] = tensors["encoder.embedding.weight"][:5]
        with pytest.raises(ValueError, match="102 words but 5 vectors"):
            rebuild(model.config(), tensors, encoder.tokenizer, Path())
        tensors["encoder.embedding.weight"] = torch.ones(102, 8)
        with pytest.raises(SettingsError, match="padding"):
            rebuild(model.config(), tensors, encoder.tokenizer, Path())
