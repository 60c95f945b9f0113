"""Fixed vectors of texts or words, one for each layer of an encoder, from one forward pass."""

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from headstart.hub.bundle import Pretrained
from headstart.models.interface import Pooling, evaluating
from headstart.progress import SILENT, Progress
from headstart.tasks.pipelines import pool
from headstart.tokenize.batches import Rows, inference_batches, pad, ranges
from headstart.tokenize.windows import Windows
from headstart.transfer.features import Floats, quick_reading
from headstart.transfer.tag_task import Sentences, replaces_embedding, window_inputs, word_ids
from headstart.transfer.token_states import reads_in_context, states_of_words, token_states

_TOKENS_AT_ONCE = 4096


class LayerFeatures(NamedTuple):
    """One layer's vectors of texts or words.

    Attributes:
        layer: Number of the layer, from 0 at the bottom.
        pooling: Which of its states represents a text or word; for a word in a whole model, that
            of its `first piece`.
        features: A vector for each text `[texts, width]`, or for each word.
    """

    layer: int
    pooling: Pooling | Literal["word", "first piece"]
    features: Floats


def layer_features(
    encoder: Pretrained,
    texts: Sequence[str],
    *,
    max_tokens: int,
    progress: Progress = SILENT,
) -> list[LayerFeatures]:
    """Return the mean of each layer's states, from the bottom up.

    CoVe and ELMo have the layers that a task uses: for ELMo all of them, for CoVe the upper one
    concatenated with the word vectors. If the encoder's pooling is the first or last token (BERT,
    GPT), the top layer's state of that token is appended. A text without tokens is all zeros.
    """
    found: list[Floats] = []
    poolings: list[Pooling] = []
    with quick_reading(), torch.inference_mode(), evaluating(encoder.model):
        for rows, layers, mask_BT in _read(encoder, texts, max_tokens, progress):
            vectors = [pool(x_BTD.float(), mask_BT).chunk(2, dim=-1)[1] for x_BTD in layers]
            poolings = ["mean"] * len(layers)
            if encoder.pooling != "mean":
                vectors.append(_ends(layers[-1].float(), mask_BT, encoder.pooling))
                poolings.append(encoder.pooling)
            if not found:
                found = [np.zeros((len(texts), each.shape[1]), np.float32) for each in vectors]
            for features, each in zip(found, vectors, strict=True):
                features[rows] = each.cpu().numpy()
    top = poolings.count("mean") - 1
    return [
        LayerFeatures(min(at, top), pooling, features)
        for at, (pooling, features) in enumerate(zip(poolings, found, strict=True))
    ]


def word_layer_features(
    encoder: Pretrained,
    sentences: Sentences,
    *,
    max_tokens: int,
    progress: Progress = SILENT,
) -> list[LayerFeatures]:
    """Return each layer's states of all words, sentence after sentence, from the bottom up.

    The layers are those of `layer_features`. Whole models encode long sentences in windows.
    """
    with quick_reading(), torch.inference_mode(), evaluating(encoder.model):
        if not replaces_embedding(encoder):
            layers = _first_pieces(encoder, window_inputs(encoder, sentences, max_tokens), progress)
            return [LayerFeatures(at, "first piece", each) for at, each in enumerate(layers)]
        encoded = word_ids(encoder, sentences)
        if reads_in_context(encoder):
            states = states_of_words(encoder, sentences, encoded, progress=progress).values
            layers = list(states.transpose(1, 0, 2).astype(np.float32))
        else:
            ids_1N = torch.from_numpy(encoded.ids).long()[None]
            read = encoder.model.encode(ids_1N, torch.ones_like(ids_1N).bool())
            layers = [each[0].numpy() for each in read]
    return [LayerFeatures(at, "word", each) for at, each in enumerate(layers)]


def _first_pieces(encoder: Pretrained, windows: Windows, progress: Progress) -> list[Floats]:
    found: list[Floats] = []
    pieces = np.add.reduceat(windows.encoded.lengths, windows.first[:-1])
    with progress.stage("encoding sentences", len(pieces), "sentences") as advance:
        for rows in inference_batches(pieces, max_tokens=_TOKENS_AT_ONCE):
            ids_BT, mask_BT = map(torch.from_numpy, pad(windows.encoded, windows.windows_of(rows)))
            layers = encoder.model.encode(ids_BT, mask_BT)
            if not found:
                words, width = len(windows.window_N), encoder.model.width
                found = [np.zeros((words, width), np.float32) for _ in layers]
            first_N = np.arange(len(ids_BT)) * ids_BT.shape[1]
            own = torch.from_numpy(windows.places_of(rows, first_N))
            for features, x_BTD in zip(found, layers, strict=True):
                states_ND = x_BTD.float().flatten(0, 1)[own]
                features[ranges(windows.offsets, rows)] = states_ND.cpu().numpy()
            advance(len(rows))
    return found


def _read(
    encoder: Pretrained, texts: Sequence[str], max_tokens: int, progress: Progress
) -> Iterator[tuple[Rows, list[Tensor], Tensor]]:
    """Yield batches: rows of the texts, their layers, each `[B, T, D]`, and the mask `[B, T]`."""
    if reads_in_context(encoder):
        states = token_states(encoder, texts, max_tokens=max_tokens, progress=progress)
        for rows in inference_batches(states.lengths, max_tokens=_TOKENS_AT_ONCE):
            yield rows, *states.pad(rows)
        return
    encoded, _ = encoder.inputs(texts, max_tokens)
    with progress.stage("encoding texts", len(texts), "texts") as advance:
        for rows in inference_batches(encoded.lengths, max_tokens=_TOKENS_AT_ONCE):
            ids_BT, mask_BT = map(torch.from_numpy, pad(encoded, rows))
            layers = encoder.model.encode(ids_BT, mask_BT)
            yield rows, layers, mask_BT.to(layers[-1].device)
            advance(len(rows))


def _ends(x_BTD: Tensor, mask_BT: Tensor, pooling: Pooling) -> Tensor:
    """Return each text's first or last state `[B, D]`."""
    if pooling == "cls":
        return x_BTD[:, 0]
    return x_BTD[torch.arange(len(x_BTD)), mask_BT.sum(1).clamp(min=1) - 1]
