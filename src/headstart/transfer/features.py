"""Texts as fixed vectors: an encoder's last layer, pooled over each text's tokens."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from headstart.hub.bundle import Pretrained
from headstart.tasks.pipelines import pool
from headstart.tokenize.batches import inference_batches, pad


def pooled_features(
    encoder: Pretrained, texts: Sequence[str], *, pooling: str, max_tokens: int
) -> NDArray[np.float32]:
    """Return one vector a text `[texts, width]`, or `[texts, 2 * width]` for `mean+max`.

    A text without tokens is all zeros; a text's tokens after `max_tokens` are not read.
    """
    encoded, _ = encoder.tokenizer.encode_batch(texts).truncate(max_tokens)
    width = encoder.model.width
    features = np.zeros((len(texts), 2 * width), np.float32)
    with torch.inference_mode():
        for rows in inference_batches(encoded.lengths):
            ids_BT, mask_BT = map(torch.from_numpy, pad(encoded, rows))
            features[rows] = pool(encoder.model.encode(ids_BT, mask_BT)[-1], mask_BT).numpy()
    highest, mean = features[:, :width], features[:, width:]
    return {"mean": mean, "max": highest, "mean+max": features}[pooling]
