import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from headstart.errors import SettingsError
from headstart.models.gpt import Gpt, GptConfig, Sampling, generate
from headstart.models.packed_weights import PackedLinear
from headstart.tokenize.batches import Encoded, pack

SIZES = {"vocabulary_size": 40, "width": 16, "layers": 2, "heads": 4, "feed_forward": 24}
TEXTS = [[5, 6, 7, 8, 9], [10, 11, 12], [13, 14], [15, 16, 17, 18, 19, 20]]
GREEDY = Sampling(temperature=0)


def make(*, positions=16, **settings):
    config = GptConfig(**SIZES, positions=positions, **settings)
    model = Gpt(config, generator=torch.Generator().manual_seed(0)).eval()
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model


@pytest.fixture(params=[True, False], ids=["norm first", "norm last"])
def model(request):
    return make(norm_first=request.param)


def read(model, texts, *, tokens=12):
    """Read texts packed side by side; return each one's scores of the next tokens."""
    packed = pack(Encoded.from_lists(texts), np.arange(len(texts)), tokens=tokens)
    arrays = (packed.ids_BT, packed.sequences_BT, packed.positions_BT)
    with torch.no_grad():
        states = model(*map(torch.from_numpy, arrays))[-1].flatten(0, 1)
        scores = model.token_scores(states)
    return [scores[a : b + 1] for a, b in zip(packed.first_N, packed.last_N, strict=True)]


def go_on(model, prompts, count, sampling=GREEDY, seed=0):
    fresh = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        steps = list(
            generate(model, prompts, max_new_tokens=count, sampling=sampling, generator=fresh)
        )
    return torch.stack(steps, 1).tolist()


# What is read


def test_nothing_that_follows_a_token_changes_its_scores(model):
    text = [5, 6, 7, 8, 9, 10]
    before = read(model, [text])[0]
    for changed in range(len(text)):
        other = [*text[:changed], 30, *text[changed + 1 :]]
        same = (read(model, [other])[0] == before).all(1)
        assert same.tolist() == [place < changed for place in range(len(text))]


def test_a_packed_text_is_read_as_if_alone(model):
    for text, scores in zip(TEXTS, read(model, TEXTS), strict=True):
        ids = torch.tensor([text])
        with torch.no_grad():
            layers = model.encode(ids, torch.ones_like(ids).bool())
            alone = model.token_scores(layers[-1][0])
        assert len(layers) == 3
        torch.testing.assert_close(scores, alone, atol=1e-5, rtol=1e-5)


def test_what_stands_beside_a_text_changes_nothing_in_it(model):
    before = read(model, TEXTS)
    for changed in range(len(TEXTS)):
        others = [[39] * len(t) if row == changed else t for row, t in enumerate(TEXTS)]
        for row, scores in enumerate(read(model, others)):
            assert torch.equal(scores, before[row]) == (row != changed)


def test_padding_changes_nothing(model):
    ids = torch.tensor([[5, 6, 7, 0, 0], [8, 9, 10, 11, 12]])
    mask = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]).bool()
    with torch.no_grad():
        together = model.encode(ids, mask)[-1]
        other = model.encode(ids.masked_fill(~mask, 33), mask)[-1]
        alone = model.encode(ids[:1, :3], mask[:1, :3])[-1]
    assert torch.equal(together[mask], other[mask])
    torch.testing.assert_close(together[:1, :3], alone, atol=1e-5, rtol=1e-5)


def test_no_text_is_longer_than_the_positions():
    model = make(positions=6)
    assert len(read(model, TEXTS, tokens=16)) == 4
    with pytest.raises(SettingsError, match="a text of 7 tokens is longer than the model's 6"):
        read(model, [[5] * 7])


def test_fresh_weights_are_those_of_their_generator_and_smaller_in_deep_models():
    first, again, other, deep = (
        Gpt(GptConfig(**{**SIZES, **change}), generator=torch.Generator().manual_seed(seed))
        for seed, change in ((3, {}), (3, {}), (4, {}), (3, {"layers": 8}))
    )
    assert torch.equal(first.blocks[0].out.weight, again.blocks[0].out.weight)
    assert not torch.equal(first.blocks[0].out.weight, other.blocks[0].out.weight)
    assert deep.blocks[0].out.weight.std() < 0.6 * first.blocks[0].out.weight.std()


# What is written


class Watched(Sampling):
    """Greedy, and keeps the scores it chose by."""

    def choose(self, scores_BV, generator):
        vars(self).setdefault("seen", []).append(scores_BV)
        return super().choose(scores_BV, generator)


@pytest.mark.parametrize(
    "prompts", [[[5, 6, 7]], [[5], [6, 7, 8, 9], [10, 11]], [[5, 6], [7, 8], [9, 10]]]
)
def test_cached_generation_equals_reading_everything_anew(model, prompts):
    watched = Watched(temperature=0)
    found = go_on(model, prompts, 9, watched)
    for row, prompt in enumerate(prompts):
        text = list(prompt)
        for step in range(9):
            scores = read(model, [text], tokens=16)[0][-1]
            torch.testing.assert_close(watched.seen[step][row], scores, atol=1e-4, rtol=1e-4)
            text.append(int(scores.argmax()))
        assert found[row] == text[len(prompt) :]


