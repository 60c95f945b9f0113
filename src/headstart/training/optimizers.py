"""AdamW and Muon, and their state as tensors named after the parameters.

Loshchilov and Hutter, "Decoupled Weight Decay Regularization", ICLR 2019
(https://arxiv.org/abs/1711.05101), with the bias correction that BERT's own code omits.
Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024
(https://kellerjordan.github.io/posts/muon/).
"""

import inspect
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn

from headstart.errors import FormatError
from headstart.training.precision import has_fast_bf16

_ITERATIONS = 3  # of Newton-Schulz: five cost more and learn no more per step
_POLYNOMIAL = (3.4445, -4.7750, 2.0315)
_LEAST_NORM = 1e-7
_MUONS_SIZE = 0.2  # root mean square of AdamW's updates
OptimizerName = Literal["adamw", "muon"]


class _Eager(torch.optim.Optimizer):
    """An optimizer that does not import torch's compiler, which takes as long as importing torch.

    torch wraps these methods to hide them from the compiler, and a wrapper imports it when called.
    """

    add_param_group = inspect.unwrap(torch.optim.Optimizer.add_param_group)
    zero_grad = inspect.unwrap(torch.optim.Optimizer.zero_grad)


class Adam(_Eager, torch.optim.Adam):
    """torch's Adam, bit for bit."""

    step = torch.no_grad()(inspect.unwrap(torch.optim.Adam.step))


class AdamW(_Eager, torch.optim.AdamW):
    """torch's AdamW, bit for bit."""

    step = torch.no_grad()(inspect.unwrap(torch.optim.AdamW.step))


class Muon(_Eager):
    """Momentum whose update of each matrix is made nearly orthogonal.

    It equals torch's Muon bit for bit where bfloat16 is fast. Elsewhere it multiplies in float32:
    torch's uses bfloat16 everywhere, which takes thirty times as long on a CPU without it.

    Args:
        matrices: Each with its name.
        learning_rate: The same as AdamW's, whose updates are as large.
        weight_decay: A step shrinks the matrices by this share, times the learning rate.
        momentum: Decay rate of the gradients' running mean.
    """

    def __init__(
        self,
        matrices: Iterable[tuple[str, Tensor]],
        *,
        learning_rate: float,
        weight_decay: float,
        momentum: float,
    ) -> None:
        defaults = {"lr": learning_rate, "weight_decay": weight_decay, "momentum": momentum}
        super().__init__(matrices, defaults)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # noqa: ARG002 - torch's
        """Update all matrices that have a gradient."""
        for group in self.param_groups:
            rate, momentum = group["lr"], group["momentum"]
            for matrix in group["params"]:
                if matrix.grad is None:
                    continue
                state = self.state[matrix]
                if "momentum_buffer" not in state:
                    state["momentum_buffer"] = torch.zeros_like(matrix.grad)
                mean = state["momentum_buffer"].lerp_(matrix.grad, 1 - momentum)
                update = orthogonal(matrix.grad.lerp(mean, momentum))  # Nesterov momentum
                matrix.mul_(1 - rate * group["weight_decay"])
                matrix.add_(update, alpha=-rate * (_MUONS_SIZE * math.sqrt(max(matrix.shape))))


def orthogonal(matrix: Tensor) -> Tensor:
    """Return a matrix `[rows, columns]` with the same singular vectors and singular values near 1.

    It uses Newton-Schulz iterations with Jordan's polynomial, which needs few of them.
    """
    x = matrix.to(torch.bfloat16 if has_fast_bf16(matrix.device) else torch.float32)
    if tall := len(x) > x.shape[1]:
        x = x.T
    x = x / x.norm().clamp(min=_LEAST_NORM)
    first, third, fifth = _POLYNOMIAL
    for _ in range(_ITERATIONS):
        square = x @ x.T
        change = torch.addmm(square, square, square, beta=third, alpha=fifth)
        x = torch.addmm(x, change, x, beta=first)
    return x.T if tall else x


_KINDS: dict[type, tuple[str, ...]] = {  # of the tensors in an optimizer's state
    AdamW: ("step", "exp_avg", "exp_avg_sq"),
    Muon: ("momentum_buffer",),
}


