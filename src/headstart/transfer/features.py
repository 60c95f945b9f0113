"""Texts as vectors: pooled states of an encoder's last layer, or of all layers of CoVe and ELMo."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headstart.data.parallel import Pair
from headstart.hub.bundle import Pretrained
from headstart.models.bert_openvino import openvino_reader
from headstart.models.interface import Encoder, Pooling, evaluating
from headstart.models.packed_weights import PackedWeights
from headstart.models.word_vectors import WordVectors
from headstart.progress import SILENT, Progress
from headstart.tasks.heads import last_states, lay_out, mean_states
from headstart.tasks.pairs import Pairs, combined, num_orders
from headstart.tasks.pipelines import pool, task_shape
from headstart.tokenize.batches import Encoded, Rows, inference_batches, pad
from headstart.training.precision import quick_products
from headstart.transfer.token_states import TokenStates, reads_in_context, token_states

_TOKENS_AT_ONCE = 4096
Floats = NDArray[np.float32]


def pooled_features(
    encoder: Pretrained,
    texts: Sequence[str],
    *,
    pooling: str,
    max_tokens: int,
    encoded: Encoded | None = None,
    progress: Progress = SILENT,
) -> Floats:
    """Return one vector per text `[texts, width]`, or `[texts, 2 * width]` for `mean+max`.

    The vector of a text without tokens is all zeros. Tokens after `max_tokens` are ignored. Pass
    the result of `read_inputs` as `encoded` to avoid tokenizing the texts again.
    """
    _, width = task_shape(encoder.model)
    features = text_states(
        encoder, texts, max_tokens=max_tokens, encoded=encoded, progress=progress
    )
    highest, mean = features[:, :width], features[:, width : 2 * width]
    return {"mean": mean, "max": highest, "mean+max": features[:, : 2 * width]}[pooling]


def text_states(
    encoder: Pretrained,
    texts: Sequence[str],
    *,
    max_tokens: int,
    pairs: Pairs = None,
    encoded: Encoded | None = None,
    progress: Progress = SILENT,
) -> Floats:
    """Return max, mean, first and last of each text's states `[texts, 4 * width]`.

    For encoders that replace the embedding layer, only max and mean are returned, `[texts, 2 *
    width]`: of the word vectors, or of the mean over the layers of CoVe or ELMo. An encoder that
    replaces the whole model may encode both texts of a pair together; symmetric pairs are encoded
    first all in their own order and then all swapped. Pass the result of `read_inputs` as
    `encoded` to avoid tokenizing the texts again.
    """
    if reads_in_context(encoder):
        return _pooled_tokens(
            token_states(encoder, texts, max_tokens=max_tokens, encoded=encoded, progress=progress)
        )
    read = texts if pairs is None else _in_pairs(texts, pairs)
    remembered = "memory" if pairs is None else "pair_memory"
    memory: StatesMemory | None = getattr(encoder, remembered, None)
    if memory is not None and memory.knows(read, max_tokens):
        return memory.recall(read)
    if encoded is None:
        encoded, _ = read_inputs(encoder, texts, max_tokens, pairs)
    summaries = 2 if isinstance(encoder.model, WordVectors) else 4
    states = np.zeros((len(encoded), summaries * encoder.model.width), np.float32)
    with (
        torch.inference_mode(),
        evaluating(encoder.model),
        progress.stage("encoding texts", len(encoded), "texts") as advance,
    ):
        for rows, found in _read(encoder.model, encoded):
            states[rows] = found
            advance(len(rows))
    return states


def read_inputs(
    encoder: Pretrained, texts: Sequence[str] | Encoded, max_tokens: int, pairs: Pairs
) -> tuple[Encoded, int]:
    """Return texts or joined pairs as inputs of a whole model, and how many were truncated."""
    if pairs is None:
        return encoder.inputs(texts, max_tokens)
    return encoder.pair_inputs(texts, max_tokens, both_orders=pairs == "symmetric")


def _in_pairs(texts: Sequence[str], pairs: Pairs) -> list[Pair]:
    """Return the pairs that a whole model encodes: each pair, and if symmetric also swapped."""
    first, second = texts[: len(texts) // 2], texts[len(texts) // 2 :]
    swapped = zip(second, first, strict=True) if pairs == "symmetric" else ()
    return [*zip(first, second, strict=True), *swapped]


@contextmanager
def quick_reading() -> Iterator[None]:
    """Encode texts in bfloat16 inside this context if the device is fast at it: twice as fast.

    This is for fitting, where an error of a thousandth is acceptable. Prediction outside this
    context is exact.
    """
    with (
        quick_products(torch.device("cpu")),
        quick_products(torch.device("cuda")),
        PackedWeights(),
    ):
        yield


def _read(model: Encoder, encoded: Encoded) -> Iterator[tuple[Rows, Floats]]:
    """Yield batches of rows and the pooled states of their texts."""
    reader = openvino_reader(model, encoded)
    if reader is not None:
        yield from reader.read(encoded)
        return
    for rows in inference_batches(encoded.lengths, max_tokens=_TOKENS_AT_ONCE):
        if isinstance(model, WordVectors):
            ids_BT, mask_BT = map(torch.from_numpy, pad(encoded, rows))
            found = pool(model.encode(ids_BT, mask_BT)[-1], mask_BT)
        else:
            found = _summaries(model, encoded, rows)
        yield rows, found.cpu().numpy()


def _summaries(model: Encoder, encoded: Encoded, rows: Rows) -> Tensor:
    packed = lay_out(model, encoded, rows)
    states = last_states(model, packed).float()
    highest = states.new_zeros((len(rows), states.shape[-1]))  # for texts without tokens
    sequences = torch.from_numpy(packed.sequences_BT.ravel()).to(states.device)
    here = (sequences >= 0).nonzero()[:, 0]
    of_text = sequences[here, None].expand(-1, states.shape[-1])
    highest.scatter_reduce_(0, of_text, states[here], "amax", include_self=False)
    ends = (states[torch.from_numpy(at)] for at in (packed.first_N, packed.last_N))
    return torch.cat([highest, mean_states(states, packed), *ends], -1)


def _pooled_tokens(states: TokenStates) -> Floats:
    found = np.zeros((len(states.lengths), 2 * states.values.shape[-1]), np.float32)
    for rows in inference_batches(states.lengths, max_tokens=_TOKENS_AT_ONCE):
        layers, mask_BT = states.pad(rows)
        found[rows] = pool(torch.stack(layers).mean(0), mask_BT).numpy()
    return found


def pooled(states: Floats, pooling: Pooling) -> Floats:
    """Return one of the four pooled states that `text_states` returned."""
    place = {"mean": 1, "cls": 2, "last": 3}[pooling]
    return np.split(states, 4, axis=1)[place]


def head_states(states: Floats, pooling: Pooling) -> Floats:
    """Return the input of a head on frozen states: the encoder's own pooling, and the mean."""
    mean = pooled(states, "mean")
    return mean if pooling == "mean" else np.concatenate([pooled(states, pooling), mean], 1)


