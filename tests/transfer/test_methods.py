import copy
import dataclasses
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.errors import SettingsError
from headstart.transfer.methods import (
    METHODS,
    Features,
    FineTune,
    Majority,
    Probe,
    Scratch,
    TfIdf,
    Training,
    as_plain,
    from_plain,
    method_of,
    name_of,
)

above_zero = st.floats(1e-9, 1e9)
count = st.integers(1, 10_000)
strengths = st.lists(above_zero, min_size=1, max_size=5).map(tuple)
training = st.builds(
    Training,
    hidden=count,
    dropout=st.floats(0, 0.99),
    batch_size=count,
    min_steps=count,
    max_steps=count,
    evaluate_every=count,
    patience=count,
)
pooling = st.sampled_from(["mean", "max", "mean+max"])
any_method = st.one_of(
    st.just(Majority()),
    st.builds(TfIdf, strengths=strengths),
    st.builds(Probe, pooling=pooling, strengths=strengths),
    st.builds(
        Scratch, width=count, learning_rate=above_zero, embedding_rate=above_zero, training=training
    ),
    st.builds(Features, learning_rate=above_zero, training=training),
    st.builds(FineTune, learning_rate=above_zero, encoder_rate=above_zero, training=training),
)


@settings(max_examples=60, deadline=None)
@given(any_method)
def test_a_method_survives_json(method):
    again = from_plain(json.loads(json.dumps(as_plain(method))))
    assert again == method
    assert hash(again) == hash(method)


@pytest.mark.parametrize("name", METHODS)
def test_a_name_stands_for_a_method_with_its_defaults(name):
    method = method_of(name)
    assert name_of(method) == name
    assert method == METHODS[name]()
    assert method_of(method) is method


def test_a_method_cannot_be_changed_once_made():
    method = FineTune()
    with pytest.raises(dataclasses.FrozenInstanceError):
        method.learning_rate = 1.0
    with pytest.raises(dataclasses.FrozenInstanceError):
        method.training.hidden = 1
    assert copy.deepcopy(method) == method


WRONG = [
    (Training, {"hidden": 0}, "hidden must be above 0"),
    (Training, {"hidden": 64.0}, "hidden must be a whole number"),
    (Training, {"patience": True}, "patience must be a whole number"),
    (Training, {"max_steps": -1}, "max_steps must be above 0"),
    (Training, {"dropout": 1.0}, "dropout must be in"),
    (Training, {"dropout": "0.3"}, "dropout must be in"),
    (Scratch, {"width": "100"}, "width must be a whole number"),
    (Scratch, {"embedding_rate": 0.0}, "embedding_rate must be above 0"),
    (Features, {"learning_rate": float("nan")}, "learning_rate must be above 0"),
    (Features, {"training": None}, "training must be a Training"),
    (FineTune, {"encoder_rate": float("inf")}, "encoder_rate must be above 0"),
    (FineTune, {"learning_rate": "fast"}, "learning_rate must be above 0"),
    (Probe, {"pooling": "sum"}, "pooling must be mean, max or mean"),
    (Probe, {"strengths": ()}, "strengths must be a tuple of numbers above 0"),
    (TfIdf, {"strengths": [1.0]}, "strengths must be a tuple of numbers above 0"),
    (TfIdf, {"strengths": (1.0, -1.0)}, "strengths must be a tuple of numbers above 0"),
]


@pytest.mark.parametrize(("kind", "values", "message"), WRONG)
def test_a_bad_value_fails_when_it_is_made(kind, values, message):
    with pytest.raises(SettingsError, match=message):
        kind(**values)


def test_a_misspelled_setting_fails_when_it_is_written():
    with pytest.raises(TypeError, match="learning_rat"):
        FineTune(learning_rat=1e-3)


def test_what_is_no_method_is_refused():
    with pytest.raises(SettingsError, match="there are majority, tfidf"):
        method_of("lora")
    with pytest.raises(SettingsError, match="a name or a method"):
        method_of(Training())