def test_matrices_are_laid_out_where_they_can_be_and_the_model_stays(model, monkeypatch):
    laid_out = []

    class Counted(PackedLinear):
        def __init__(self, weight, bias, *, rows):
            laid_out.append(rows)
            super().__init__(weight, bias, rows=rows)

    monkeypatch.setattr("headstart.models.gpt.PackedLinear", Counted)
    prompts, before = [[5, 6], [7, 8, 9]], copy.deepcopy(model)
    expected = go_on(model, prompts, 9)
    assert laid_out == [2] * (1 + 4 * model.config.layers)
    assert [type(each) for each in model.modules()] == [type(each) for each in before.modules()]
    for name, weight in before.named_parameters():
        assert torch.equal(model.get_parameter(name), weight)
    assert go_on(copy.deepcopy(model).double(), prompts, 9) == expected
    assert go_on(model, prompts[:1], 9) == expected[:1]
    monkeypatch.setattr(torch.ops, "mkldnn", object())
    assert go_on(model, prompts, 9) == expected
    assert len(laid_out) == 1 + 4 * model.config.layers, "laid out where nothing can be"


def test_the_positions_can_be_filled_to_the_last_and_no_further(model):
    assert len(go_on(model, [[5] * 6, [7]], 10)[0]) == 10
    with pytest.raises(
        SettingsError, match="6 tokens and 11 new ones exceed the model's 16 positions; shorten"
    ):
        go_on(model, [[7], [5] * 6], 11)


@pytest.mark.parametrize("prompts", [[], [[]], [[5], []]])
def test_an_empty_prompt_is_refused(model, prompts):
    with pytest.raises(SettingsError, match="a prompt is empty"):
        go_on(model, prompts, 2)


def test_the_same_seed_writes_the_same(model):
    texts = [go_on(model, [[5, 6]], 10, Sampling(), seed) for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


def test_one_of_the_likeliest_is_the_likeliest(model):
    prompts = [[5], [6, 7, 8]]
    cold = [Sampling(temperature=t) for t in (1e-4, 1e-31, 1e-40, 1e-46, 5e-324)]
    for sampling in (Sampling(top_k=1), Sampling(top_p=1e-6), *cold):
        assert go_on(model, prompts, 9, sampling, seed=7) == go_on(model, prompts, 9)


def draw(sampling, chances, count=20_000):
    scores = torch.log(torch.tensor(chances)).expand(count, -1)
    drawn = sampling.choose(scores, torch.Generator().manual_seed(0))
    return torch.bincount(drawn, minlength=len(chances)).numpy()


CHANCES = [0.1, 0.4, 0.2, 0.05, 0.25]


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({}, CHANCES),
        ({"top_k": 99}, CHANCES),
        ({"top_k": 2}, [0, 0.4, 0, 0, 0.25]),
        ({"top_p": 1.0}, CHANCES),
        ({"top_p": 0.6}, [0, 0.4, 0, 0, 0.25]),
        ({"top_p": 0.66}, [0, 0.4, 0.2, 0, 0.25]),
        ({"top_p": 0.3}, [0, 1, 0, 0, 0]),
        ({"top_k": 3, "top_p": 0.6}, [0, 0.4, 0, 0, 0.25]),
        ({"temperature": 0.5}, [0.01, 0.16, 0.04, 0.0025, 0.0625]),
        ({"temperature": 2.0}, [0.1**0.5, 0.4**0.5, 0.2**0.5, 0.05**0.5, 0.25**0.5]),
    ],
)
def test_tokens_are_drawn_as_often_as_they_should(how, expected):
    counts, expected = draw(Sampling(**how), CHANCES), np.array(expected)
    possible = expected > 0
    assert not counts[~possible].any()
    shares = expected[possible] / expected.sum()
    assert chisquare(counts[possible], shares * counts.sum()).statistic < 25


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(-30, 30), min_size=2, max_size=9, unique=True),
    st.none() | st.integers(1, 12),
    st.none() | st.floats(0.05, 1.0),
)
def test_nothing_is_drawn_but_the_smallest_set_of_the_likeliest(scores, top_k, top_p):
    chances = np.exp(np.array(scores) / 5.0)
    kept = np.argsort(-chances)[: top_k or 99]
    shares = chances[kept] / chances[kept].sum()
    if top_p is not None:
        kept = kept[np.cumsum(shares) - shares < top_p - 1e-6]
    counts = draw(Sampling(top_k=top_k, top_p=top_p), (chances / chances.sum()).tolist(), 300)
    assert set(np.flatnonzero(counts)) <= set(np.argsort(-chances)[: len(kept) + 1])
    assert counts[kept].sum() >= 290  # one more on the border, for rounding
    assert counts[kept[0]] > 0


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"temperature": -0.1}, "temperature must be 0 or more"),
        ({"temperature": float("nan")}, "temperature must be 0 or more"),
        ({"temperature": None}, "temperature must be 0 or more"),
        ({"top_p": "x"}, "top_p must be above 0 and at most 1"),
        ({"top_k": 0}, "top_k must be a whole number above 0"),
        ({"top_k": 2.0}, "top_k must be a whole number above 0"),
        ({"top_p": 0.0}, "top_p must be above 0 and at most 1"),
        ({"top_p": 1.1}, "top_p must be above 0 and at most 1"),
    ],
)
def test_impossible_ways_of_drawing_are_refused(how, message):
    with pytest.raises(SettingsError, match=message):
        Sampling(**how)


def test_impossible_sizes_are_refused():
    with pytest.raises(SettingsError, match="5 heads do not divide the width 16"):
        GptConfig(**{**SIZES, "heads": 5})
    with pytest.raises(SettingsError, match="positions must be a whole number above 0"):
        GptConfig(**SIZES, positions=0)
    with pytest.raises(SettingsError, match="dropout must be in"):
        GptConfig(**SIZES, dropout=-0.1)
    with pytest.raises(SettingsError, match="dropout must be in"):
        GptConfig(**SIZES, dropout="x")
