"""Texts as vectors: summaries of an encoder's last layer, or of all layers of CoVe and ELMo."""

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
    """Return one vector a text `[texts, width]`, or `[texts, 2 * width]` for `mean+max`.

    A text without tokens is all zeros; a text's tokens after `max_tokens` are not read. Who has
    what `read_inputs` returned gives it as `encoded`.
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

    What replaces the embedding layer has no first and last, `[texts, 2 * width]`: word vectors, and
    the mean of the layers of what reads words in context. What replaces the whole model may read
    both texts of a pair at once; of symmetric pairs, first all in their order and then all swapped.
    Who has what `read_inputs` returned gives it as `encoded`.
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
        progress.stage("reading texts", len(encoded), "texts") as advance,
    ):
        for rows, found in _read(encoder.model, encoded):
            states[rows] = found
            advance(len(rows))
    return states


def read_inputs(
    encoder: Pretrained, texts: Sequence[str] | Encoded, max_tokens: int, pairs: Pairs
) -> tuple[Encoded, int]:
    """Return texts, or pairs joined, as a whole model reads them, and how many were cut."""
    if pairs is None:
        return encoder.inputs(texts, max_tokens)
    return encoder.pair_inputs(texts, max_tokens, both_orders=pairs == "symmetric")


def _in_pairs(texts: Sequence[str], pairs: Pairs) -> list[Pair]:
    """Return what a whole model reads at once: each pair, and of symmetric ones each swapped."""
    first, second = texts[: len(texts) // 2], texts[len(texts) // 2 :]
    swapped = zip(second, first, strict=True) if pairs == "symmetric" else ()
    return [*zip(first, second, strict=True), *swapped]


@contextmanager
def quick_reading() -> Iterator[None]:
    """Read texts in bfloat16 meanwhile, where the device is fast at it: twice as fast.

    What a model is fitted to may be a thousandth off; what it predicts by is read exactly, unless
    it is asked to predict in here.
    """
    with (
        quick_products(torch.device("cpu")),
        quick_products(torch.device("cuda")),
        PackedWeights(),
    ):
        yield


def _read(model: Encoder, encoded: Encoded) -> Iterator[tuple[Rows, Floats]]:
    """Yield some rows of the texts and the summaries of their states, until all are read."""
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
    highest = states.new_zeros((len(rows), states.shape[-1]))  # of a text without tokens
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
    """Return one of the four summaries that `text_states` returned."""
    place = {"mean": 1, "cls": 2, "last": 3}[pooling]
    return np.split(states, 4, axis=1)[place]


def head_states(states: Floats, pooling: Pooling) -> Floats:
    """Return what a head on frozen states reads: the encoder's own summary, and the mean."""
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
    """Return what a head on frozen states reads of each text, or of each pair.

    Of pairs read at once in both orders it is the sum; of those whose texts are read alone, both
    sides combined. Who has what `read_inputs` returned gives it as `encoded`.
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
    """Whether a frozen whole model says most of a pair that it reads as one.

    A sentence encoder, for which the mean of its states stands, has learnt what single texts are
    about: it has seen no pair, and the mean of one tells the texts no longer apart.
    """
    return encoder.pooling != "mean"


@dataclass(frozen=True)
class StatesMemory:
    """What an encoder says of texts it has read before, so that no text is read twice.

    Attributes:
        rows: The row of each text, or of each pair whose texts are read at once.
        states: What `text_states` returned `[texts, ..]`.
        max_tokens: How much of a text was read.
    """

    rows: Mapping[Any, int]
    states: Floats
    max_tokens: int

    def knows(self, texts: Sequence[str] | Sequence[Pair], max_tokens: int) -> bool:
        """Say whether all the texts were read, as far as now asked for."""
        return max_tokens == self.max_tokens and all(text in self.rows for text in texts)

    def recall(self, texts: Sequence[str] | Sequence[Pair]) -> Floats:
        """Return the texts' states."""
        return self.states[[self.rows[text] for text in texts]]