def frozen_states(
    encoder: Pretrained,
    texts: Sequence[str],
    *,
    max_tokens: int,
    pairs: Pairs,
    encoded: Encoded | None = None,
    progress: Progress = SILENT,
) -> Floats:
    """Return the input of a head on frozen states for each text or pair.

    For pairs encoded together in both orders, it is the sum over the orders; for pairs whose texts
    are encoded separately, both sides combined. Pass the result of `read_inputs` as `encoded` to
    avoid tokenizing the texts again.
    """
    at_once = pairs if reads_pairs_at_once(encoder) else None
    states = text_states(
        encoder, texts, max_tokens=max_tokens, pairs=at_once, encoded=encoded, progress=progress
    )
    found = head_states(states, encoder.pooling)
    if at_once is None:
        both: Floats = combined(found, pairs)
        return both
    summed: Floats = found.reshape(num_orders(pairs), -1, found.shape[1]).sum(0)
    return summed


def reads_pairs_at_once(encoder: Pretrained) -> bool:
    """Return whether a frozen whole model should encode both texts of a pair together.

    A sentence encoder, which uses mean pooling, was trained on single texts and has never seen a
    pair. In the mean over a joined pair, the two texts can no longer be distinguished.
    """
    return encoder.pooling != "mean"


@dataclass(frozen=True)
class StatesMemory:
    """Cached states of texts that an encoder has already encoded.

    Attributes:
        rows: The row of each text, or of each pair whose texts are encoded together.
        states: The result of `text_states`, `[texts, ..]`.
        max_tokens: The maximum number of tokens per text that the states were computed with.
    """

    rows: Mapping[Any, int]
    states: Floats
    max_tokens: int

    def knows(self, texts: Sequence[str] | Sequence[Pair], max_tokens: int) -> bool:
        """Return whether all the texts are cached for the same `max_tokens`."""
        return max_tokens == self.max_tokens and all(text in self.rows for text in texts)

    def recall(self, texts: Sequence[str] | Sequence[Pair]) -> Floats:
        """Return the cached states of texts."""
        return self.states[[self.rows[text] for text in texts]]
