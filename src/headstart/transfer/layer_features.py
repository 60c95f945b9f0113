"""Texts as fixed vectors, one for each layer of an encoder, from a single reading."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from headstart.hub.bundle import Pretrained
from headstart.models.interface import Pooling
from headstart.progress import SILENT, Progress
from headstart.tasks.pipelines import pool
from headstart.tokenize.batches import Rows, inference_batches, pad
from headstart.transfer.features import Floats, quick_reading
from headstart.transfer.token_states import reads_in_context, token_states

_TOKENS_AT_ONCE = 4096


class LayerFeatures(NamedTuple):
    """What a layer says of some texts.

    Attributes:
        layer: Its number, from 0 at the bottom.
        pooling: What of it stands for a text.
        features: A vector for each text `[texts, width]`.
    """

    layer: int
    pooling: Pooling
    features: Floats


def layer_features(
    encoder: Pretrained,
    texts: Sequence[str],
    *,
    max_tokens: int,
    progress: Progress = SILENT,
) -> list[LayerFeatures]:
    """Return the mean of each layer's states, bottom up.

    What reads words in context has the layers that a task is given: all of ELMo, and CoVe's upper
    one beside the word vectors. Where the first or the last token stands for a text (BERT, GPT),
    its state at the top comes last. A text without tokens is all zeros.
    """
    found: list[Floats] = []
    poolings: list[Pooling] = []
    with quick_reading(), torch.inference_mode():
        for rows, layers, mask_BT in _read(encoder, texts, max_tokens, progress):
            vectors = [pool(x_BTD.float(), mask_BT).chunk(2, dim=-1)[1] for x_BTD in layers]
            poolings = ["mean"] * len(layers)
            if encoder.pooling != "mean":
                vectors.append(_ends(layers[-1].float(), mask_BT, encoder.pooling))
                poolings.append(encoder.pooling)
            if not found:
                found = [np.zeros((len(texts), each.shape[1]), np.float32) for each in vectors]
            for features, each in zip(found, vectors, strict=True):
                features[rows] = each.numpy()
    top = poolings.count("mean") - 1
    return [
        LayerFeatures(min(at, top), pooling, features)
        for at, (pooling, features) in enumerate(zip(poolings, found, strict=True))
    ]


def _read(
    encoder: Pretrained, texts: Sequence[str], max_tokens: int, progress: Progress
) -> Iterator[tuple[Rows, list[Tensor], Tensor]]:
    """Yield some of the texts' rows, their layers, each `[B, T, D]`, and the mask `[B, T]`."""
    if reads_in_context(encoder):
        states = token_states(encoder, texts, max_tokens=max_tokens, progress=progress)
        for rows in inference_batches(states.lengths, max_tokens=_TOKENS_AT_ONCE):
            yield rows, *states.pad(rows)
        return
    encoded, _ = encoder.inputs(texts, max_tokens)
    with progress.stage("reading texts", len(texts), "texts") as advance:
        for rows in inference_batches(encoded.lengths, max_tokens=_TOKENS_AT_ONCE):
            ids_BT, mask_BT = map(torch.from_numpy, pad(encoded, rows))
            yield rows, encoder.model.encode(ids_BT, mask_BT), mask_BT
            advance(len(rows))


def _ends(x_BTD: Tensor, mask_BT: Tensor, pooling: Pooling) -> Tensor:
    """Return each text's first state, or its last `[B, D]`."""
    if pooling == "cls":
        return x_BTD[:, 0]
    return x_BTD[torch.arange(len(x_BTD)), mask_BT.sum(1).clamp(min=1) - 1]
