"""One vector for each occurrence of a word, whatever encoder reads it."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headstart.errors import SettingsError
from headstart.hub.bundle import Pretrained
from headstart.inspect.occurrences import Occurrence
from headstart.models.cove import Cove
from headstart.models.elmo import Elmo
from headstart.models.gpt import Gpt
from headstart.models.interface import evaluating
from headstart.models.word_vectors import WordVectors
from headstart.progress import SILENT, Progress
from headstart.tasks.pipelines import task_layers
from headstart.tokenize.batches import Encoded, inference_batches, pad
from headstart.tokenize.spans import overlapping, token_spans
from headstart.tokenize.subwords import SubwordTokenizer
from headstart.tokenize.words import WordTokenizer

_WHOLE = 1 << 20  # tokens: a sentence is cut by the model's positions only
_TOKENS_AT_ONCE = 4096


def what_stands_for_a_word(encoder: Pretrained) -> str:
    """Say in a phrase what vector an occurrence has under an encoder."""
    model, subwords = encoder.model, isinstance(encoder.tokenizer, SubwordTokenizer)
    pieces = ", the mean of the word's pieces" if subwords else ""
    if isinstance(model, WordVectors):
        return f"the word's own vector{pieces}: the same wherever it stands"
    if isinstance(model, Elmo):
        return "the mean of ELMo's layers"
    if isinstance(model, Cove):
        return "the word's vector beside CoVe's upper layer"
    if isinstance(model, Gpt):
        return f"the last layer{pieces}; it has read only what stands before"
    return f"the last layer{pieces}"


def reads_context(encoder: Pretrained) -> bool:
    """Say whether a word's vector depends on where it stands."""
    return not isinstance(encoder.model, WordVectors)


def has_vectors(encoder: Pretrained, occurrences: Sequence[Occurrence]) -> NDArray[np.bool_]:
    """Say of which occurrences an encoder knows the word as it is written there `[occurrences]`.

    ELMo, which reads characters, knows all.
    """
    if isinstance(encoder.model, Elmo):
        return np.ones(len(occurrences), np.bool_)
    sentences = [each.sentence for each in occurrences]
    encoded = encoder.tokenizer.encode_batch(sentences)
    own = _own_tokens(encoder, occurrences)
    unknown = encoder.tokenizer.unknown_id
    return np.array(
        [bool((encoded[row][tokens] != unknown).any()) for row, tokens in enumerate(own)], np.bool_
    )


def occurrence_vectors(
    encoder: Pretrained,
    occurrences: Sequence[Occurrence],
    *,
    layer: int | None = None,
    progress: Progress = SILENT,
) -> NDArray[np.float32]:
    """Return a vector for each occurrence of a word `[occurrences, width]`.

    Word vectors give every occurrence of a spelling the same. ELMo gives the mean of its layers,
    CoVe the word's vector beside its upper layer, `[GloVe(w); CoVe(w)]`, any other its last layer.
    A word of several tokens has their mean. Of a sentence that is too long for the model, what is
    near to the word is read.

    Args:
        encoder: The encoder.
        occurrences: Of one word or of several.
        layer: Take this layer instead, as `model.encode` returns them, bottom up; -1 is the last.
        progress: Where progress goes.

    Raises:
        SettingsError: There is no such layer, or a word alone is too long for the model.
    """
    fitting, encoded = _fit(encoder, occurrences)
    before = len(encoder.frame.before)
    own = [[before + token for token in tokens] for tokens in _own_tokens(encoder, fitting)]
    found: list[NDArray[np.float32]] = [np.zeros(0, np.float32)] * len(fitting)
    with (
        torch.inference_mode(),
        evaluating(encoder.model),
        progress.stage("reading sentences", len(fitting), "sentences") as advance,
    ):
        for rows in inference_batches(encoded.lengths, max_tokens=_TOKENS_AT_ONCE):
            ids_BT, mask_BT = map(torch.from_numpy, pad(encoded, rows))
            states_BTD = _states(encoder, ids_BT, mask_BT, layer)
            for states_TD, row in zip(states_BTD, rows.tolist(), strict=True):
                found[row] = states_TD[own[row]].mean(0).cpu().numpy()
            advance(len(rows))
    return np.stack(found)


def _states(encoder: Pretrained, ids_BT: Tensor, mask_BT: Tensor, layer: int | None) -> Tensor:
    """Return what stands for each token `[B, T, D]`."""
    if layer is None:
        layers = task_layers(encoder.model, ids_BT, mask_BT)
        mixed = isinstance(encoder.model, Elmo)
        return (torch.stack(layers).mean(0) if mixed else layers[-1]).float()
    layers = encoder.model.encode(ids_BT, mask_BT)
    if not -len(layers) <= layer < len(layers):
        raise SettingsError(f"{encoder.name}: has {len(layers)} layers, from 0, and none {layer}")
    return layers[layer].float()


def _fit(
    encoder: Pretrained, occurrences: Sequence[Occurrence]
) -> tuple[list[Occurrence], Encoded]:
    """Return occurrences with no more around them than the model has positions for, and their ids.

    The room on either side is halved until all fits.
    """
    fitting = list(occurrences)
    while True:
        encoded, cut = encoder.inputs([each.sentence for each in fitting], _WHOLE)
        if not cut:
            return fitting, encoded
        longest = int(encoded.lengths.max())  # those that were cut are as long
        for row in np.flatnonzero(encoded.lengths == longest).tolist():
            whole = fitting[row]
            sides = max(whole.start, len(whole.sentence) - whole.end)
            if not sides and encoder.inputs([whole.sentence], _WHOLE)[1]:
                raise SettingsError(f"{encoder.name}: {whole.word!r} is too long for the model")
            fitting[row] = whole.narrowed(sides // 2)


def _own_tokens(encoder: Pretrained, occurrences: Sequence[Occurrence]) -> list[list[int]]:
    """Return which tokens of its sentence each word is made of, special tokens not counted."""
    tokenizer = encoder.tokenizer
    if not isinstance(tokenizer, WordTokenizer | SubwordTokenizer):
        raise SettingsError(f"{encoder.name}: its tokenizer does not say where tokens stand")
    spans = token_spans(tokenizer, [each.sentence for each in occurrences])
    return [
        overlapping(its, each.start, each.end) for its, each in zip(spans, occurrences, strict=True)
    ]
