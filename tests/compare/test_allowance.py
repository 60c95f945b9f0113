"""How the time is shared out, and what is guessed of methods that nobody has timed."""

import math

import pytest

from headstart.compare.allowance import PRETRAIN_MINUTES, Allowance, limits
from headstart.compare.contestants import parse_all
from headstart.transfer.fitting import whole_model_width
from headstart.transfer.methods import method_of, with_defaults


@pytest.mark.parametrize(
    ("minutes", "most", "number", "each"),
    [
        (20.0, None, 2, 2.5),
        (20.0, 1.0, 2, 1.0),
        (20.0, 30.0, 1, 5.0),
        (20.0, None, 0, 5.0),
        (3.0, None, 3, 0.25),
        (math.inf, None, 2, PRETRAIN_MINUTES),
        (math.inf, 60.0, 2, 60.0),
    ],
)
def test_a_quarter_is_for_pretraining_in_even_shares(minutes, most, number, each):
    assert Allowance(minutes, 0.0).pretraining(most, number) == pytest.approx(each)


def test_cells_leave_time_for_the_rest():
    allowance = Allowance(20.0, 1000.0)
    end = 1000.0 + 60 * 20
    assert 1000.0 < allowance.cells_end < allowance.models_end < end
    assert math.isinf(Allowance(math.inf, 0.0).cells_end)


def test_what_took_clearly_too_long_is_told(monkeypatch):
    monkeypatch.setattr("time.time", lambda: 1000.0 + 60 * 22.5)
    assert Allowance(21.0, 1000.0).overtime() == Allowance(math.inf, 1000.0).overtime() == []
    (told,) = Allowance(20.0, 1000.0).overtime()
    assert told.startswith("The comparison took 22.5 minutes, but was allowed 20: with the fewest")


def made(names, encoders):
    return {
        one: with_defaults(
            method_of(one.transfer), whole_model=whole_model_width(encoders.get(one.encoder))
        )
        for one in parse_all(names)
    }


def test_models_that_are_trained_are_guessed_and_come_last(bert, gpt, elmo, vectors, rows):
    encoders = {"bert": bert, "gpt": gpt, "elmo": elmo, "glove": vectors}
    names = ["scratch", "glove=f:finetune", "bert:probe", "bert:finetune", "gpt:scratch"]
    names += ["elmo:frozen", "elmo:finetune"]
    methods = made(names, encoders)
    texts = rows(30).texts

    def found(minutes, **unread):
        return limits(
            Allowance(minutes, 0.0), methods, encoders, texts, labels=10, test_rows=100,
            unread=unread,
        )  # fmt: skip

    trained = {"bert:finetune", "gpt:scratch", "elmo:finetune"}
    assert set(found(20.0).guesses) == set(found(20.0).ranks) == trained
    assert all(guess > 0 for guess in found(20.0).guesses.values())
    assert found(20.0).deadline == Allowance(20.0, 0.0).cells_end
    assert found(math.inf).ranks == {}
    assert math.isinf(found(math.inf).deadline)
    assert found(20.0).barred == {}
    barred = found(20.0, bert="slow").barred
    assert barred == {"bert:probe": "slow", "bert:finetune": "slow"}


def test_if_no_method_is_left_none_is_barred(bert, rows):
    methods = made(["bert:probe", "bert:finetune"], {"bert": bert})
    found = limits(
        Allowance(20.0, 0.0), methods, {"bert": bert}, rows(30).texts, labels=10, test_rows=10,
        unread={"bert": "slow"},
    )  # fmt: skip
    assert found.barred == {}
