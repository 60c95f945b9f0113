import pytest
import torch

from headstart.errors import NonFiniteError
from headstart.training.loop import train
from headstart.training.schedules import warm_up, warm_up_then_decay


def _least_squares(weight, batches, rate=0.1, **options):
    optimizer = torch.optim.SGD([weight], lr=rate)

    def loss(batch):
        x, y = batch
        return ((x @ weight - y) ** 2).sum(), torch.tensor(len(x))

    return train(batches, loss, optimizer, **{"schedule": lambda _: 1.0, **options})


def test_it_learns_and_counts():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(64, 2, generator=generator)
    weight = torch.zeros(2, requires_grad=True)
    steps = list(_least_squares(weight, [(x, x @ torch.tensor([1.0, -2.0]))] * 200, rate=0.2))
    assert [step.number for step in steps] == list(range(1, 201))
    assert steps[-1].loss < 1e-6 < steps[0].loss
    assert torch.allclose(weight, torch.tensor([1.0, -2.0]), atol=1e-3)


def test_the_schedule_and_the_clipping_set_the_step():
    weight = torch.zeros(2, requires_grad=True)
    batch = (torch.eye(2), torch.tensor([300.0, 400.0]))
    next(_least_squares(weight, [batch], schedule=lambda _: 0.5))
    assert torch.allclose(
        weight, 0.05 * torch.tensor([0.6, 0.8])
    )  # the gradient's norm is cut to 1


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_bad_numbers_stop_before_the_weights_change(bad):
    weight = torch.ones(2, requires_grad=True)
    batches = [(torch.eye(2), torch.ones(2)), (torch.eye(2), torch.tensor([bad, 0.0]))]
    steps = _least_squares(weight, batches)
    next(steps)
    before = weight.detach().clone()
    with pytest.raises(NonFiniteError, match="step 2"):
        next(steps)
    assert torch.equal(weight, before)


def test_schedules():
    assert [warm_up(step, 4) for step in (1, 2, 4, 9)] == [0.25, 0.5, 1.0, 1.0]
    decayed = [warm_up_then_decay(step, 10, 2) for step in range(1, 11)]
    assert decayed[0] == 0.5
    assert max(decayed) == decayed[1] == 0.9
    assert decayed[-1] == pytest.approx(0.1)
