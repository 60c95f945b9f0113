"""Data-parallel training: processes train one model, each on its share of every batch.

`torchrun` starts the processes and sets their ranks in the environment. They sum gradients, losses
and counts, so their steps equal those of a single process. The network between them is trusted.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

Value = TypeVar("Value")


def rank_and_size() -> tuple[int, int]:
    """Return this process's rank and the number of processes; 0 and 1 if it is alone."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


@contextmanager
def process_group() -> Iterator[None]:
    """Join the processes that `torchrun` started, over gloo, in this block.

    Without torchrun, with a single process, or inside another such block, this does nothing.
    """
    alone = int(os.environ.get("WORLD_SIZE", "1")) < 2
    if alone or dist.is_initialized():
        yield
        return
    dist.init_process_group("gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def sum_over_processes(parameters: Sequence[Tensor], numbers: Sequence[Tensor]) -> list[Tensor]:
    """Sum gradients in place over all processes, and return the sums of `numbers`.

    Everything is sent in one flat buffer. A gradient that no process has stays None.
    """
    if rank_and_size()[1] == 1:
        return list(numbers)
    device = parameters[0].device
    has_P = torch.tensor([float(p.grad is not None) for p in parameters], device=device)
    parts = [torch.stack([number.detach().float().to(device) for number in numbers]), has_P]
    parts += [(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in parameters]
    flat = torch.cat(parts)
    dist.all_reduce(flat)
    sums, has_P, *gradients = flat.split([len(part) for part in parts])
    for parameter, has, gradient in zip(parameters, has_P.tolist(), gradients, strict=True):
        parameter.grad = gradient.view_as(parameter) if has else None
    return list(sums)


def sum_numbers(*numbers: float) -> list[float]:
    """Return the sum of each number over all processes."""
    if rank_and_size()[1] == 1:
        return list(numbers)
    flat = torch.tensor(numbers, dtype=torch.float64)
    dist.all_reduce(flat)
    return flat.tolist()


def from_first(value: Value) -> Value:
    """Return the first process's value; the others wait for it."""
    if rank_and_size()[1] == 1:
        return value
    values = [value]
    dist.broadcast_object_list(values, src=0)
    return values[0]


def copy_from_first(tensors: Sequence[Tensor]) -> None:
    """Copy the first process's tensors to every process, in place."""
    if rank_and_size()[1] > 1:
        for tensor in tensors:
            dist.broadcast(tensor.detach(), src=0)
