"""Search in a made-up language of five tokens, against looking at every sequence there is."""

from dataclasses import dataclass
from itertools import product

import pytest
import torch
from torch import Tensor

from headstart.models.beam_search import search

BEGIN, END, TOKENS, LONGEST = 0, 1, 5, 4


@dataclass(frozen=True)
class Place:
    """A table of scores a sequence, and how many tokens were read."""

    tables: Tensor
    step: int

    def select(self, rows):
        return Place(self.tables[rows], self.step)


def step(place, last):
    scores = place.tables[torch.arange(len(last)), place.step, last]
    attention = torch.stack([last.float(), torch.full_like(last, place.step).float()], 1)
    return scores, Place(place.tables, place.step + 1), attention


def tables(sequences=3, seed=0):
    fresh = torch.Generator().manual_seed(seed)
    return torch.randn(sequences, LONGEST + 1, TOKENS, TOKENS, generator=fresh) * 2


def score(table, tokens):
    """Return the mean log-probability of a sequence and its end."""
    last, total = BEGIN, 0.0
    for at, token in enumerate([*tokens, END]):
        total += float(table[at, last].log_softmax(0)[token])
        last = token
    return total / (len(tokens) + 1)


def find(table, beam, most=None):
    return search(
        step,
        Place(table, 0),
        sequences=len(table),
        begin=BEGIN,
        end=END,
        max_tokens=most or [LONGEST] * len(table),
        beam=beam,
    )


def greedy(table):
    tokens, last = [], BEGIN
    for at in range(LONGEST):
        last = int(table[at, last].argmax())
        if last == END:
            break
        tokens.append(last)
    return tokens


@pytest.mark.parametrize("seed", range(8))
def test_a_beam_of_one_takes_the_likeliest_token(seed):
    table = tables(seed=seed)
    for found, each in zip(find(table, 1), table, strict=True):
        assert found.tokens == greedy(each)
        assert found.score == pytest.approx(score(each, found.tokens), abs=1e-5)


@pytest.mark.parametrize("seed", range(8))
def test_a_wide_beam_finds_the_best_there_is_and_none_is_worse_than_greedy(seed):
    table = tables(seed=seed)
    others = [token for token in range(TOKENS) if token != END]
    every = [list(t) for size in range(LONGEST + 1) for t in product(others, repeat=size)]
    before = find(table, 1)
    for beam in (2, 3, 5):
        for narrow, wide in zip(before, find(table, beam), strict=True):
            assert wide.score >= narrow.score
    for found, each in zip(find(table, 400), table, strict=True):
        assert found.score == pytest.approx(max(score(each, t) for t in every), abs=1e-5)
        assert found.score == pytest.approx(score(each, found.tokens), abs=1e-5)


@pytest.mark.parametrize("beam", [1, 3])
def test_attention_is_that_of_the_sequence_found(beam):
    for found in find(tables(), beam):
        assert found.attention_TS[:, 0].tolist() == [BEGIN, *found.tokens]
        assert found.attention_TS[:, 1].tolist() == list(range(len(found.tokens) + 1))


def test_sequences_do_not_meddle_with_one_another():
    table = tables()
    for row, found in enumerate(find(table, 3)):
        assert find(table[row : row + 1], 3)[0].tokens == found.tokens


@pytest.mark.parametrize("beam", [1, 3, 400])
@pytest.mark.parametrize("seed", range(8))
def test_each_sequence_has_its_own_limit(seed, beam):
    table, most = tables(seed=seed), [1, 4, 2]
    table[..., END] -= 4.0  # so that none ends by itself
    for row, found in enumerate(find(table, beam, most)):
        assert len(found.tokens) <= most[row]
        (alone,) = find(table[row : row + 1], beam, [most[row]])
        assert found.tokens == alone.tokens
        assert found.score == pytest.approx(alone.score, abs=1e-5)
        assert found.score == pytest.approx(score(table[row], found.tokens), abs=1e-5)
