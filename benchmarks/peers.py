"""Training with transformers; runs in the peers' interpreter."""

import itertools
import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

os.environ.setdefault("HF_HUB_OFFLINE", "1")
Arrays = Mapping[str, NDArray[np.int64]]


def as_tensors(arrays: Arrays) -> dict[str, "torch.Tensor"]:
    """Return a batch as tensors for a transformers model."""
    import torch

    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def at_start(model: Any, batch: Mapping[str, Any]) -> tuple[float, float]:  # noqa: ANN401
    """Return the loss of a batch without dropout and its gradient norm, without training."""
    import torch

    model.eval()
    loss = model(**batch).loss
    loss.backward()
    norm = torch.nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None])
    model.zero_grad(set_to_none=True)
    model.train()
    return float(loss.detach()), float(norm)


def trainer(
    model: Any,  # noqa: ANN401 - of transformers
    *,
    bf16: bool = False,
    compiled: bool = False,
    fused: bool = False,
    rate: float = 1e-4,
    rise: Callable[[int], float] = lambda step: 1.0,
) -> Callable[[Sequence[Mapping[str, Any]]], None]:
    """Return a function that trains the model on batches; AdamW at `rate * rise(step)`."""
    import torch

    optimizer = torch.optim.AdamW(
        model.parameters(), lr=rate, weight_decay=0.01, fused=fused or None
    )
    numbers = itertools.count(1)
    forward = torch.compile(model) if compiled else model
    model.train()

    def train(batches: Sequence[Mapping[str, Any]]) -> None:
        for batch in batches:
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                loss = forward(**batch).loss
            loss.backward()
            optimizer.param_groups[0]["lr"] = rate * rise(next(numbers))
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    return train


def by_length(
    lengths: NDArray[np.int64], size: int, random: np.random.Generator
) -> list[NDArray[np.int64]]:
    """Return batches as transformers' `group_by_length` draws them, sorted in pools of 50."""
    order, batches = random.permutation(len(lengths)), []
    for start in range(0, len(order), 50 * size):
        pool = order[start : start + 50 * size]
        pool = pool[np.argsort(-lengths[pool], kind="stable")]
        batches += [pool[at : at + size] for at in range(0, len(pool), size)]
    return batches
