import copy
import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.errors import SettingsError
from headstart.transfer.methods import (
    METHODS,
    Features,
    FineTune,
    GradualUnfreeze,
    Layers,
    LowRank,
    Majority,
    Probe,
    Scratch,
    TfIdf,
    Training,
    as_plain,
    check_is_read,
    from_plain,
    method_of,
    name_of,
    with_defaults,
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
    st.builds(
        FineTune,
        learning_rate=st.none() | above_zero,
        encoder_rate=above_zero,
        layer_decay=above_zero,
        pooling=st.sampled_from([None, "cls", "last", "mean"]),
        lm_coef=st.just(0.0) | above_zero,
        task_coef=above_zero,
        training=st.none() | training,
    ),
    st.builds(GradualUnfreeze, learning_rate=above_zero, steps_per_layer=count, training=training),
    st.builds(LowRank, rank=count, alpha=above_zero, learning_rate=above_zero, training=training),
)


@settings(max_examples=60, deadline=None)
@given(any_method)
def test_a_method_survives_json(method):
    again = from_plain(json.loads(json.dumps(as_plain(method))))
    assert again == method
    assert hash(again) == hash(method)


@pytest.mark.parametrize("kind", [TfIdf, Probe])
@pytest.mark.parametrize("values", [[0.5, 2], np.array([0.5, 2]), np.float32([0.5, 2]), (0.5, 2)])
def test_strengths_are_any_sequence_of_numbers(kind, values):
    method = kind(strengths=values)
    assert method == kind(strengths=(0.5, 2.0))
    assert isinstance(method.strengths, tuple)
    assert from_plain(json.loads(json.dumps(as_plain(method)))) == method


def test_numbers_of_numpy_are_kept_as_pythons():
    training = Training(hidden=np.int64(8), dropout=np.float32(0.5))
    method = FineTune(
        learning_rate=np.float32(0.5),
        layers=Layers(l2=np.float16(0.5), output=np.True_),
        training=training,
    )
    assert method == FineTune(
        learning_rate=0.5,
        layers=Layers(l2=0.5, output=True),
        training=Training(hidden=8, dropout=0.5),
    )
    assert from_plain(json.loads(json.dumps(as_plain(method)))) == method


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
        Training().hidden = 1
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
    (Features, {"training": 3}, "training must be a Training"),
    (FineTune, {"lm_coef": -0.1}, "lm_coef must be 0 or more"),
    (FineTune, {"task_coef": 0.0}, "task_coef must be above 0"),
    (FineTune, {"layer_decay": 0.0}, "layer_decay must be above 0"),
    (FineTune, {"pooling": "max"}, "pooling must be cls, last or mean, got 'max'"),
    (GradualUnfreeze, {"steps_per_layer": 0}, "steps_per_layer must be above 0"),
    (GradualUnfreeze, {"steps_per_layer": 2.5}, "steps_per_layer must be a whole number"),
    (LowRank, {"rank": 0}, "rank must be above 0"),
    (LowRank, {"alpha": -1.0}, "alpha must be above 0"),
    (LowRank, {"learning_rate": None}, "learning_rate must be above 0"),
    (FineTune, {"encoder_rate": float("inf")}, "encoder_rate must be above 0"),
    (FineTune, {"learning_rate": "fast"}, "learning_rate must be above 0"),
    (Probe, {"pooling": "sum"}, "pooling must be mean, max or mean"),
    (FineTune, {"learning_rate": True}, "learning_rate must be above 0, got True"),
    (Layers, {"l2": True}, "l2 must be 0 or more, got True"),
    (Layers, {"output": 1}, "output must be true or false, got 1"),
    (Scratch, {"width": np.float64(64)}, "width must be a whole number, got 64.0"),
    (Scratch, {"width": np.True_}, "width must be a whole number, got True"),
    (Probe, {"strengths": ()}, "strengths must be a list of numbers above 0"),
    (Probe, {"strengths": np.array(1.0)}, "strengths must be a list of numbers above 0"),
    (Probe, {"strengths": {1.0: "a"}}, "strengths must be a list of numbers above 0"),
    (TfIdf, {"strengths": 1.0}, "strengths must be a list of numbers above 0, got 1.0"),
    (TfIdf, {"strengths": "10"}, "strengths must be a list of numbers above 0, got '10'"),
    (TfIdf, {"strengths": [True]}, "strengths must be a list of numbers above 0"),
    (TfIdf, {"strengths": (1.0, -1.0)}, "strengths must be a list of numbers above 0"),
]


@pytest.mark.parametrize(("kind", "values", "message"), WRONG)
def test_a_bad_value_fails_when_it_is_made(kind, values, message):
    with pytest.raises(SettingsError, match=message):
        kind(**values)


