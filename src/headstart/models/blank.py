"""Modules whose weights have shapes and no numbers: all numbers will come from a file."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


@contextmanager
def blank_weights() -> Iterator[None]:
    """Make modules on torch's device "meta" meanwhile, and draw nothing from the global stream.

    Example:
        >>> with blank_weights():
        ...     torch.nn.Embedding(10, 4).weight.device
        device(type='meta')
    """
    with torch.device("meta"), _NoNumbers():
        yield


class _NoNumbers(TorchFunctionMode):
    """Leave draws and divisions out: on "meta", the first imports torch's compiler, or sympy."""

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
