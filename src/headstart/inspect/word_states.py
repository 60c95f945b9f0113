"""One vector per occurrence of a word, for any encoder."""

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

_WHOLE = 1 << 20  # tokens: only the model's maximum length truncates a sentence
_TOKENS_AT_ONCE = 4096


def what_stands_for_a_word(encoder: Pretrained) -> str:
    """Describe in a phrase which vector represents an occurrence under an encoder."""
    model, subwords = encoder.model, isinstance(encoder.tokenizer, SubwordTokenizer)
    pieces = ", mean of the word's subwords" if subwords else ""
    if isinstance(model, WordVectors):
        return f"the word's own vector{pieces}: the same in every context"
    if isinstance(model, Elmo):
        return "the mean of ELMo's layers"
    if isinstance(model, Cove):
        return "the word's vector concatenated with CoVe's upper layer"
    if isinstance(model, Gpt):
        return f"the last layer{pieces}; it sees only the text before the word"
    return f"the last layer{pieces}"


def reads_context(encoder: Pretrained) -> bool:
    """Return whether a word's vector depends on its context."""
    return not isinstance(encoder.model, WordVectors)


def has_vectors(encoder: Pretrained, occurrences: Sequence[Occurrence]) -> NDArray[np.bool_]:
    """Return for which occurrences the encoder knows the word in its spelling `[occurrences]`.

    ELMo reads characters, so it knows all.
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

    Word vectors are the same for every occurrence of a spelling. ELMo uses the mean of its layers,
    CoVe the word's vector concatenated with its upper layer, `[GloVe(w); CoVe(w)]`, and any other
    encoder its last layer. A word of several tokens is represented by their mean. If a sentence is
    too long for the model, only the part near the word is encoded.

    Args:
        encoder: The encoder.
        occurrences: Occurrences of one or more words.
        layer: Use this layer of `model.encode` instead, from the bottom; -1 is the last.
        progress: Receives progress reports.

    Raises:
        SettingsError: The layer does not exist, or a word alone is too long for the model.
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
    """Return the states that represent each token `[B, T, D]`."""
    if layer is None:
        layers = task_layers(encoder.model, ids_BT, mask_BT)
        mixed = isinstance(encoder.model, Elmo)
        return (torch.stack(layers).mean(0) if mixed else layers[-1]).float()
    layers = encoder.model.encode(ids_BT, mask_BT)
    if not -len(layers) <= layer < len(layers):
        raise SettingsError(
            f"{encoder.name}: has {len(layers)} layers, numbered from 0; there is no layer {layer}"
        )
    return layers[layer].float()


def _fit(
    encoder: Pretrained, occurrences: Sequence[Occurrence]
) -> tuple[list[Occurrence], Encoded]:
    """Return the occurrences, shortened to the model's maximum length, and their token IDs.

    The context on each side is halved until the sentence fits.
    """
    fitting = list(occurrences)
    while True:
        encoded, cut = encoder.inputs([each.sentence for each in fitting], _WHOLE)
        if not cut:
            return fitting, encoded
        longest = int(encoded.lengths.max())  # truncated ones have this length
        for row in np.flatnonzero(encoded.lengths == longest).tolist():
            whole = fitting[row]
            sides = max(whole.start, len(whole.sentence) - whole.end)
            if not sides and encoder.inputs([whole.sentence], _WHOLE)[1]:
                raise SettingsError(f"{encoder.name}: {whole.word!r} is too long for the model")
            fitting[row] = whole.narrowed(sides // 2)


def _own_tokens(encoder: Pretrained, occurrences: Sequence[Occurrence]) -> list[list[int]]:
    """Return the indices of each word's tokens in its sentence, not counting special tokens."""
    tokenizer = encoder.tokenizer
    if not isinstance(tokenizer, WordTokenizer | SubwordTokenizer):
        raise SettingsError(f"{encoder.name}: its tokenizer does not give the positions of tokens")
    spans = token_spans(tokenizer, [each.sentence for each in occurrences])
    return [
        overlapping(its, each.start, each.end) for its, each in zip(spans, occurrences, strict=True)
    ]