def test_a_misspelled_setting_fails_when_it_is_written():
    with pytest.raises(TypeError, match="learning_rat"):
        FineTune(learning_rat=1e-3)


def test_what_is_no_method_is_refused():
    with pytest.raises(SettingsError, match="use one of auto, majority, tfidf"):
        method_of("magic")
    with pytest.raises(SettingsError, match="a name or a method"):
        method_of(Training())


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("width", [None, 64, 768])
def test_what_depends_on_the_encoder_is_filled_in_and_nothing_else(name, width):
    method = METHODS[name]()
    filled = with_defaults(method, whole_model=width)
    unread = ("encoder_rate", "embedding_rate") if width else ()
    for field in dataclasses.fields(method):
        if field.name in unread:
            assert getattr(filled, field.name) is None
            continue
        before, after = getattr(method, field.name), getattr(filled, field.name)
        optional = field.name == "pooling" and name == "finetune"
        assert after == before if before is not None or optional else after is not None
    assert with_defaults(filled, whole_model=width) == filled
    assert with_defaults(filled, whole_model=5) == filled


KINDS = {
    "vectors": {"whole_model": None},
    "in context": {"whole_model": None, "in_context": True},
    "whole": {"whole_model": 64},
    "gpt": {"whole_model": 64, "is_gpt": True},
}
READ_BY = [
    (Scratch(width=7), ["vectors", "in context"]),
    (Scratch(embedding_rate=0.5), ["vectors", "in context"]),
    (FineTune(encoder_rate=0.5), ["vectors", "in context"]),
    (FineTune(layers=Layers(output=True)), ["in context"]),
    (Features(layers=Layers(output=True)), ["in context"]),
    (FineTune(layer_decay=0.5), ["whole", "gpt"]),
    (FineTune(pooling="last"), ["whole", "gpt"]),
    (FineTune(lm_coef=7.0), ["gpt"]),
    (FineTune(task_coef=7.0), ["gpt"]),
    (FineTune(learning_rate=0.5), [*KINDS]),
    (Probe(pooling="max"), [*KINDS]),
]


@pytest.mark.parametrize(("method", "readers"), READ_BY)
@pytest.mark.parametrize("kind", KINDS)
def test_a_setting_that_an_encoder_does_not_read_is_refused(kind, method, readers):
    if kind in readers:
        check_is_read(method, "mine", **KINDS[kind])
        return
    message = rf"the setting '\w+' of '{name_of(method)}' is for .*, and mine does not use it"
    with pytest.raises(SettingsError, match=message):
        check_is_read(method, "mine", **KINDS[kind])


@pytest.mark.parametrize("method", [FineTune(pooling="mean"), Probe(pooling="max")])
def test_a_tagger_has_no_pooling(method):
    with pytest.raises(SettingsError, match=r"the setting 'pooling' of .* is for whole texts"):
        check_is_read(method, "mine", whole_model=64, tags=True)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("kind", KINDS)
def test_what_was_filled_in_is_read_again(kind, name):
    settings = {key: value for key, value in KINDS[kind].items() if key != "is_gpt"}
    check_is_read(with_defaults(METHODS[name](), **settings), "mine", **KINDS[kind])
    # As older versions filled them in.
    check_is_read(FineTune(encoder_rate=0.04 / 64), "mine", whole_model=64)
    check_is_read(Scratch(embedding_rate=0.2), "mine", whole_model=64)


def test_narrow_models_are_trained_at_higher_rates_than_wide_ones():
    narrow, wide = (with_defaults(FineTune(), whole_model=width) for width in (128, 768))
    assert narrow.learning_rate == pytest.approx(6 * wide.learning_rate)
    assert wide.learning_rate == pytest.approx(5e-5, rel=0.1)
    assert with_defaults(FineTune(), whole_model=None).learning_rate > narrow.learning_rate


def test_rates_of_the_pipeline_fall_with_the_root_of_many_labels():
    rates = {
        labels: with_defaults(FineTune(), whole_model=None, labels=labels).learning_rate
        for labels in (10, 500, 2_000)
    }
    assert rates == {10: 2e-2, 500: 2e-2, 2_000: 1e-2}
    scratch = with_defaults(Scratch(), whole_model=None, labels=2_000)
    assert (scratch.learning_rate, scratch.embedding_rate) == (2e-3, 0.1)
    mine = with_defaults(FineTune(learning_rate=0.5), whole_model=None, labels=2_000)
    assert mine.learning_rate == 0.5
    whole = [with_defaults(FineTune(), whole_model=64, labels=n) for n in (10, 10_000)]
    assert whole[0] == whole[1]
