import subprocess
import sys

import pytest
import torch

from headstart.errors import FormatError
from headstart.training import optimizers
from headstart.training.optimizers import (
    _named,
    adamw,
    load_state_tensors,
    muon,
    state_tensors,
)


def _model():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.LayerNorm(4), torch.nn.Linear(4, 1))


def _stepped(model, optimizer, steps=3):
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.ones(2, 3)).square().sum().backward()
        optimizer.step()


@pytest.fixture(autouse=True)
def own_stream():
    with torch.random.fork_rng(devices=[]):
        yield


def test_only_matrices_decay():
    model = _model()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer = adamw(model, learning_rate=0.1, weight_decay=0.5)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for name, parameter in model.named_parameters():
        assert torch.allclose(parameter, before[name] * (0.95 if parameter.ndim > 1 else 1.0))


def test_groups_keep_their_rates_and_frozen_parameters_stay_out():
    model = _model()
    model[2].bias.requires_grad_(False)
    groups = [{"params": model[0].parameters(), "lr": 0.5}, {"params": model[2].parameters()}]
    optimizer = adamw(groups, learning_rate=0.1, weight_decay=0.01)
    found = [(g["lr"], g["weight_decay"], len(g["params"])) for g in optimizer.param_groups]
    assert found == [(0.5, 0.01, 1), (0.5, 0.0, 1), (0.1, 0.01, 1)]


@pytest.mark.parametrize("name", ["Adam", "AdamW"])
def test_what_is_torchs_is_torchs_to_the_last_bit(name):
    ours, theirs = _model(), _model()
    settings = {"lr": 0.01, "weight_decay": 0.1, "fused": True}
    _stepped(ours, getattr(optimizers, name)(ours.parameters(), **settings))
    _stepped(theirs, getattr(torch.optim, name)(theirs.parameters(), **settings))
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(one, other)
        assert one.requires_grad