class Together:
    """Optimizers of different parameters that step as one."""

    def __init__(self, *parts: torch.optim.Optimizer) -> None:
        self.parts = parts

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The parameter groups of all parts."""
        return [group for part in self.parts for group in part.param_groups]

    def zero_grad(self, *, set_to_none: bool = True) -> None:
        """Reset the gradients of all parameters."""
        for part in self.parts:
            part.zero_grad(set_to_none=set_to_none)

    def step(self) -> None:
        """Update all parameters."""
        for part in self.parts:
            part.step()


Optimizer: TypeAlias = torch.optim.Optimizer | Together


def adamw(
    model_or_groups: nn.Module | Sequence[Mapping[str, Any]],
    *,
    learning_rate: float,
    weight_decay: float = 0.01,
    betas: tuple[float, float] = (0.9, 0.999),
) -> AdamW:
    """Return an AdamW that decays only tensors of more than one dimension, not biases and norms.

    Args:
        model_or_groups: A model, or parameter groups as torch takes them, each with `params`, named
            or not, and optionally its own `lr`. Parameters that need no gradient are left out.
        learning_rate: For groups without their own.
        weight_decay: A step shrinks the weights by this share, times the learning rate.
        betas: Decay rates of the running means of the gradients and of their squares.
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
    return AdamW(split, lr=learning_rate, betas=betas, fused=fused)


def muon(
    model: nn.Module,
    *,
    learning_rate: float,
    weight_decay: float = 0.01,
    betas: tuple[float, float] = (0.9, 0.999),
) -> Together:
    """Return Muon for the matrices of a model's linear layers, with AdamW for all else.

    Muon makes the singular values of a matrix's update about equal, so that no direction is
    neglected: a model learns as much in fewer steps, each of which takes a little longer. Its
    updates are as large as AdamW's (Liu et al., "Muon is Scalable for LLM Training", 2025, section
    2.2, https://arxiv.org/abs/2502.16982), so one learning rate works for both.

    Args:
        model: Its parameters that need no gradient are left out.
        learning_rate: For both optimizers.
        weight_decay: A step shrinks matrices by this share, times the learning rate.
        betas: AdamW's; the first is also Muon's momentum.
    """
    linear = {id(each.weight) for each in model.modules() if isinstance(each, nn.Linear)}
    trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    matrices = [(name, p) for name, p in trained if id(p) in linear]
    others = [(name, p) for name, p in trained if id(p) not in linear]
    return Together(
        Muon(
            matrices,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            momentum=betas[0],
        ),
        adamw(
            [{"params": others}],
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            betas=betas,
        ),
    )


OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {"adamw": adamw, "muon": muon}


def _tensor(entry: Tensor | tuple[str, Tensor]) -> Tensor:
    return entry[1] if isinstance(entry, tuple) else entry


def _named(optimizer: Optimizer) -> Iterator[tuple[str, Tensor, torch.optim.Optimizer]]:
    """Yield each parameter's name, the parameter, and the optimizer that holds its state."""
    for part in optimizer.parts if isinstance(optimizer, Together) else (optimizer,):
        for group in part.param_groups:
            for name, parameter in zip(group["param_names"], group["params"], strict=True):
                yield name, parameter, part


def state_tensors(optimizer: Optimizer) -> dict[str, Tensor]:
    """Return the running means and step counts, with names like `embedding.weight.exp_avg`.

    The optimizer must know its parameters' names, as one created from a model does.
    """
    return {
        f"{name}.{kind}": part.state[parameter][kind]
        for name, parameter, part in _named(optimizer)
        if parameter in part.state
        for kind in _KINDS[type(part)]
    }


def load_state_tensors(
    optimizer: Optimizer, tensors: Mapping[str, Tensor], *, source: object
) -> None:
    """Load the state that `state_tensors` returned into the optimizer.

    Args:
        optimizer: It must know its parameters' names.
        tensors: The state.
        source: Where it was read from, for error messages.

    Raises:
        FormatError: A tensor is missing, unknown, or of another shape than its parameter.
    """
    parameters = {name: (parameter, part) for name, parameter, part in _named(optimizer)}
    found: dict[str, dict[str, Tensor]] = {}
    for full_name, tensor in tensors.items():
        name, _, kind = full_name.rpartition(".")
        if name not in parameters or kind not in _KINDS[type(parameters[name][1])]:
            raise FormatError(f"{source}: unknown tensor {full_name!r}")
        expected = torch.Size() if kind == "step" else parameters[name][0].shape
        if tensor.shape != expected:
            raise FormatError(
                f"{source}: tensor {full_name!r} has shape {list(tensor.shape)}, "
                f"expected {list(expected)}"
            )
        found.setdefault(name, {})[kind] = tensor
    for name, state in found.items():
        parameter, part = parameters[name]
        missing = [kind for kind in _KINDS[type(part)] if kind not in state]
        if missing:
            raise FormatError(f"{source}: tensor '{name}.{missing[0]}' is missing")
        device = parameter.device if part.defaults.get("fused") else torch.device("cpu")
        part.state[parameter] = {
            kind: tensor.to(device if kind == "step" else parameter.device)
            for kind, tensor in state.items()
        }
