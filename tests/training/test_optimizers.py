import pytest
import torch

from headstart.errors import FormatError
from headstart.training.optimizers import adamw, load_state_tensors, state_tensors


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


def test_the_state_goes_to_tensors_and_back():
    model, again = _model(), _model()
    optimizer, other = adamw(model, learning_rate=0.1), adamw(again, learning_rate=0.1)
    _stepped(model, optimizer)
    tensors = {name: each.clone() for name, each in state_tensors(optimizer).items()}
    assert {"0.weight.exp_avg", "0.weight.exp_avg_sq", "0.weight.step"} < set(tensors)
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
