"""The one training loop: a generator of steps.

It computes a loss, stops on bad numbers before any weight is touched, and updates. Whoever iterates
decides when to evaluate, keep the best weights, report, or end.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from headstart.errors import NonFiniteError

Batch = TypeVar("Batch")


@dataclass(frozen=True)
class Step:
    """One update: its number, from 1, and the mean loss of its batch before the update."""

    number: int
    loss: float


def train(
    batches: Iterable[Batch],
    compute_loss: Callable[[Batch], tuple[Tensor, Tensor]],
    optimizer: torch.optim.Optimizer,
    *,
    schedule: Callable[[int], float],
    max_norm: float = 1.0,
) -> Iterator[Step]:
    """Train on each batch in turn, yielding after every update.

    Args:
        batches: What `compute_loss` takes; the loop ends when they do.
        compute_loss: Returns the loss of a batch as `(sum, count)`.
        optimizer: Its groups' learning rates are multiplied by the schedule.
        schedule: The factor for step 1, 2, ..
        max_norm: Gradients are scaled down to this norm, in L2, over all parameters.

    Raises:
        NonFiniteError: A loss or gradient is infinite or not a number; no weight has changed.
    """
    base_rates = [group["lr"] for group in optimizer.param_groups]
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for number, batch in enumerate(batches, start=1):
        total, count = compute_loss(batch)
        loss = total / count
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(parameters, max_norm)
        value = loss.item()
        if not (torch.isfinite(norm).item() and torch.isfinite(loss.detach()).item()):
            raise NonFiniteError(
                f"step {number}: loss {value}, gradient norm {norm.item()}; "
                "the weights are as before the step; try a lower learning rate"
            )
        for group, rate in zip(optimizer.param_groups, base_rates, strict=True):
            group["lr"] = rate * schedule(number)
        optimizer.step()
        yield Step(number, value)
