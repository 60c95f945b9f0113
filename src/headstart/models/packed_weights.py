"""Weights laid out for the processor once, for reading many texts or writing many tokens."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

_PACKED_FOR = 4096  # rows of a product; the layout suits all sizes


def can_pack(weight: Tensor) -> bool:
    """Say whether a matrix can be laid out: on a CPU, where torch has its compiler's operator."""
    return weight.device.type == "cpu" and hasattr(torch.ops.mkldnn, "_linear_pointwise")


class PackedLinear(nn.Module):
    """A linear layer that learns nothing, its matrix laid out for products of so few rows.

    Args:
        weight: The matrix `[out, in]`, which `can_pack`.
        bias: What is added, if anything is.
        rows: Of a product.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, *, rows: int) -> None:
        super().__init__()
        self.weight = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), rows)
        self.bias = None if bias is None else bias.detach()

    def forward(self, x: Tensor) -> Tensor:
        """Return the product `[.., out]`, in the weight's type."""
        return _product(x, self.weight, self.bias)


class PackedWeights(TorchFunctionMode):
    """While it is entered, linear layers multiply in bfloat16 by weights that are laid out once.

    A plain product lays its matrix out anew each time, a tenth of the time that reading takes. A
    weight that changes is laid out again. Where gradients are wanted, without bfloat16 autocast, or
    where torch lacks the operator (which its own compiler uses), layers multiply as ever.
    """

    def __init__(self) -> None:
        super().__init__()
        self._packed: dict[int, _Packed] = {}

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - what the function returns
        if func is F.linear and not kwargs and len(args) == 3 and self._is_on(*args[:2]):
            x, weight, bias = args
            packed = self._lay_out(weight, bias)
            return _product(x.to(torch.bfloat16), packed.weight, packed.bias)
        return func(*args, **(kwargs or {}))

    def _is_on(self, x: Tensor, weight: Tensor) -> bool:
        return (
            not torch.is_grad_enabled()
            and x.device.type == "cpu"
            and can_pack(weight)
            and torch.is_autocast_enabled("cpu")
            and torch.get_autocast_dtype("cpu") == torch.bfloat16
        )

    def _lay_out(self, weight: Tensor, bias: Tensor | None) -> "_Packed":
        versions = [each if each is None else version(each) for each in (weight, bias)]
        packed = self._packed.get(id(weight))
        if packed is None or packed.versions != versions:
            weight_ND = weight.detach().to(torch.bfloat16)
            packed = _Packed(
                weight,
                versions,
                torch.ops.mkldnn._reorder_linear_weight(weight_ND, _PACKED_FOR),
                None if bias is None else bias.detach().to(torch.bfloat16),
            )
            self._packed[id(weight)] = packed
        return packed


class _Packed(NamedTuple):
    """A weight as it was given, which keeps its number from being used again, and laid out."""

    given: Tensor
    versions: list[int | None]
    weight: Tensor
    bias: Tensor | None


def _product(x: Tensor, packed: Tensor, bias: Tensor | None) -> Tensor:
    product: Tensor = torch.ops.mkldnn._linear_pointwise(x, packed, bias, "none", [], "")
    return product


def version(tensor: Tensor) -> int:
    """Return how often a tensor was changed in place; one of inference is never."""
    return 0 if tensor.is_inference() else tensor._version
