import pytest
import torch
from torch import nn

from headstart.models.packed_weights import PackedLinear, PackedWeights, can_pack
from headstart.training.precision import has_fast_bf16

fast = pytest.mark.skipif(
    not has_fast_bf16(torch.device("cpu")), reason="this processor has no bfloat16 products"
)


def bf16():
    return torch.autocast("cpu", torch.bfloat16)


@pytest.fixture
def layer():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Linear(40, 24)


@pytest.fixture
def packed_products(monkeypatch):
    """Count the products by weights that are laid out."""
    calls = []
    lay_out = PackedWeights._lay_out

    def counted(self, weight, bias):
        calls.append(weight)
        return lay_out(self, weight, bias)

    monkeypatch.setattr(PackedWeights, "_lay_out", counted)
    return calls


@fast
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(1, 40), (3, 5, 40), (5000, 40), (0, 40)])
def test_products_are_the_same_to_the_last_bit(shape, bias, layer, packed_products):
    if not bias:
        layer.bias = None
    x = torch.linspace(-2, 2, max(1, 40 * shape[0])).repeat(shape[-2])[: torch.Size(shape).numel()]
    x = x.view(shape)
    with torch.inference_mode(), bf16():
        expected = layer(x)
        with PackedWeights():
            found = [layer(x), layer(x)]
    assert len(packed_products) == 2
    for each in found:
        assert each.dtype == torch.bfloat16
        assert torch.equal(each, expected)


@fast
def test_a_weight_that_changes_is_laid_out_again(layer):
    x = torch.ones(3, 40)
    with torch.no_grad(), bf16(), PackedWeights():
        before = layer(x)
        layer.weight.mul_(2)
        layer.bias.mul_(2)
        assert torch.equal(layer(x), 2 * before)
        layer.bias.zero_()
        assert torch.equal(layer(0 * x), torch.zeros_like(before))


def test_gradients_and_exact_products_are_as_ever(layer, packed_products):
    x = torch.ones(3, 40)
    with PackedWeights():
        with bf16():
            layer(x).sum().backward()
        with torch.inference_mode():
            exact = layer(x)
    assert layer.weight.grad is not None
    assert exact.dtype == torch.float32
    assert not packed_products


@fast
def test_a_torch_without_the_operator_multiplies_as_ever(layer, packed_products, monkeypatch):
    monkeypatch.setattr(torch.ops, "mkldnn", object())
    x = torch.ones(3, 40)
    with torch.inference_mode(), bf16(), PackedWeights():
        assert layer(x).dtype == torch.bfloat16
    assert not packed_products


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(1, 40), (16, 1, 40), (3, 5, 40), (0, 40)])
def test_a_layer_that_is_laid_out_computes_what_it_did(shape, bias, layer):
    if not bias:
        layer.bias = None
    assert can_pack(layer.weight)
    packed = PackedLinear(layer.weight, layer.bias, rows=16)
    x = torch.linspace(-2, 2, max(1, torch.Size(shape).numel()))[: torch.Size(shape).numel()]
    found = packed(x.view(shape))
    assert not found.requires_grad
    torch.testing.assert_close(found, layer(x.view(shape)).detach(), atol=1e-5, rtol=1e-5)
