"""The layer that fine-tuning starts from knows something, and not everything."""

import numpy as np
import pytest

from headstart.tasks.classification import Classes
from headstart.tasks.multilabel import LabelSets
from headstart.tasks.regression import Numbers
from headstart.transfer.first_head import first_head

ROWS = np.arange(40)
CODES = ROWS % 3
TARGETS = {
    "classes": Classes(CODES, np.ones(3, np.float32)),
    "label sets": LabelSets(CODES[:, None] == np.arange(3), np.ones(3, np.float32)),
    "numbers": Numbers(CODES.astype(np.float64)),
}


@pytest.fixture(params=TARGETS)
def target(request):
    return TARGETS[request.param]


def states_of(width, *, told=0.0, seed=0):
    """Make states that tell the class in one dimension of many, and noise in all."""
    states = np.random.default_rng(seed).normal(size=(len(ROWS), width))
    states[:, 0] += told * CODES
    return states


def losses(target, states):
    weight, bias = first_head(target, states, ROWS)
    unread = np.tile(target.constant(ROWS), (len(ROWS), 1))
    return target.mean_loss(states @ weight.T + bias, ROWS), target.mean_loss(unread, ROWS)


def test_half_of_the_loss_is_left_where_states_know_the_rows_by_heart(target):
    loss, unread = losses(target, states_of(300))
    weight, bias = target.linear(states_of(300), ROWS, 1.0)
    assert target.mean_loss(states_of(300) @ weight.T + bias, ROWS) < 0.3 * unread
    assert 0.5 * unread <= loss < 0.9 * unread


@pytest.mark.parametrize("kind", ["classes", "label sets"])
def test_half_is_left_of_a_loss_with_weights_too(kind):
    rare = np.arange(400) % 20 == 0
    rows, states = np.arange(400), np.random.default_rng(0).normal(size=(400, 20))
    states[:, 0] += 4 * rare
    target = {
        "classes": Classes(rare.astype(np.int64), np.float32([10 / 19, 10])),
        "label sets": LabelSets(rare[:, None], np.float32([19])),
    }[kind]
    weight, bias = first_head(target, states, rows)
    unread = np.tile(target.constant(rows, weighted=True), (400, 1))
    share = target.mean_loss(states @ weight.T + bias, rows) / target.mean_loss(unread, rows)
    assert 0.5 <= share < 0.7


def test_it_is_the_strongest_where_states_tell_little(target):
    states = states_of(3)
    states /= np.sqrt(np.square(states).mean())
    found, strongest = first_head(target, states, ROWS), target.linear(states, ROWS, 1.0)
    for ours, its in zip(found, strongest, strict=True):
        assert ours == pytest.approx(its)


def test_what_the_states_tell_is_known_at_the_start():
    states = states_of(300, told=8.0)
    weight, bias = first_head(TARGETS["classes"], states, ROWS)
    unseen = states_of(300, told=8.0, seed=1)
    assert ((unseen @ weight.T + bias).argmax(1) == CODES).mean() > 0.8


def test_the_size_of_the_states_does_not_matter(target):
    weight, bias = first_head(target, states_of(300), ROWS)
    larger = first_head(target, 1e4 * states_of(300), ROWS)
    assert larger[0] == pytest.approx(weight / 1e4, rel=1e-4, abs=1e-9)
    assert larger[1] == pytest.approx(bias, rel=1e-4, abs=1e-6)
    assert not first_head(target, np.zeros((len(ROWS), 5)), ROWS)[0].any()
