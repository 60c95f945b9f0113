import pytest
import torch
from torch.nn import functional as F

from headstart.models.cross_entropy import linear_cross_entropy


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
