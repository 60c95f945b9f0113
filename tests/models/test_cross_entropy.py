import numpy as np
import pytest
import torch
from torch.nn import functional as F

from headstart.models.cross_entropy import linear_cross_entropy, sampled_cross_entropy


def make(rows, *, width=6, vocabulary=23, bias=True):
    torch.manual_seed(0)
    states = torch.randn(rows, width, requires_grad=True)
    weight = torch.randn(vocabulary, width, requires_grad=True)
    added = torch.randn(vocabulary, requires_grad=True) if bias else None
    return states, weight, added, torch.randint(vocabulary, (rows,))


def value_and_gradients(loss, states, weight, bias):
    tensors = [each for each in (states, weight, bias) if each is not None]
    return [loss.detach(), *torch.autograd.grad(0.5 * loss, tensors)]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rows", [1, 512, 1300])
def test_it_equals_torchs_own_in_value_and_gradients(rows, bias):
    states, weight, added, targets = make(rows, bias=bias)
    ours = linear_cross_entropy(states, weight, added, targets)
    scores = F.linear(states, weight, added)
    theirs = F.cross_entropy(scores, targets, reduction="sum")
    for found, expected in zip(
        value_and_gradients(ours, states, weight, added),
        value_and_gradients(theirs, states, weight, added),
        strict=True,
    ):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-4)


def test_large_scores_do_not_overflow():
    states, weight, added, targets = make(5)
    with torch.no_grad():
        loss = linear_cross_entropy(1000 * states, weight, added, targets)
        scores = F.linear(1000 * states, weight, added)
    assert loss == pytest.approx(float(F.cross_entropy(scores, targets, reduction="sum")))


def test_half_precision_states_are_near():
    states, weight, added, targets = make(700)
    exact = value_and_gradients(
        linear_cross_entropy(states, weight, added, targets), states, weight, added
    )
    half = states.detach().bfloat16().requires_grad_()
    near = value_and_gradients(
        linear_cross_entropy(half, weight, added, targets), half, weight, added
    )
    assert [each.dtype for each in near] == [torch.float32, torch.bfloat16, *[torch.float32] * 2]
    for found, expected in zip(near, exact, strict=True):
        assert (found - expected).norm() < 0.02 * expected.norm()


def test_no_prediction_costs_nothing():
    states, weight, added, targets = make(0)
    loss = linear_cross_entropy(states, weight, added, targets)
    value, *gradients = value_and_gradients(loss, states, weight, added)
    assert value == 0
    assert not any(gradient.any() for gradient in gradients)


def test_products_are_computed_in_the_type_of_autocast():
    torch.manual_seed(0)
    states = torch.randn(5, 8, requires_grad=True)
    weight, targets = torch.randn(20, 8), torch.tensor([1, 2, 3, 4, 5])
    with torch.autocast("cpu", torch.bfloat16):
        loss = linear_cross_entropy(states, weight, None, targets)
    rounded = linear_cross_entropy(states.bfloat16(), weight, None, targets)
    assert torch.equal(loss, rounded)
    assert not torch.equal(loss, linear_cross_entropy(states, weight, None, targets))
    loss.backward()
    assert states.grad.dtype == torch.float32


def test_without_gradients_it_is_the_same():
    states, weight, added, targets = make(1300)
    expected = linear_cross_entropy(states, weight, added, targets)
    with torch.no_grad():
        found = linear_cross_entropy(states, weight, added, targets)
    assert not found.requires_grad
    torch.testing.assert_close(found, expected.detach(), rtol=1e-5, atol=1e-3)


def sampled(states, weight, bias, targets, chances, *, seed):
    """Return the estimate of the loss from a sample in which each word is by its own chance."""
    taken = torch.rand(len(chances), generator=torch.Generator().manual_seed(seed)) < chances
    words = taken.nonzero()[:, 0]
    return sampled_cross_entropy(states, weight, bias, targets, words, chances[words].log()), words


@pytest.mark.parametrize("rows", [1, 512, 1300])
def test_a_sample_of_everything_is_exact(rows):
    states, weight, added, targets = make(rows)
    ours, _ = sampled(states, weight, added, targets, torch.ones(23), seed=0)
    exact = linear_cross_entropy(states, weight, added, targets)
    for found, expected in zip(
        value_and_gradients(ours, states, weight, added),
        value_and_gradients(exact, states, weight, added),
        strict=True,
    ):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-4)


def test_a_sample_is_a_softmax_over_it_and_the_target():
    states, weight, added, targets = make(700)
    chances = torch.linspace(0.9, 0.2, 23)
    ours, words = sampled(states, weight, added, targets, chances, seed=1)
    assert 5 < len(words) < 23
    scores = F.linear(states, weight, added)
    open_NV = torch.full((700, 23), -torch.inf)
    open_NV[:, words] = -chances[words].log()
    open_NV.scatter_(1, targets[:, None], 0.0)
    expected = F.cross_entropy(scores + open_NV, targets, reduction="sum")
    for found, wanted in zip(
        value_and_gradients(ours, states, weight, added),
        value_and_gradients(expected, states, weight, added),
        strict=True,
    ):
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-4)


def test_samples_give_the_sum_over_the_vocabulary_on_average():
    """The exponential of a loss is the sum over the vocabulary, over the target's own term."""
    states, weight, added, targets = make(1)
    chances = torch.linspace(0.9, 0.2, 23)
    with torch.no_grad():
        exact = linear_cross_entropy(states, weight, added, targets).exp().item()
        found = [
            sampled(states, weight, added, targets, chances, seed=seed)[0].exp().item()
            for seed in range(3000)
        ]
    assert np.mean(found) == pytest.approx(exact, abs=5 * np.std(found) / 3000**0.5)
    assert np.std(found) > 0.05 * exact


def test_a_half_precision_sample_is_near():
    states, weight, added, targets = make(700)
    chances = torch.linspace(0.9, 0.2, 23)
    exact = value_and_gradients(
        sampled(states, weight, added, targets, chances, seed=1)[0], states, weight, added
    )
    half = states.detach().bfloat16().requires_grad_()
    near = value_and_gradients(
        sampled(half, weight, added, targets, chances, seed=1)[0], half, weight, added
    )
    for one, other in zip(exact, near, strict=True):
        assert (one - other).norm() < 0.02 * one.norm()
