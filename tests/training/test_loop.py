from types import SimpleNamespace

import pytest
import torch

from headstart.errors import NonFiniteError
from headstart.training import loop
from headstart.training.loop import train
from headstart.training.optimizers import adamw


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
    steps = list(_least_squares(weight, [[(x, x @ torch.tensor([1.0, -2.0]))]] * 200, rate=0.2))
    assert [step.number for step in steps] == list(range(1, 201))
    assert steps[-1].loss < 1e-6 < steps[0].loss
    assert torch.allclose(weight, torch.tensor([1.0, -2.0]), atol=1e-3)


def test_the_schedule_and_the_clipping_set_the_step():
    weight = torch.zeros(2, requires_grad=True)
    batch = (torch.eye(2), torch.tensor([300.0, 400.0]))
    step = next(_least_squares(weight, [[batch]], schedule=lambda _: 0.5))
    assert step.norm == pytest.approx(500.0)
    assert step.rate == 0.05
    assert torch.allclose(
        weight, 0.05 * torch.tensor([0.6, 0.8])
    )  # the gradient's norm is cut to 1


def test_whoever_laid_weights_out_sees_that_they_changed():
    weight = torch.zeros(2, requires_grad=True)
    optimizer = adamw([{"params": [weight]}], learning_rate=0.1)
    batch = (torch.eye(2), torch.ones(2))
    loss = lambda batch: (((batch[0] @ weight - batch[1]) ** 2).sum(), torch.tensor(2))  # noqa: E731
    before = weight._version
    next(train([[batch]], loss, optimizer, schedule=lambda _: 1.0))
    assert weight.any()
    assert weight._version > before


def test_a_loop_that_was_broken_off_goes_on_at_the_same_rates():
    weight = torch.zeros(2, requires_grad=True)
    optimizer, batch = torch.optim.SGD([weight], lr=0.1), (torch.eye(2), torch.ones(2))

    def go_on(first):
        loss = lambda batch: (((batch[0] @ weight - batch[1]) ** 2).sum(), torch.tensor(2))  # noqa: E731
        schedule = lambda number: 1 / number  # noqa: E731
        return next(train([[batch]], loss, optimizer, schedule=schedule, first_step=first)).rate

    assert [go_on(number) for number in (1, 2, 4)] == pytest.approx([0.1, 0.05, 0.025])


def test_steps_are_counted_on_from_the_first():
    asked = []

    def schedule(number):
        asked.append(number)
        return 1.0

    batches = [[(torch.eye(2), torch.ones(2))]] * 2
    weight = torch.zeros(2, requires_grad=True)
    steps = _least_squares(weight, batches, schedule=schedule, first_step=8)
    assert [step.number for step in steps] == asked == [8, 9]


@pytest.mark.parametrize("cuts", [(8, 16), (1, 2, 3), (20,)])
@pytest.mark.parametrize("max_norm", [0.01, 100.0])
def test_splitting_a_batch_changes_nothing(cuts, max_norm):
    x = torch.randn(24, 3, generator=torch.Generator().manual_seed(1))
    y = x.sum(1)

    def trained(batch):
        weight = torch.zeros(3, requires_grad=True)
        steps = list(_least_squares(weight, [batch] * 5, max_norm=max_norm))
        return weight.detach(), [step.loss for step in steps], [step.norm for step in steps]

    parts = list(zip(x.tensor_split(cuts), y.tensor_split(cuts), strict=True))
    for whole, split in zip(trained([(x, y)]), trained(parts), strict=True):
        assert split == pytest.approx(whole, rel=1e-6, abs=1e-6)


def test_a_batch_with_nothing_to_predict_is_no_error():
    weight = torch.ones(2, requires_grad=True)
    steps = list(_least_squares(weight, [[(torch.zeros(0, 2), torch.zeros(0))]]))
    assert steps[0].loss == 0.0
    assert torch.equal(weight.detach(), torch.ones(2))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_bad_numbers_stop_before_the_weights_change(bad):
    weight = torch.ones(2, requires_grad=True)
    batches = [[(torch.eye(2), torch.ones(2))], [(torch.eye(2), torch.tensor([bad, 0.0]))]]
    steps = _least_squares(weight, batches)
    next(steps)
    before = weight.detach().clone()
    with pytest.raises(NonFiniteError, match="step 2"):
        next(steps)
    assert torch.equal(weight, before)


class _Documents:
    def __init__(self, name, value):
        self.name, self.value = name, value

    def describe(self):
        return f"documents {self.name}"


def _named_batches(compute_loss, values):
    model = torch.nn.Linear(1, 1)
    optimizer = adamw(model, learning_rate=0.1)
    batch = [_Documents(name, value) for name, value in values.items()]
    return train([batch], lambda each: compute_loss(model, each), optimizer, schedule=lambda _: 1)


def test_bad_numbers_name_their_batch_and_tensor():
    def loss(model, batch):
        return (model(torch.tensor([[batch.value]])) ** 2).sum(), torch.tensor(1)

    with pytest.raises(NonFiniteError, match=r"step 1: .*first at weight\) in documents 7, 9;"):
        next(_named_batches(loss, {"1, 2": 1.0, "7, 9": float("nan"), "4": 0.0}))


def test_a_bad_gradient_of_a_good_loss_stops_too():
    def loss(model, batch):
        return torch.sqrt(0.0 * model(torch.tensor([[batch.value]])).abs()).sum(), torch.tensor(1)

    with pytest.raises(NonFiniteError, match=r"loss 0.0, gradient norm nan .* in documents 5;"):
        next(_named_batches(loss, {"5": 1.0}))


def test_a_seed_makes_each_step_draw_its_own_numbers_again():
    def drawn(first_step, seed):
        numbers = []

        def loss(batch):
            numbers.append(torch.rand(()).item())
            return (weight * batch).sum(), torch.tensor(1)

        weight = torch.zeros(2, requires_grad=True)
        batches = [[torch.ones(2)]] * (6 - first_step)
        optimizer = torch.optim.SGD([weight], lr=0.1)
        with torch.random.fork_rng(devices=[]):
            list(train(batches, loss, optimizer, schedule=lambda _: 1.0, first_step=first_step,
                       seed=seed))  # fmt: skip
        return numbers

    assert drawn(1, seed=0)[2:] == drawn(3, seed=0)
    assert len({*drawn(1, seed=0), *drawn(1, seed=1)}) == 10


def test_the_streams_of_all_gpus_that_hold_parameters_are_seeded(monkeypatch):
    streams = [torch.Generator() for _ in range(3)]
    monkeypatch.setattr(torch.cuda, "default_generators", streams)
    on = [SimpleNamespace(is_cuda=True, device=torch.device("cuda", at)) for at in (1, 2, 1)]
    before = streams[0].initial_seed()
    with torch.random.fork_rng(devices=[]):
        loop._seed_streams(7, [torch.zeros(1), *on])
    assert [each.initial_seed() for each in streams] == [before, 7, 7]


def test_without_a_seed_the_global_stream_is_left_alone():
    before = torch.get_rng_state()
    list(_least_squares(torch.zeros(2, requires_grad=True), [[(torch.eye(2), torch.ones(2))]]))
    assert torch.equal(torch.get_rng_state(), before)
