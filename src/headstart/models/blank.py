"""Create modules whose weights have shapes but no values; the values will come from a file."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


@contextmanager
def blank_weights() -> Iterator[None]:
    """Create modules on torch's "meta" device in this block, without drawing random numbers.

    Example:
        >>> with blank_weights():
        ...     torch.nn.Embedding(10, 4).weight.device
        device(type='meta')
    """
    with torch.device("meta"), _NoNumbers():
        yield


class _NoNumbers(TorchFunctionMode):
    """Skip draws and divisions: on "meta", the first one imports torch's compiler or sympy."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - what torch returns
        del types
        given = kwargs or {}
        if func in (Tensor.normal_, Tensor.div_, nn.init.normal_):
            return given["tensor"] if "tensor" in given else args[0]
        return func(*args, **given)
