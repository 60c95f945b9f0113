import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from headstart.errors import SettingsError
from headstart.models.attention import Dropout
from headstart.tokenize.batches import Encoded
from headstart.transfer import features
from headstart.transfer.estimators import TextClassifier
from headstart.transfer.features import StatesMemory, pooled, pooled_features, text_states
from headstart.transfer.fitted_taggers import word_states
from headstart.transfer.layer_features import layer_features, word_layer_features
from headstart.transfer.methods import Features, Training


def test_only_the_first_tokens_are_pooled(encoder):
    short, long = (
        pooled_features(encoder, [text], pooling="mean+max", max_tokens=2)
        for text in ("good1 bad2", "good1 bad2 bad3 bad4")
    )
    assert np.array_equal(short, long)


def test_an_unknown_word_counts_as_the_rarest_ones(encoder):
    rare = encoder.matrix[-100:].mean(0).numpy()
    features = pooled_features(encoder, ["strange"], pooling="mean", max_tokens=9)
    assert features[0] == pytest.approx(rare, abs=1e-6)


TEXTS = ["good1 plain2 bad3", "bad7", "good5 good6"] * 3


def test_a_whole_models_states_are_summed_up_four_ways(whole):
    found = text_states(whole, TEXTS, max_tokens=99)
    assert found.shape == (9, 4 * 16)
    encoded, _ = whole.inputs(TEXTS, 99)
    for row in range(len(TEXTS)):
        ids = torch.from_numpy(encoded[row]).long()[None]
        with torch.no_grad():
            states = whole.model.encode(ids, torch.ones_like(ids).bool())[-1][0]
        expected = [states.amax(0), states.mean(0), states[0], states[-1]]
        assert found[row] == pytest.approx(torch.cat(expected).numpy(), abs=1e-5)
    parts = {"mean": 1, "cls": 2, "last": 3}
    for pooling, place in parts.items():
        assert np.array_equal(pooled(found, pooling), found[:, 16 * place : 16 * (place + 1)])
    for pooling, columns in {"max": (0, 16), "mean": (16, 32), "mean+max": (0, 32)}.items():
        features = pooled_features(whole, TEXTS, pooling=pooling, max_tokens=99)
        assert np.array_equal(features, found[:, slice(*columns)])


def test_a_text_has_the_same_states_alone_as_among_many(whole):
    texts = [*TEXTS, "", "good1 " * 99]
    together = text_states(whole, texts, max_tokens=99)
    alone = [text_states(whole, [text], max_tokens=99)[0] for text in texts]
    assert np.stack(alone) == pytest.approx(together, abs=1e-5)
    assert text_states(whole, [], max_tokens=99).shape == (0, 64)


def test_the_highest_and_the_mean_of_a_text_without_tokens_are_zeros():
    def encode(ids_BT, mask_BT, segments_BT):  # of an encoder without marks of start and end
        return [ids_BT[..., None].float() - 9.0]

    encoded = Encoded.from_lists([[5, 6], []])
    found = features._summaries(SimpleNamespace(encode=encode), encoded, np.arange(2))
    assert found[:, :2].tolist() == [[-3.0, -3.5], [0.0, 0.0]]


def test_only_as_much_is_read_as_there_is_room_for(whole):
    around = 2 if whole.kind == "bert" else 1
    cut = text_states(whole, ["good1 bad2 bad3"], max_tokens=around + 1)
    assert np.array_equal(cut, text_states(whole, ["good1"], max_tokens=99))
    with pytest.raises(SettingsError, match=f"max_tokens must be above {around}"):
        text_states(whole, ["good1"], max_tokens=around)


def test_a_memory_is_asked_only_for_what_it_has_read(whole):
    own = whole.with_model(whole.model)
    expected = text_states(own, TEXTS, max_tokens=99)
    texts = sorted(set(TEXTS))
    marked = np.arange(3 * 64, dtype=np.float32).reshape(3, 64)
    rows = {text: row for row, text in enumerate(texts)}
    vars(own)["memory"] = StatesMemory(rows, marked, max_tokens=99)
    recalled = text_states(own, TEXTS, max_tokens=99)
    assert np.array_equal(recalled, marked[[texts.index(text) for text in TEXTS]])
    assert np.array_equal(text_states(own, [*TEXTS, "new"], max_tokens=99)[:9], expected)
    assert np.array_equal(text_states(own, TEXTS, max_tokens=98), expected)


@pytest.fixture(params=["bert", "gpt", "elmo", "cove"])
def in_training(request, whole_models, readers):
    """An encoder as its user's own loop left it: half of its states would be dropped."""
    encoder = {**whole_models, **readers}[request.param]
    own = encoder.with_model(copy.deepcopy(encoder.model).train())
    for part in own.model.modules():
        if isinstance(part, Dropout):
            part.dropped = 128
    return own


def test_what_an_encoder_says_depends_on_no_mode_that_it_was_left_in(in_training):
    def read(own):
        words = [text.split() for text in TEXTS]
        return [
            text_states(own, TEXTS, max_tokens=99),
            word_states(own, words, max_tokens=99).values,
            *(each.features for each in layer_features(own, TEXTS, max_tokens=99)),
            *(each.features for each in word_layer_features(own, words, max_tokens=99)),
        ]

    found = read(in_training)
    assert all(part.training for part in in_training.model.modules())
    in_training.model.eval()
    assert all(map(np.array_equal, found, read(in_training)))
    assert not any(part.training for part in in_training.model.modules())


def test_a_fit_leaves_the_mode_of_an_encoder_as_it_was(in_training, task):
    brief = Training(hidden=4, batch_size=8, min_steps=2, max_steps=2, dropout=0.0)
    fits = []
    for training in (True, False):
        in_training.model.train(training)
        classifier = TextClassifier(in_training, Features(training=brief)).fit(*task)
        assert all(part.training == training for part in in_training.model.modules())
        fits.append(classifier.predict_proba(TEXTS))
        assert all(part.training == training for part in in_training.model.modules())
    assert np.array_equal(*fits)
