"""AdamW, and its state as tensors with the parameters' names.

Loshchilov and Hutter, "Decoupled Weight Decay Regularization", ICLR 2019
(https://arxiv.org/abs/1711.05101), with the bias correction that BERT's own program left out.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from headstart.errors import FormatError

_KINDS = ("step", "exp_avg", "exp_avg_sq")


def adamw(
    model_or_groups: nn.Module | Sequence[Mapping[str, Any]],
    *,
    learning_rate: float,
    weight_decay: float = 0.01,
    betas: tuple[float, float] = (0.9, 0.999),
) -> torch.optim.AdamW:
    """Return an AdamW that decays tensors of more than one dimension only, not biases and norms.

    Args:
        model_or_groups: A model, whose parameters that need no gradient are left out; or groups as
            torch takes them, each with its `params`, named ones or not, and its own `lr` or not.
        learning_rate: Of the groups without one.
        weight_decay: What is taken off the weights in a step, as a share, over the learning rate.
        betas: How much of the gradients' running mean and running square stays each step.
    """
    groups: Sequence[Mapping[str, Any]] = (
        [{"params": model_or_groups.named_parameters()}]
        if isinstance(model_or_groups, nn.Module)
        else model_or_groups
    )
    split: list[dict[str, Any]] = []
    for group in groups:
        entries = [each for each in group["params"] if _tensor(each).requires_grad]
        matrices = [each for each in entries if _tensor(each).ndim > 1]
        others = [each for each in entries if _tensor(each).ndim <= 1]
        for part, decay in ((matrices, weight_decay), (others, 0.0)):
            if part:
                split.append({**group, "params": part, "weight_decay": decay})
    tensors = [_tensor(each) for group in split for each in group["params"]]
    fused = all(t.is_floating_point() and t.device.type in {"cpu", "cuda"} for t in tensors)
    return torch.optim.AdamW(split, lr=learning_rate, betas=betas, fused=fused)


def _tensor(entry: Tensor | tuple[str, Tensor]) -> Tensor:
    return entry[1] if isinstance(entry, tuple) else entry


def _named(optimizer: torch.optim.Optimizer) -> Iterator[tuple[str, Tensor]]:
    for group in optimizer.param_groups:
        yield from zip(group["param_names"], group["params"], strict=True)


def state_tensors(optimizer: torch.optim.AdamW) -> dict[str, Tensor]:
    """Return the running means and step counts, as `embedding.weight.exp_avg` and the like.

    The optimizer must know its parameters' names, as one made for a model does.
    """
    return {
        f"{name}.{kind}": optimizer.state[parameter][kind]
        for name, parameter in _named(optimizer)
        if parameter in optimizer.state
        for kind in _KINDS
    }


def load_state_tensors(
    optimizer: torch.optim.AdamW, tensors: Mapping[str, Tensor], *, source: object
) -> None:
    """Give the optimizer the state that `state_tensors` returned.

    Args:
        optimizer: It must know its parameters' names.
        tensors: Read from `source`, which errors name.
        source: Where they were read.

    Raises:
        FormatError: A tensor is missing, unknown, or of another shape than its parameter.
    """
    parameters = dict(_named(optimizer))
    found: dict[str, dict[str, Tensor]] = {}
    for full_name, tensor in tensors.items():
        name, _, kind = full_name.rpartition(".")
        if name not in parameters or kind not in _KINDS:
            raise FormatError(f"{source}: unknown tensor {full_name!r}")
        expected = torch.Size() if kind == "step" else parameters[name].shape
        if tensor.shape != expected:
            raise FormatError(
                f"{source}: tensor {full_name!r} has shape {list(tensor.shape)}, "
                f"expected {list(expected)}"
            )
        found.setdefault(name, {})[kind] = tensor
    for name, state in found.items():
        missing = [kind for kind in _KINDS if kind not in state]
        if missing:
            raise FormatError(f"{source}: tensor '{name}.{missing[0]}' is missing")
        parameter = parameters[name]
        device = parameter.device if optimizer.defaults["fused"] else torch.device("cpu")
        optimizer.state[parameter] = {
            kind: tensor.to(device if kind == "step" else parameter.device)
            for kind, tensor in state.items()
        }
