"""What a pretraining will take: a sample of the text, timed once, carried on to the whole."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import headstart as hs
from headstart.errors import DataError, SettingsError
from headstart.hub import planning, speed
from headstart.hub.scaling import LAWS
from headstart.hub.speed import Speed, measure

TEXTS = [
    f"The cat number {n} sleeps. It likes milk, and the mouse likes cheese." for n in range(80)
]
TIMED = Speed(
    tokens_per_second=1000.0,
    processors=1.0,
    others=0.0,
    preparation_seconds=10.0,
    preparation_processors=1.0,
    validation_seconds=0.5,
    tokens_per_epoch=100_000,
    parameters=50_000,
    memory_bytes=500_000_000,
    checkpoint_bytes=600_000,
)
SMALL = {
    "size": "tiny",
    "threads": 1,
    "options": {"vocabulary_size": 300, "tokens_per_row": 16, "rows_per_step": 2},
}


@pytest.fixture
def timed(monkeypatch):
    """Let timing give these figures at once; the list holds what was timed."""
    calls = []

    def measure(method, texts, **settings):
        calls.append((method, list(texts), settings))
        return TIMED

    monkeypatch.setattr(planning, "measure", measure)
    return calls


def courses(estimate):
    return {course.name: course for course in estimate.courses}


def test_hours_are_those_of_preparation_tokens_and_validations(timed):
    found = courses(hs.plan("gpt", TEXTS, tokens=1_000_000, epochs=3, minutes=60))
    assert list(found) == [
        "one epoch",
        "3 epochs",
        "1,000,000 tokens",
        "compute-optimal",
        "60 minutes",
    ]
    asked = found["1,000,000 tokens"]
    assert asked.hours == pytest.approx((10 + 1_000_000 / 1000 + 20 * 0.5) / 3600)
    assert (asked.epochs, found["3 epochs"].tokens) == (10.0, 300_000)
    assert found["compute-optimal"].tokens == 20 * 50_000
    assert found["60 minutes"].tokens == (3600 - 20 * 0.5) * 1000
    assert found["60 minutes"].hours == pytest.approx(1 + 10 / 3600)


@pytest.mark.usefixtures("timed")
def test_an_estimate_is_printed_as_a_table():
    found = hs.plan("gpt", tokens=2_000_000, threads=1, minutes=60)
    hours = {"2,000,000 tokens": 0.561, "compute-optimal": 0.283, "60 minutes": 1.0}
    assert repr(found) == f"Estimate(method='gpt', size='mini', {hours=})"
    top, _, header, *rows = str(found).split("\n")
    assert top == "gpt mini: 50,000 parameters, 1,000 tokens per second on 1 thread"
    assert header.split() == ["tokens", "epochs", "hours", *LAWS["gpt"].what.split()]
    assert rows[1].startswith("compute-optimal   1,000,000          0.283  ")
    assert {len(row) for row in rows[:3]} == {len(header)}
    assert rows[3:6] == [
        "",
        "memory: 500 MB at least; disk: 2 MB during training, 0 MB for the encoder",
        "the hours include 10 s of reading and encoding",
    ]
    assert rows[6:] == list(found.notes)
    without = hs.plan("word2vec", TEXTS, threads=1)
    assert str(without).split("\n")[2].split() == ["tokens", "epochs", "hours"]


def test_what_was_timed_beside_other_programs_is_timed_anew(monkeypatch):
    speeds = [replace(TIMED, others=1.2, tokens_per_second=500.0), TIMED]
    monkeypatch.setattr(planning, "measure", lambda *_, **__: speeds.pop(0))
    found = [hs.plan("gpt", TEXTS, minutes=1) for _ in range(3)]
    assert [each.tokens_per_second for each in found] == [500.0, 1000.0, 1000.0]
    assert ["other processes" in " ".join(each.notes) for each in found] == [True, False, False]


def test_validations_take_a_tenth_of_few_minutes_at_most(timed):
    found = courses(hs.plan("gpt", TEXTS, minutes=0.5))
    assert found["0.5 minutes"].tokens == (30 - 0.1 * 30 - 0.5) * 1000


def test_one_minute_and_text_without_a_law_are_worded_so(timed):
    estimate = hs.plan("elmo", TEXTS, minutes=1, options={"dropout": 0.2})
    assert estimate.courses[-1].name == "1 minute"
    assert estimate.loss_of is None
    assert estimate.notes[-1].endswith("repeated text lowers the loss less than new text")


def test_minutes_too_short_for_a_validation_have_no_loss(timed):
    estimate = hs.plan("gpt", TEXTS, minutes=0.001)
    found = courses(estimate)
    assert found["one epoch"].loss is not None
    short = found["0.001 minutes"]
    assert (short.tokens, short.loss, short.beyond) == (0, None, False)
    assert "0.001 minutes: too short for a step and a validation" in estimate.notes


@pytest.mark.parametrize("limit", ["minutes", "epochs"])
def test_what_needs_a_text_to_be_read_says_so(timed, limit):
    with pytest.raises(SettingsError, match=f"{limit} need a corpus; pass one, or only a number"):
        hs.plan("bert", **{limit: 1})
    with pytest.raises(SettingsError, match=f"{limit} need parallel text; pass one"):
        hs.plan("cove", **{limit: 1})
    assert timed == []


def test_a_text_is_timed_once_for_all_lengths(timed):
    first = hs.plan("bert", TEXTS, minutes=5, threads=1)
    again = hs.plan("bert", TEXTS, tokens=5, threads=1)
    assert len(timed) == 1
    assert again.speed == first.speed
    hs.plan("bert", TEXTS, threads=2)
    hs.plan("bert", TEXTS[1:], threads=1)
    assert [settings["threads"] for _, _, settings in timed] == [1, 2, 1]


def test_a_sample_is_carried_on_to_the_whole(timed, monkeypatch):
    monkeypatch.setattr(planning, "_SAMPLE", sum(map(len, TEXTS)) // 3)
    found = hs.plan("gpt", TEXTS, threads=1)
    ((_, sample, _),) = timed
    times = sum(map(len, TEXTS)) / sum(map(len, sample))
    assert sample == sorted(sample, key=TEXTS.index)
    room = sum(map(len, TEXTS)) // 3
    assert room - max(map(len, TEXTS)) < sum(map(len, sample)) <= room
    assert found.tokens_per_epoch == round(100_000 * times)
    assert found.preparation_seconds == pytest.approx(10 * times)
    assert any("times as long" in note for note in found.notes)


def test_what_grows_with_the_vocabulary_is_carried_on_too():
    timed = replace(TIMED, vocabulary_power=0.5, work_power=0.75)
    whole = planning._carried_on("glove", timed, 16.0)
    assert whole.parameters == 4 * 50_000
    assert whole.memory_bytes == 500_000_000 + 24 * 150_000
    assert whole.tokens_per_second == pytest.approx(1000 * 2)


@given(st.lists(st.text(min_size=1, max_size=30), min_size=1), st.integers(1, 200))
def test_samples_are_spread_over_the_whole_text(texts, most):
    sample, times = planning.spread(texts, most, lambda _: None)
    size = sum(map(len, sample))
    assert size <= most or len(sample) == 1
    assert times == sum(map(len, texts)) / size
    rest = iter(texts)
    assert all(text in rest for text in sample), "they come in the order of the whole text"
    assert sample == texts or size > most - 30
    assert planning.spread(texts, most, lambda _: None) == (sample, times)


def test_samples_of_texts_that_take_turns_have_both():
    texts = ["My title", "A body of some words"] * 200
    sample, _ = planning.spread(texts, sum(map(len, texts)) // 2, lambda _: None)
    assert sample.count(texts[0]) > 60 < sample.count(texts[1])
    half = speed._half(texts)
    assert len(half) == 200
    assert half.count(texts[0]) > 60 < half.count(texts[1])
    assert speed._half(["one"]) == ["one"]


def test_a_number_of_tokens_needs_no_text(timed):
    found = hs.plan("cove", tokens=1_000_000, threads=1)
    ((_, sample, _),) = timed
    assert all(len(pair) == 2 for pair in sample)
    assert found.tokens_per_epoch is None
    assert {course.epochs for course in found.courses} == {None}
    assert found.notes[0] == "timed on synthetic text, as no corpus was given"


def test_made_up_text_is_the_same_every_time_and_has_common_and_rare_words():
    first, again = (next(planning.made_up(pairs=False)) for _ in range(2))
    assert first == again
    words = first.lower().replace(".", "").split()
    assert len(words) == 300
    assert 100 < len(set(words)) < 290


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("bart", TEXTS), "cannot pretrain 'bart'; choose from word2vec,"),
        (("gpt",), "gpt needs a corpus; pass one, or only a number of tokens"),
        (("cove", TEXTS), "cove learns from translations"),
        (("cove", np.array(TEXTS)), "cove learns from translations"),
        (("gpt", TEXTS, 0), "tokens must be above 0, got 0"),
    ],
)
def test_what_cannot_be_planned_is_said(arguments, message):
    method, corpus, tokens = (*arguments, None, None)[:3]
    with pytest.raises(SettingsError, match=message.replace("(", r"\(")):
        hs.plan(method, corpus, tokens=tokens)


@pytest.mark.parametrize(
    ("threads", "message"),
    [(0, "1 or more, got 0"), (2.5, "a whole number, got 2.5"), (True, "a whole number, got True")],
)
def test_a_number_of_threads_is_one(threads, message, timed):
    with pytest.raises(SettingsError, match=f"threads must be {message}"):
        hs.plan("gpt", TEXTS, threads=threads)
    assert timed == []


def test_laws_expect_less_of_more():
    for law in LAWS.values():
        parameters, tokens = law.parameters[0], law.tokens[0]
        assert law.loss(2 * parameters, tokens) < law.loss(parameters, tokens)
        assert law.loss(parameters, 2 * tokens) < law.loss(parameters, tokens)
        assert law.covers(parameters, tokens)
        assert not law.covers(parameters, 2 * law.tokens[1])


@pytest.mark.slow
def test_a_model_is_timed_for_real():
    found = measure("gpt", TEXTS, seconds=0.3, **SMALL)
    assert found.tokens_per_second > 0
    assert found.tokens_per_epoch == pytest.approx(80 * 22, rel=0.5)
    assert 50e6 < found.memory_bytes < 5e9
    assert found.checkpoint_bytes > 2 * 4 * found.parameters  # Muon keeps one number for each
    assert 0 < found.validation_seconds < 5


@pytest.mark.slow
def test_word_vectors_are_timed_for_real():
    found = measure("glove", TEXTS, seconds=0.1, size="tiny", threads=1, options={})
    assert found.tokens_per_epoch == 80 * 16  # words, and what ends them
    assert found.parameters % 25 == 0
    assert 0 <= found.work_power < 1


@pytest.mark.slow
def test_word_vectors_of_too_few_texts_for_a_half_are_timed_all_the_same():
    long = " ".join(["the cat sat on the mat and the dog ran to the house"] * 400)
    texts = ["My title", long]
    if long in speed._half(texts):
        texts.reverse()
    found = measure("word2vec", texts, seconds=0.1, size="tiny", threads=1, options={})
    assert (found.vocabulary_power, found.work_power) == (1.0, 1.0)


@pytest.mark.slow
def test_errors_arrive_as_they_were_raised():
    with pytest.raises(DataError, match="fewer than three tokens"):
        measure("gpt", ["a"], seconds=0.1, **SMALL)
