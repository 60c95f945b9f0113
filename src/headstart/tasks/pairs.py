"""Sentence pairs: how many texts have a label, how their words meet, and how both sides combine.

Words attend to the other text and are compared with what they find there: Parikh et al., "A
Decomposable Attention Model for Natural Language Inference", EMNLP 2016
(https://arxiv.org/abs/1606.01933), with the comparison of Chen et al., "Enhanced LSTM for Natural
Language Inference" (ESIM), ACL 2017 (https://arxiv.org/abs/1609.06038). Shapes: N pairs, T tokens,
D width; 2N texts are all the first ones and then all the second ones.
"""

import math
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

Pairs = Literal["ordered", "symmetric"] | None  # None: a text has a label, and not two together


def num_sides(pairs: Pairs) -> int:
    """Return how many texts have a label together."""
    return 1 if pairs is None else 2


def num_orders(pairs: Pairs) -> int:
    """Return in how many orders a model that reads both texts of a pair at once reads them."""
    return 2 if pairs == "symmetric" else 1


def num_parts(pairs: Pairs) -> int:
    """Return how many times as wide as a side what tells an example is."""
    return {None: 1, "symmetric": 3, "ordered": 4}[pairs]


def combined(x: Any, pairs: Pairs) -> Any:  # noqa: ANN401 - an array, a sparse one, or a tensor
    """Return what tells examples: texts themselves, or both sides `a` and `b` of pairs.

    `[a; b; |a - b|; a * b]` of an ordered pair (Conneau et al. 2017,
    https://arxiv.org/abs/1705.02364); `[a + b; |a - b|; a * b]` of a symmetric one, which is the
    same if both texts change places.

    Args:
        x: What is known of each text `[texts, D]`.
        pairs: What the texts are.
    """
    if pairs is None:
        return x
    is_sparse = not isinstance(x, Tensor | np.ndarray)
    if is_sparse:
        from scipy import sparse  # late: only tf-idf is sparse

        x = sparse.csr_array(x)  # of which products are element by element
    a, b = x[: x.shape[0] // 2], x[x.shape[0] // 2 :]
    parts = [*((a + b,) if pairs == "symmetric" else (a, b)), abs(a - b), a * b]
    if isinstance(x, Tensor):
        return torch.cat(parts, -1)
    return sparse.hstack(parts, "csr") if is_sparse else np.concatenate(parts, -1)


def compared(x_BTD: Tensor, mask_BT: Tensor) -> Tensor:
    """Compare each word `x` of a pair with what it finds in the other text, `y` `[2N, T, 4D]`.

    `[x; y; x - y; x * y]`, where `y` is the mean of the other text's words by the softmax of their
    products with `x`: like words find each other before anything is learnt. [ours] Products are
    divided by the root of D. In an empty text, nothing is found, and `y` is 0.
    """
    other_BTD, here_B1T = (torch.cat(each.chunk(2)[::-1]) for each in (x_BTD, mask_BT[:, None]))
    products_BTT = x_BTD @ other_BTD.transpose(1, 2) / math.sqrt(x_BTD.shape[-1])
    shares_BTT = products_BTT.masked_fill(~here_B1T, torch.finfo(x_BTD.dtype).min).softmax(-1)
    y_BTD = (shares_BTT * here_B1T) @ other_BTD
    return torch.cat([x_BTD, y_BTD, x_BTD - y_BTD, x_BTD * y_BTD], -1)