def test_training_does_not_import_the_compiler():
    """A second and a half of every process that trains."""
    code = """
import sys, torch
from headstart.training.loop import train
from headstart.training.optimizers import Adam, adamw, muon

model = torch.nn.Linear(3, 3)
for optimizer in (
    Adam(model.parameters(), fused=True), adamw(model, learning_rate=0.1),
    muon(model, learning_rate=0.1),
):
    loss = lambda batch: (model(batch).square().sum(), torch.tensor(1.0))
    for step in train([[torch.ones(2, 3)]] * 2, loss, optimizer, schedule=lambda step: 1.0):
        print(step.number)
sys.exit("torch._dynamo" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "2"] * 3


@pytest.mark.parametrize(("fast", "most"), [(True, 0.03), (False, 1e-5)])
def test_muon_makes_the_singular_values_of_an_update_about_equal(monkeypatch, fast, most):
    monkeypatch.setattr(optimizers, "has_fast_bf16", lambda device: fast)
    torch.manual_seed(0)
    layer = torch.nn.Linear(24, 12)
    before = layer.weight.detach().clone()
    gradient = torch.randn(12, 24)
    layer.weight.grad = gradient
    muon(layer, learning_rate=0.01, weight_decay=0.5, betas=(0.9, 0.99)).step()
    # by hand: the polynomial of each iteration meets the singular values, and nothing else
    u, values, v = torch.linalg.svd(gradient.double(), full_matrices=False)
    x = values / values.square().sum().sqrt()
    for _ in range(3):
        x = 3.4445 * x - 4.7750 * x**3 + 2.0315 * x**5
    expected = -0.01 * 0.2 * 24**0.5 * (u * x) @ v
    change = (layer.weight.detach() - before * (1 - 0.01 * 0.5)).double()
    assert (change - expected).norm() < most * expected.norm()


@pytest.mark.parametrize("shape", [(12, 24), (24, 12), (8, 8)])
def test_muon_is_torchs_where_bfloat16_is_fast(monkeypatch, shape):
    monkeypatch.setattr(optimizers, "has_fast_bf16", lambda device: True)
    torch.manual_seed(0)
    ours = torch.nn.Parameter(torch.randn(shape))
    theirs = torch.nn.Parameter(ours.detach().clone())
    own = optimizers.Muon([("a", ours)], learning_rate=0.01, weight_decay=0.1, momentum=0.9)
    torchs = torch.optim.Muon(
        [theirs], lr=0.01, weight_decay=0.1, momentum=0.9, ns_steps=3,
        adjust_lr_fn="match_rms_adamw",
    )  # fmt: skip
    for _ in range(3):
        ours.grad = torch.randn(shape)
        theirs.grad = ours.grad.clone()
        own.step()
        torchs.step()
        assert torch.equal(ours, theirs)


def test_muon_leaves_a_matrix_without_a_gradient_alone():
    matrix = torch.nn.Parameter(torch.ones(2, 3))
    optimizer = optimizers.Muon([("a", matrix)], learning_rate=1.0, weight_decay=1.0, momentum=0.9)
    optimizer.step()
    assert torch.equal(matrix, torch.ones(2, 3))
    assert state_tensors(optimizer) == {}


def test_muon_has_the_matrices_of_linear_layers_alone():
    model = torch.nn.Sequential(
        torch.nn.Embedding(5, 4),
        torch.nn.Linear(4, 3),
        torch.nn.LayerNorm(3),
        torch.nn.Linear(3, 2),
    )
    model[3].weight.requires_grad_(False)
    model(torch.arange(5)).square().sum().backward()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer = muon(model, learning_rate=0.1, weight_decay=0.0)
    optimizer.step()
    kinds = {name: type(part).__name__ for name, _, part in _named(optimizer)}
    assert [name for name, kind in kinds.items() if kind == "Muon"] == ["1.weight"]
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, before[name]) == (name == "3.weight"), name
    optimizer.zero_grad()
    assert all(
        parameter.grad is None for name, parameter in model.named_parameters() if name in kinds
    )


@pytest.mark.parametrize(
    ("make", "kept"),
    [
        (adamw, {"0.weight.exp_avg", "0.weight.exp_avg_sq", "0.weight.step"}),
        (muon, {"0.weight.momentum_buffer", "0.bias.exp_avg", "1.weight.exp_avg_sq"}),
    ],
)
def test_the_state_goes_to_tensors_and_back(make, kept):
    model, again = _model(), _model()
    optimizer, other = make(model, learning_rate=0.1), make(again, learning_rate=0.1)
    _stepped(model, optimizer)
    tensors = {name: each.clone() for name, each in state_tensors(optimizer).items()}
    assert kept < set(tensors)
    again.load_state_dict(model.state_dict())
    load_state_tensors(other, tensors, source="file")
    _stepped(model, optimizer)
    _stepped(again, other)
    for one, two in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, two)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.update({"0.weight.exp_avg": torch.zeros(4, 2)}), r"'0.weight.exp_avg'.*4, 3"),
        (lambda t: t.pop("2.bias.step"), "'2.bias.step' is missing"),
        (
            lambda t: t.update({"9.weight.step": torch.tensor(1.0)}),
            "unknown tensor '9.weight.step'",
        ),
        (lambda t: t.update({"0.weight.max": torch.tensor(1.0)}), "unknown tensor '0.weight.max'"),
    ],
)
def test_state_that_does_not_fit_is_named(change, message):
    model = _model()
    optimizer = adamw(model, learning_rate=0.1)
    _stepped(model, optimizer)
    tensors = state_tensors(optimizer)
    change(tensors)
    with pytest.raises(FormatError, match=f"file: .*{message}"):
        load_state_tensors(adamw(_model(), learning_rate=0.1), tensors, source="file")


def test_one_optimizers_state_does_not_fit_another():
    model = _model()
    optimizer = adamw(model, learning_rate=0.1)
    _stepped(model, optimizer)
    other = muon(_model(), learning_rate=0.1)
    with pytest.raises(FormatError, match=r"file: unknown tensor '0\.weight\.step'"):
        load_state_tensors(other, state_tensors(optimizer), source="file")
