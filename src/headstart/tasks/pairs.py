"""Text pairs: how the words of both texts are compared, and how both sides are combined.

Each word attends to the words of the other text and is compared with the result: Parikh et al., "A
Decomposable Attention Model for Natural Language Inference", EMNLP 2016
(https://arxiv.org/abs/1606.01933), with the comparison of Chen et al., "Enhanced LSTM for Natural
Language Inference" (ESIM), ACL 2017 (https://arxiv.org/abs/1609.06038). Shapes: N pairs, T tokens,
D width; 2N texts are all first texts followed by all second texts.
"""

import math
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

Pairs = Literal["ordered", "symmetric"] | None  # None: single texts


def num_sides(pairs: Pairs) -> int:
    """Return the number of texts per example."""
    return 1 if pairs is None else 2


def num_orders(pairs: Pairs) -> int:
    """Return the number of orders in which a model encodes both texts of a pair together."""
    return 2 if pairs == "symmetric" else 1


def num_parts(pairs: Pairs) -> int:
    """Return the width of the result of `combined` as a multiple of the width of one side."""
    return {None: 1, "symmetric": 3, "ordered": 4}[pairs]


def combined(x: Any, pairs: Pairs) -> Any:  # noqa: ANN401 - an array, a sparse one, or a tensor
    """Return the features of examples: `x` for single texts, or both sides of pairs combined.

    For an ordered pair of `a` and `b`, the result is `[a; b; |a - b|; a * b]` (Conneau et al. 2017,
    https://arxiv.org/abs/1705.02364). For a symmetric pair it is `[a + b; |a - b|; a * b]`, which
    does not change if the texts are swapped.

    Args:
        x: The features of each text `[texts, D]`.
        pairs: Whether the texts are pairs, and of which kind.
    """
    if pairs is None:
        return x
    is_sparse = not isinstance(x, Tensor | np.ndarray)
    if is_sparse:
        from scipy import sparse  # late: only TF-IDF is sparse

        x = sparse.csr_array(x)  # whose products are elementwise
    a, b = x[: x.shape[0] // 2], x[x.shape[0] // 2 :]
    parts = [*((a + b,) if pairs == "symmetric" else (a, b)), abs(a - b), a * b]
    if isinstance(x, Tensor):
        return torch.cat(parts, -1)
    return sparse.hstack(parts, "csr") if is_sparse else np.concatenate(parts, -1)


def compared(x_BTD: Tensor, mask_BT: Tensor) -> Tensor:
    """Compare each word `x` of a pair with what it attends to in the other text `[2N, T, 4D]`.

    The result is `[x; y; x - y; x * y]`, where `y` is the mean of the other text's words, weighted
    by the softmax of their dot products with `x`. Similar words are aligned even before training.
    [ours] Dot products are divided by the square root of D. If the other text is empty, `y` is 0.
    """
    other_BTD, here_B1T = (torch.cat(each.chunk(2)[::-1]) for each in (x_BTD, mask_BT[:, None]))
    products_BTT = x_BTD @ other_BTD.transpose(1, 2) / math.sqrt(x_BTD.shape[-1])
    shares_BTT = products_BTT.masked_fill(~here_B1T, torch.finfo(x_BTD.dtype).min).softmax(-1)
    y_BTD = (shares_BTT * here_B1T) @ other_BTD
    return torch.cat([x_BTD, y_BTD, x_BTD - y_BTD, x_BTD * y_BTD], -1)
