"""Texts are read once, and no cell can tell the difference."""

import time
from functools import partial
from itertools import product

import numpy as np
import pytest

from headstart.compare import reading
from headstart.compare.cells import Terms, run_cell
from headstart.compare.contestants import Contestant
from headstart.compare.reading import Texts, read_texts, reads_frozen, remember, seconds_a_text
from headstart.data.pairs import PairDataset
from headstart.progress import SILENT
from headstart.training import precision
from headstart.transfer.features import text_states

read = partial(read_texts, progress=SILENT)
TRANSFERS = ("probe", "frozen", "finetune", "lora", "gradual")


@pytest.fixture(autouse=True)
def exact(monkeypatch):
    """Numbers of full length, so that two ways to the same number give the same."""
    for module in (reading, precision):
        monkeypatch.setattr(module, "has_fast_bf16", lambda device: False)


@pytest.fixture
def forgetful(bert):
    """The encoder, which forgets what a test let it remember."""
    yield bert
    vars(bert).pop("memory", None)


def test_who_asks_what_the_frozen_encoder_says(bert, gpt, vectors):
    for transfer in TRANSFERS:
        one = Contestant.parse(f"bert:{transfer}")
        assert reads_frozen(one, bert)
        assert not reads_frozen(one, None)
        assert reads_frozen(one, gpt) == (transfer in ("probe", "frozen"))
        assert not reads_frozen(one, vectors)
    assert not reads_frozen(Contestant.parse("bert:scratch"), bert)


def test_states_are_read_once_and_looked_up(forgetful, rows, tmp_path, monkeypatch):
    train, test = rows(12), rows(6, seed=1)
    texts = Texts.of(train, test)
    assert set(texts.texts) == {*train.texts, *test.texts}
    contestants = [Contestant.parse(f"bert:{name}") for name in ("probe", "scratch", "finetune")]
    files = read(texts, contestants, {"bert": forgetful}, tmp_path).files
    assert list(files) == ["bert"]
    expected = text_states(forgetful, test.texts, max_tokens=reading.MAX_TOKENS)
    remember(forgetful, texts, files["bert"])
    monkeypatch.setattr(forgetful.model, "forward", None)  # it cannot read any more
    found = text_states(forgetful, test.texts, max_tokens=reading.MAX_TOKENS)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    monkeypatch.setattr(reading, "text_states", None)
    assert read(texts, contestants, {"bert": forgetful}, tmp_path).files == files
    assert read(texts, contestants[1:2], {"bert": forgetful}, tmp_path).files == {}


@pytest.mark.parametrize("room", [0, 1])
def test_no_more_is_kept_than_there_is_room_for(bert, rows, tmp_path, room):
    texts = Texts.of(rows(6), rows(3))
    one = [Contestant.parse("mine=f:probe")]
    needed = len(texts.texts) * 4 * bert.model.width * 4
    notes = []
    told = type(SILENT)()
    told.note = notes.append
    files = read_texts(
        texts, one, {"mine": bert}, tmp_path, most_bytes=needed - 1 + room, progress=told
    ).files
    assert set(files) == {"mine"} if room else files == {}
    assert len(notes) == 1 - room
    assert not notes or "mine: the states of all texts take 0.0 GB" in notes[0]


def test_other_texts_and_other_encoders_have_files_of_their_own(bert, gpt, rows, tmp_path):
    one = [Contestant.parse("mine=f:probe")]
    files = {
        read(
            Texts.of(rows(count), rows(3)), one, {"mine": encoder}, tmp_path, progress=SILENT
        ).files["mine"]
        for count in (6, 9)
        for encoder in (bert, gpt)
    }
    assert len(files) == 4


def test_the_speed_is_that_of_reading_and_not_of_remembering(forgetful, rows, tmp_path):
    train = rows(12)
    texts = Texts.of(train, train)
    contestants = [Contestant.parse("bert:probe")]
    file = read(texts, contestants, {"bert": forgetful}, tmp_path).files["bert"]
    remember(forgetful, texts, file)
    memory = vars(forgetful)["memory"]
    assert seconds_a_text(forgetful, train.texts) > 0
    assert vars(forgetful)["memory"] is memory


@pytest.mark.slow
@pytest.mark.parametrize("transfer", ["probe", "frozen", "finetune"])
def test_a_cell_comes_out_as_without_a_memory(forgetful, rows, tmp_path, transfer):
    train, test = rows(60), rows(45, seed=1)
    one = Contestant.parse(f"bert:{transfer}")
    terms = Terms(
        train=train, test=test, data_print="", encoders={}, prints={}, folder=tmp_path,
        widths={"bert": forgetful.model.width},
    )  # fmt: skip
    without = run_cell(terms, one, forgetful, labels=24, seed=0)
    texts = Texts.of(train, test)
    files = read(texts, [one], {"bert": forgetful}, tmp_path).files
    remember(forgetful, texts, files["bert"])
    terms = Terms(**{**vars(terms), "states": files})
    remembered = run_cell(terms, one, forgetful, labels=24, seed=0)
    for name in ("value", "macro_f1", "validation", "correct", "chosen"):
        assert remembered[name] == without[name], name
    assert remembered["validation_loss"] == pytest.approx(without["validation_loss"], rel=1e-4)
    assert remembered["proof"]["tensors_taken"] == without["proof"]["tensors_taken"]


def test_pairs_are_what_takes_time_where_both_texts_are_read_at_once(bert, tmp_path, monkeypatch):
    texts = [f"the wave number {number}" for number in range(9)]
    every = PairDataset(list(product(texts, texts)), ["same"] * 81)
    monkeypatch.setattr(reading, "seconds_a_text", lambda encoder, some: 1.0)
    found = read(
        Texts.of(every, every), [Contestant.parse("bert:finetune")], {"bert": bert}, tmp_path,
        deadline=time.time() + 100.0,
    )  # fmt: skip
    assert "about 81 s" in found.unread["bert"]


@pytest.mark.parametrize(("seconds", "reads"), [(0.9, True), (1.2, False)])
def test_an_encoder_may_take_a_third_of_the_time(bert, rows, tmp_path, monkeypatch, seconds, reads):
    texts = Texts.of(rows(12), rows(6, seed=1))
    monkeypatch.setattr(reading, "seconds_a_text", lambda encoder, some: seconds)
    probe = [Contestant.parse("bert:probe")]
    end = time.time() + 3 * len(texts.texts) + 1
    found = read(texts, probe, {"bert": bert}, tmp_path, deadline=end)
    assert (list(found.files) == ["bert"]) is reads


def test_an_encoder_that_would_read_too_long_does_not(bert, gpt, rows, tmp_path, monkeypatch):
    texts = Texts.of(rows(12), rows(6, seed=1))
    contestants = [Contestant.parse("bert:probe"), Contestant.parse("gpt:probe")]
    encoders = {"bert": bert, "gpt": gpt}
    seconds = {bert: 0.001, gpt: 10.0}
    monkeypatch.setattr(reading, "seconds_a_text", lambda encoder, some: seconds[encoder])
    soon = time.time() + 60.0
    found = read(texts, contestants, encoders, tmp_path, deadline=soon)
    assert list(found.files) == ["bert"]
    assert list(found.unread) == ["gpt"]
    assert found.unread["gpt"].startswith("encoding all texts once with gpt would have taken about")
    whole = read(texts, contestants, encoders, tmp_path)
    assert set(whole.files) == {"bert", "gpt"}
    again = read(texts, contestants, encoders, tmp_path, deadline=soon)
    assert again.unread == {}, "what is read already takes no time"
