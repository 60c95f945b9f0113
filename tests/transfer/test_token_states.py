"""What an encoder says of words in context: the same computed, remembered, alone, among others."""

import numpy as np
import pytest
import torch

from headstart.tasks.pipelines import task_layers, task_shape
from headstart.tokenize.batches import pad
from headstart.transfer.estimators import TextClassifier
from headstart.transfer.features import pooled_features, text_states
from headstart.transfer.methods import Features, FineTune, Layers, Probe
from headstart.transfer.token_states import TokenMemory, reads_in_context, token_states

TEXTS = ["good1 plain2 bad3", "", "bad7", "good5 strange good6 plain1", "bad7 " * 30, "good1"]


@pytest.fixture
def copy(reader):
    """The encoder as a copy, which may remember what it will."""
    return reader.with_model(reader.model)


def test_who_reads_in_context(reader, encoder, whole):
    assert reads_in_context(reader)
    assert not any(map(reads_in_context, (encoder, whole, None)))


def test_states_are_the_encoders_own_rounded_to_halves(reader):
    states = token_states(reader, TEXTS, max_tokens=99)
    assert states.lengths.tolist() == [3, 0, 1, 4, 30, 1]
    assert states.values.shape == (39, *task_shape(reader.model))
    assert states.values.dtype == np.float16
    encoded, _ = reader.inputs(TEXTS, 99)
    for row, text in enumerate(TEXTS):
        ids, mask = map(torch.from_numpy, pad(encoded, np.array([row])))
        with torch.no_grad():
            exact = torch.stack(task_layers(reader.model, ids, mask))[:, 0].transpose(0, 1)
        found = states.values[states.offsets[row] : states.offsets[row + 1]]
        if text:
            assert found == pytest.approx(exact.numpy(), rel=2**-11, abs=1e-6)
            assert not np.array_equal(found, exact.numpy())


def test_a_text_has_the_same_states_whatever_is_read_with_it(reader, monkeypatch):
    together = token_states(reader, TEXTS, max_tokens=99)
    monkeypatch.setattr("headstart.transfer.token_states._TOKENS_AT_ONCE", 31)
    for texts in ([text] for text in TEXTS), (TEXTS[::-1],), (TEXTS * 3,):
        for some in texts:
            states = token_states(reader, some, max_tokens=99)
            for row, text in enumerate(some):
                where = TEXTS.index(text)
                expected = together.values[together.offsets[where] : together.offsets[where + 1]]
                found = states.values[states.offsets[row] : states.offsets[row + 1]]
                assert np.array_equal(found, expected)


def test_only_the_first_words_are_read(reader):
    cut = token_states(reader, ["good5 bad2 plain1 plain2"], max_tokens=2)
    assert np.array_equal(cut.values, token_states(reader, ["good5 bad2"], max_tokens=9).values)
    whole = token_states(reader, ["good5 bad2 plain1 plain2"], max_tokens=9)
    assert not np.array_equal(cut.values, whole.values[:2]), "what comes after a word counts"


def test_padding_by_hand(reader):
    states = token_states(reader, TEXTS, max_tokens=99)
    layers, mask = states.pad(np.array([2, 1, 0]))
    assert mask.tolist() == [[True, False, False], [False] * 3, [True] * 3]
    for number, layer in enumerate(layers):
        assert layer.dtype == torch.float32
        assert torch.equal(layer[2], torch.from_numpy(states.values[:3, number]).float())
        assert torch.equal(layer[0, 0], torch.from_numpy(states.values[3, number]).float())
        assert not layer[~mask].any()
    layers, mask = states.pad(np.array([1]))
    assert mask.tolist() == [[False]]
    assert len(layers) == task_shape(reader.model)[0]


def test_no_texts_have_no_states(reader):
    assert token_states(reader, [], max_tokens=9).values.shape == (0, *task_shape(reader.model))
    assert text_states(reader, [], max_tokens=9).shape == (0, 2 * task_shape(reader.model)[1])


def test_a_texts_vector_is_pooled_over_the_mean_of_the_layers(reader):
    states = token_states(reader, TEXTS, max_tokens=99)
    mean = states.values.astype(np.float32).mean(1)
    found = pooled_features(reader, TEXTS, pooling="mean+max", max_tokens=99)
    width = mean.shape[1]
    assert found[3, :width] == pytest.approx(mean[4:8].max(0), abs=1e-6)
    assert found[3, width:] == pytest.approx(mean[4:8].mean(0), abs=1e-6)
    assert not found[1].any()


# What is remembered


def remember(encoder, texts, known, folder, max_tokens=512):
    """Let the encoder remember what it said of the first texts."""
    file = folder / f"{known}.npy"
    token_states(encoder, texts[:known], max_tokens=max_tokens).save(file)
    vars(encoder)["memory"] = TokenMemory.load(file, texts, max_tokens)


@pytest.mark.parametrize("known", [0, 1, 2, 4, 6])
def test_what_is_remembered_is_what_would_be_computed(known, copy, tmp_path):
    expected = token_states(copy, TEXTS, max_tokens=512)
    remember(copy, TEXTS, known, tmp_path)
    assert list(vars(copy)["memory"].rows) == TEXTS[:known]
    found = token_states(copy, TEXTS, max_tokens=512)
    assert np.array_equal(found.values, expected.values)
    assert np.array_equal(found.offsets, expected.offsets)


def test_a_memory_is_asked_only_for_what_it_has_read(copy, tmp_path, monkeypatch):
    other = token_states(copy, TEXTS, max_tokens=3)
    remember(copy, TEXTS, 4, tmp_path)
    read = []
    model = type(copy.model)
    encode = model.encode

    def spy(self, ids, mask, segments=None):
        read.extend(mask.sum(1).tolist())
        return encode(self, ids, mask, segments)

    monkeypatch.setattr(model, "encode", spy)
    token_states(copy, [*TEXTS, "good9 good8"], max_tokens=512)
    assert sorted(read) == [1, 2, 30]
    read.clear()
    token_states(copy, TEXTS[:4], max_tokens=512)
    assert read == []
    assert np.array_equal(token_states(copy, TEXTS, max_tokens=3).values, other.values)
    assert len(read) == len(TEXTS), "it remembers texts of another length"


@pytest.mark.parametrize("known", [8, 24])
@pytest.mark.parametrize("method", ["probe", "frozen", "finetune", "mixed"])
def test_a_model_fitted_from_memory_is_the_same_to_the_last_bit(
    method, known, reader, task, make_task, brief, tmp_path
):
    transfer = {
        "probe": Probe(),
        "frozen": Features(training=brief),
        "finetune": FineTune(training=brief),
        "mixed": Features(layers=Layers(layer_norm=True, output=True), training=brief),
    }[method]
    unseen, _ = make_task(4, first=20, last=40, seed=1)
    fitted = []
    for remembers in (False, True):
        own = reader.with_model(reader.model)
        if remembers:
            remember(own, [*task[0], *unseen], known, tmp_path)
        classifier = TextClassifier(own, transfer).fit(*task)
        report = {k: v for k, v in classifier.fit_report_.items() if k != "seconds"}
        fitted.append((classifier.predict_proba([*task[0], *unseen]), report, classifier.proof_))
    without, remembered = fitted
    assert np.array_equal(remembered[0], without[0])
    assert remembered[1:] == without[1:]
