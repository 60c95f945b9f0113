"""A pretrained model that replaces the whole model: a linear layer on what it says of a text.

What stands for a text is the state of its first token ([CLS], for BERT) or its last (for GPT), or
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
        encoder: The encoder; BERT and GPT read packed rows, any other one text a row.
        num_outputs: Number of scores per text.
        pooling: What stands for a text: `cls`, through BERT's pooler if it has one, `last` or
            `mean`.
        dropout: Share of the pooled values dropped in training.
        orders: In how many orders a pair is read; what stands for it is then the sum. Where neither
            text of a pair comes first, as in similarity, GPT's paper reads both (section 3.3).
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
            nn.init.zeros_(parameter)  # every class is as likely as any other, at first

    def batch(self, encoded: Encoded, rows: Rows) -> Packed:
        """Lay some texts out as the encoder reads them, or some pairs in every order."""
        all_rows = rows_of_sides(rows, len(encoded) // self.orders, sides=self.orders)
        return lay_out(self.encoder, encoded, all_rows)

    def forward(self, packed: Packed) -> tuple[Tensor, Tensor]:
        """Return the scores `[N, C]` and the last states that `pool` read."""
        pooled_ND, states = self.pool(packed)
        return self.classify(self.dropout(pooled_ND)), states

    def pool(self, packed: Packed) -> tuple[Tensor, Tensor]:
        """Return what stands for each text `[N, D]`, and the last states that it is made of.

        These are every position's `[positions, D]`, except where BERT's [CLS] stands for a text:
        then its last block computes no others `[N, D]`.
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
    """Return what stands for each text `[N, D]`, of the last states at every position."""
    if pooling == "mean":
        return mean_states(states, packed)
    ends_N = packed.last_N if pooling == "last" else packed.first_N
    return states[torch.from_numpy(ends_N)]


def sum_of_orders(states: Tensor, orders: int) -> Tensor:
    """Return the sum of what stands for each pair in one order and in the other `[N, D]`."""
    return states.unflatten(0, (orders, -1)).sum(0)


def classification_head(
    width: int, num_outputs: int, *, hidden: int, dropout: float
) -> nn.Sequential:
    """Return the head on frozen states: one hidden layer."""
    return nn.Sequential(
        nn.Dropout(dropout),
        nn.Linear(width, hidden),
        nn.Tanh(),
        nn.Dropout(dropout),
        nn.Linear(hidden, num_outputs),
    )


def packs(encoder: Encoder) -> bool:
    """Say whether several texts may share a row of this encoder's."""
    return isinstance(encoder, Bert | Gpt)


def lay_out(encoder: Encoder, encoded: Encoded, rows: Rows) -> Packed:
    """Lay some texts out as an encoder reads them.

    Rows of packed texts are multiples of some length: products of sizes seen before cost less. They
    are as long as the longest text, or twice as long where texts leave too much room in such rows.
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
    """Return the last state of every text's first token `[N, D]`."""
    ids_BT, sequences_BT, positions_BT, segments_BT = _tensors(packed)
    wanted_BM, at_N = by_row(packed.first_N, packed.ids_BT.shape)
    wanted = torch.from_numpy(wanted_BM)
    last_BMD = encoder(ids_BT, sequences_BT, positions_BT, segments_BT, wanted)[-1]
    states: Tensor = last_BMD.flatten(0, 1)[torch.from_numpy(at_N)]
    return states


def last_states(encoder: Encoder, packed: Packed) -> Tensor:
    """Return the last layer at every position of the flattened rows `[positions, D]`."""
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
    """Lay each text in a row of its own."""
    ids_BT, mask_BT = pad(encoded, rows)
    width = ids_BT.shape[1]
    first_N = np.arange(len(rows)) * width
    sequences_BT = np.where(mask_BT, np.arange(len(rows))[:, None], -1)
    positions_BT = np.broadcast_to(np.arange(width), ids_BT.shape).copy()
    last_N = first_N + np.maximum(encoded.lengths[rows], 1) - 1
    segments_BT = segments_of(encoded, rows, sequences_BT, positions_BT)
    return Packed(ids_BT, sequences_BT, positions_BT, first_N, last_N, segments_BT)


def with_new_tokens(model: Gpt, count: int, like: int | None, generator: torch.Generator) -> Gpt:
    """Return a copy of a GPT whose vocabulary has `count` more tokens at its end.

    As in the paper, they are drawn from a normal of 0.02; [ours] around the vector of token `like`,
    which the model has learnt to read, where there is one.
    """
    larger = deepcopy(model)
    old = model.tokens.weight.detach()
    new = (torch.randn(count, model.width, generator=generator) * 0.02).to(old.device)
    if like is not None:
        new = new + old[like]
    larger.tokens = nn.Embedding.from_pretrained(torch.cat([old, new]), freeze=False)
    larger.config = replace(model.config, vocabulary_size=len(old) + count)
    return larger
