"""The one training loop: a generator of steps.

It computes a loss, stops on non-finite numbers before any weight changes, and updates the weights.
The caller decides when to evaluate, keep the best weights, save, report, or stop.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor
from torch.autograd.graph import increment_version

from headstart.devices import reuse_freed_memory
from headstart.errors import NonFiniteError
from headstart.seeds import derive
from headstart.training.distributed import rank_and_size, sum_over_processes
from headstart.training.optimizers import Optimizer

Batch = TypeVar("Batch")


@dataclass(frozen=True)
class Step:
    """One update.

    Attributes:
        number: The step's number, from 1.
        loss: The mean loss of its batch before the update.
        norm: The gradient's L2 norm before clipping.
        rate: The learning rate of the optimizer's first group.
        odd: What is wrong or unusual about its loss or gradient; empty if nothing is.
        skipped: Whether the batch was skipped, for non-finite numbers or an unusual loss.
    """

    number: int
    loss: float
    norm: float
    rate: float
    odd: str = ""
    skipped: bool = False


@dataclass(frozen=True)
class Guard:
    """Decides about harmful batches; by default, any non-finite number ends training.

    Attributes:
        odd: Takes a finite loss; returns what is unusual about it, or an empty string.
        skip: Takes a description of a batch with non-finite numbers or an unusual loss; returns
            whether to skip it. An unusual batch that is not skipped is trained on.
    """

    odd: Callable[[float], str] = lambda _loss: ""
    skip: Callable[[str], bool] = lambda _message: False


_UNGUARDED = Guard()


def train(
    batches: Iterable[Sequence[Batch]],
    compute_loss: Callable[[Batch], tuple[Tensor, Tensor]],
    optimizer: Optimizer,
    *,
    schedule: Callable[[int], float],
    max_norm: float = 1.0,
    first_step: int = 1,
    seed: int | None = None,
    guard: Guard = _UNGUARDED,
) -> Iterator[Step]:
    """Train on each batch in turn, yielding after every update.

    Gradients of summed losses accumulate over the micro-batches of a batch, and over the processes
    of `distributed`, before they are divided by the count: the split of a batch has no effect.

    Args:
        batches: The micro-batches of each batch; the loop ends when there are no more batches.
        compute_loss: Returns the loss of a micro-batch as `(sum, count)`.
        optimizer: Its groups' learning rates are multiplied by the schedule.
        schedule: The factor for the given step; called after the gradients are computed.
        max_norm: Gradients are clipped to this L2 norm over all parameters.
        first_step: The number of the first step.
        seed: Seeds torch's global random stream at each step, from the seed, the step and the
            process, so that a resumed run drops the same units; None leaves the stream alone.
        guard: Decides about harmful batches.

    Raises:
        NonFiniteError: A loss or gradient is infinite or NaN; no weight has changed. The message
            names the micro-batches at fault if they have `describe()`.
    """
    reuse_freed_memory()
    rank, _ = rank_and_size()
    base_rates = [group["lr"] for group in optimizer.param_groups]
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for number, micro_batches in enumerate(batches, start=first_step):
        if seed is not None:
            _seed_streams(derive(seed, "step", number, rank), parameters)
        optimizer.zero_grad(set_to_none=True)
        sums, counts = [], []
        for micro_batch in micro_batches:
            loss_sum, count = compute_loss(micro_batch)
            loss_sum.backward()
            sums.append(loss_sum.detach())
            counts.append(count)
        totals = [
            sum(each, torch.zeros(())) for each in (sums, counts)
        ]  # this process may have none
        total, count = sum_over_processes(parameters, totals)
        count = torch.where(count > 0, count, 1)  # a batch may hold nothing to predict
        gradients = [p.grad for p in parameters if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients) / count
        mean_loss, size = (total / count).item(), norm.item()
        finite = math.isfinite(mean_loss) and math.isfinite(size)
        wrong = guard.odd(mean_loss) if finite else f"loss {mean_loss}, gradient norm {size}"
        skipped = False
        if wrong:
            bad = f"step {number:,}: {wrong}{_place(optimizer, micro_batches, sums)}"
            skipped = guard.skip(bad)
            if not (finite or skipped):
                raise NonFiniteError(f"{bad}; the weights are unchanged; try a lower learning rate")
        at_rate = schedule(number)
        for group, rate in zip(optimizer.param_groups, base_rates, strict=True):
            group["lr"] = rate * at_rate
        if not skipped:
            factor = (max_norm / (norm + 1e-6)).clamp(max=1.0) / count
            torch._foreach_mul_(gradients, factor.cpu())  # a scalar on the CPU works on any device
            optimizer.step()
            increment_version(parameters)  # fused steps do not; packed weights check it
        for group, rate in zip(optimizer.param_groups, base_rates, strict=True):
            group["lr"] = rate  # so that a caller may leave this loop and start another
        yield Step(number, mean_loss, size, base_rates[0] * at_rate, wrong, skipped)


def streams_restored(device: torch.device) -> AbstractContextManager[None]:
    """Restore torch's global random streams after training on this device."""
    return torch.random.fork_rng([device] if device.type == "cuda" else [])


def _seed_streams(seed: int, parameters: Sequence[Tensor]) -> None:
    """Seed the streams that training draws from; `torch.manual_seed` would take a millisecond."""
    torch.default_generator.manual_seed(seed)
    for device in {parameter.device for parameter in parameters if parameter.is_cuda}:
        torch.cuda.default_generators[device.index].manual_seed(seed)  # whichever is current


def _place(optimizer: Optimizer, micro_batches: Sequence[object], sums: Sequence[Tensor]) -> str:
    """Describe where bad numbers are: the first bad gradient, and the batches of bad losses."""
    place = ""
    for group in optimizer.param_groups:
        for name, parameter in zip(group.get("param_names", ()), group["params"], strict=False):
            gradient = parameter.grad
            if not place and gradient is not None and not torch.isfinite(gradient).all():
                place = f" (first at {name})"
    bad = [each for each, total in zip(micro_batches, sums, strict=True) if not total.isfinite()]
    described = [str(each.describe()) for each in bad or micro_batches if hasattr(each, "describe")]
    return f"{place} in {'; '.join(described)}" if described else place
