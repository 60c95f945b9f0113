"""Weights packed for the CPU once, to encode many texts or generate many tokens.

Shapes: N outputs and D inputs of a linear layer.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

_PACKED_FOR = 4096  # rows of a product; the layout works for all sizes


def can_pack(weight: Tensor) -> bool:
    """Return whether a matrix can be packed: on a CPU, if torch has its compiler's operator."""
    return weight.device.type == "cpu" and hasattr(torch.ops.mkldnn, "_linear_pointwise")


class PackedLinear(nn.Module):
    """A linear layer that is not trained, with its matrix packed for products of few rows.

    Args:
        weight: The matrix `[out, in]`, for which `can_pack` is true.
        bias: The bias, if there is one.
        rows: Number of rows of a product.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, *, rows: int) -> None:
        super().__init__()
        self.weight = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), rows)
        self.bias = None if bias is None else bias.detach()

    def forward(self, x: Tensor) -> Tensor:
        """Return the product `[.., out]`, in the weight's type."""
        return _product(x, self.weight, self.bias)


class PackedWeights(TorchFunctionMode):
    """In this block, linear layers multiply in bfloat16 by weights that are packed only once.

    A plain product packs its matrix again each time, which takes a tenth of the encoding time. A
    weight that changes is packed again. With gradients, without bfloat16 autocast, or if torch
    lacks the operator (which its own compiler uses), layers multiply as usual.
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
    """A packed weight with the original, which is kept so that its `id` is not reused."""

    given: Tensor
    versions: list[int | None]
    weight: Tensor
    bias: Tensor | None


def _product(x: Tensor, packed: Tensor, bias: Tensor | None) -> Tensor:
    product: Tensor = torch.ops.mkldnn._linear_pointwise(x, packed, bias, "none", [], "")
    return product


def version(tensor: Tensor) -> int:
    """Return how often a tensor was changed in place; 0 for inference tensors."""
    return 0 if tensor.is_inference() else tensor._version
