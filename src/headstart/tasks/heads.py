"""Heads for encoders that replace the whole model: a linear layer on a text's pooled state.

The pooled state of a text is that of its first token ([CLS], for BERT) or its last (for GPT), or
the mean of all. Shapes: N texts, T tokens of all texts, D width, C classes.
"""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from headstart.models.attention import Dropout
from headstart.models.bert import Bert
from headstart.models.gpt import Gpt
from headstart.models.interface import Encoder, Pooling, device_of
from headstart.tokenize.batches import Encoded, Packed, Rows, by_row, pack, pad, segments_of
from headstart.tokenize.pairs import rows_of_sides

_ROWS_OF = 16  # tokens
_LEAST_FILLED = 0.9


class WholeModel(nn.Module):
    """An encoder and a linear layer on its pooled states.

    Args:
        encoder: The encoder; BERT and GPT take packed rows, all others one text per row.
        num_outputs: Number of scores per text.
        pooling: Which state represents a text: `cls` (through BERT's pooler if it has one), `last`
            or `mean`.
        dropout: Dropout rate of the pooled states.
        orders: Number of orders in which a pair is encoded; the pooled states are then summed.
            The GPT paper uses both orders where the order is irrelevant, as in similarity (section
            3.3).
    """

    def __init__(
        self,
        encoder: Encoder,
        num_outputs: int,
        *,
        pooling: Pooling,
        dropout: float,
        orders: int = 1,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.pooling = pooling
        self.orders = orders
        self.dropout = Dropout(dropout)
        # As in the paper and in `transformers`, GPT's classifier has no bias.
        self.classify = nn.Linear(encoder.width, num_outputs, bias=not isinstance(encoder, Gpt))
        self.classify.to(device_of(encoder))
        for parameter in self.classify.parameters():
            nn.init.zeros_(parameter)  # all classes are equally likely at first

    def batch(self, encoded: Encoded, rows: Rows) -> Packed:
        """Return the encoder's input for the texts in `rows`, or for pairs in every order."""
        all_rows = rows_of_sides(rows, len(encoded) // self.orders, sides=self.orders)
        return lay_out(self.encoder, encoded, all_rows)

    def forward(self, packed: Packed) -> tuple[Tensor, Tensor]:
        """Return the scores `[N, C]` and the last states that `pool` returns."""
        pooled_ND, states = self.pool(packed)
        return self.classify(self.dropout(pooled_ND)), states

    def pool(self, packed: Packed) -> tuple[Tensor, Tensor]:
        """Return the pooled state of each text `[N, D]`, and the last states that were pooled.

        The last states are those of every position `[positions, D]`, except for BERT with `cls`
        pooling, whose last block computes only the states of [CLS] `[N, D]`.
        """
        pooled, states = self._pool(packed)
        return sum_of_orders(pooled, self.orders), states

    def _pool(self, packed: Packed) -> tuple[Tensor, Tensor]:
        if self.pooling == "cls" and isinstance(self.encoder, Bert):
            first_ND = first_states(self.encoder, packed)
            return self.encoder.pool(first_ND), first_ND
        states = last_states(self.encoder, packed)
        return states_of_texts(states, packed, self.pooling), states


def states_of_texts(states: Tensor, packed: Packed, pooling: Pooling) -> Tensor:
    """Return the pooled state of each text `[N, D]` from the last states at every position."""
    if pooling == "mean":
        return mean_states(states, packed)
    ends_N = packed.last_N if pooling == "last" else packed.first_N
    return states[torch.from_numpy(ends_N)]


def sum_of_orders(states: Tensor, orders: int) -> Tensor:
    """Return the sum over the orders of each pair's pooled states `[N, D]`."""
    return states.unflatten(0, (orders, -1)).sum(0)


def classification_head(
    width: int, num_outputs: int, *, hidden: int, dropout: float
) -> nn.Sequential:
    """Return a head with one hidden layer, for frozen states."""
    return nn.Sequential(
        nn.Dropout(dropout),
        nn.Linear(width, hidden),
        nn.Tanh(),
        nn.Dropout(dropout),
        nn.Linear(hidden, num_outputs),
    )


def packs(encoder: Encoder) -> bool:
    """Return whether several texts may share a row of the encoder's input."""
    return isinstance(encoder, Bert | Gpt)


def lay_out(encoder: Encoder, encoded: Encoded, rows: Rows) -> Packed:
    """Return the encoder's input for the texts in `rows`, packed if the encoder supports it.

    The length of packed rows is rounded up to a multiple of 16, because matrix products of sizes
    seen before are cheaper. Rows are as long as the longest text, or twice as long if the texts
    would leave too much padding.
    """
    if not packs(encoder):
        return one_a_row(encoded, rows)
    longest = int(encoded.lengths[rows].max(initial=1))
    tokens = -(-longest // _ROWS_OF) * _ROWS_OF
    packed = pack(encoded, rows, tokens=tokens)
    if packed.filled >= _LEAST_FILLED:
        return packed
    longer = pack(encoded, rows, tokens=2 * tokens)
    return longer if longer.filled > packed.filled else packed


def first_states(encoder: Bert, packed: Packed) -> Tensor:
    """Return the last layer's state of each text's first token `[N, D]`."""
    ids_BT, sequences_BT, positions_BT, segments_BT = _tensors(packed)
    wanted_BM, at_N = by_row(packed.first_N, packed.ids_BT.shape)
    wanted = torch.from_numpy(wanted_BM)
    last_BMD = encoder(ids_BT, sequences_BT, positions_BT, segments_BT, wanted)[-1]
    states: Tensor = last_BMD.flatten(0, 1)[torch.from_numpy(at_N)]
    return states


def last_states(encoder: Encoder, packed: Packed) -> Tensor:
    """Return the last layer's states at all positions of the flattened rows `[positions, D]`."""
    ids_BT, sequences_BT, positions_BT, segments_BT = _tensors(packed)
    if isinstance(encoder, Bert):
        layers = encoder(ids_BT, sequences_BT, positions_BT, segments_BT)
    elif isinstance(encoder, Gpt):
        layers = encoder(ids_BT, sequences_BT, positions_BT)
    else:
        layers = encoder.encode(ids_BT, sequences_BT >= 0, segments_BT)
    states: Tensor = layers[-1].flatten(0, 1)
    return states


def _tensors(packed: Packed) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    arrays = (packed.ids_BT, packed.sequences_BT, packed.positions_BT)
    ids_BT, sequences_BT, positions_BT = map(torch.from_numpy, arrays)
    segments = packed.segments_BT
    return (
        ids_BT,
        sequences_BT,
        positions_BT,
        None if segments is None else torch.from_numpy(segments),
    )


def mean_states(states: Tensor, packed: Packed) -> Tensor:
    """Return the mean of each text's states `[N, D]`."""
    sequences = torch.from_numpy(packed.sequences_BT.ravel()).to(states.device)
    here = (sequences >= 0).nonzero()[:, 0]
    counts_N = torch.from_numpy(packed.last_N - packed.first_N + 1).to(states.device)
    sums_ND = torch.zeros(len(counts_N), states.shape[-1], device=states.device)
    return sums_ND.index_add(0, sequences[here], states[here].float()) / counts_N[:, None]


def one_a_row(encoded: Encoded, rows: Rows) -> Packed:
    """Return the encoder's input with one text per row."""
    ids_BT, mask_BT = pad(encoded, rows)
    width = ids_BT.shape[1]
    first_N = np.arange(len(rows)) * width
    sequences_BT = np.where(mask_BT, np.arange(len(rows))[:, None], -1)
    positions_BT = np.broadcast_to(np.arange(width), ids_BT.shape).copy()
    last_N = first_N + np.maximum(encoded.lengths[rows], 1) - 1
    segments_BT = segments_of(encoded, rows, sequences_BT, positions_BT)
    return Packed(ids_BT, sequences_BT, positions_BT, first_N, last_N, segments_BT)


def with_new_tokens(model: Gpt, count: int, like: int | None, generator: torch.Generator) -> Gpt:
    """Return a copy of a GPT with `count` more tokens at the end of its vocabulary.

    As in the paper, the new vectors are drawn from a normal distribution with standard deviation
    0.02. [ours] Its mean is the vector of the token `like`, which is pretrained, if it is given.
    """
    larger = deepcopy(model)
    old = model.tokens.weight.detach()
    new = (torch.randn(count, model.width, generator=generator) * 0.02).to(old.device)
    if like is not None:
        new = new + old[like]
    larger.tokens = nn.Embedding.from_pretrained(torch.cat([old, new]), freeze=False)
    larger.config = replace(model.config, vocabulary_size=len(old) + count)
    return larger
