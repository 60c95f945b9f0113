"""The shared pipeline of all encoders that replace the embedding layer.

    embedding -> BiLSTM -> pooling -> linear

and for pairs of texts

    embedding -> attention, comparison -> BiLSTM -> pooling -> combination of both sides -> linear

Word vectors, CoVe and ELMo share this pipeline, so a comparison of them compares representations:
only the embedding differs. Shapes: B batch, T tokens, L layers of the encoder, D embedding width, H
LSTM width, P pooled width, C outputs.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from headstart.models.cove import Cove
from headstart.models.elmo import Elmo
from headstart.models.interface import Encoder
from headstart.tasks.pairs import Pairs, combined, compared, num_parts, num_sides
from headstart.tokenize.batches import Encoded, Rows
from headstart.tokenize.pairs import rows_of_sides


def task_layers(encoder: Encoder, ids_BT: Tensor, mask_BT: Tensor) -> list[Tensor]:
    """Return the layers of an encoder that can replace the embedding layer, each `[B, T, D]`.

    For ELMo all layers; for CoVe one, `[GloVe(w); CoVe(w)]`; for word vectors the vectors.
    """
    layers = encoder.encode(ids_BT, mask_BT)
    if isinstance(encoder, Cove):
        return [torch.cat([encoder.embedding(ids_BT), layers[-1]], -1)]
    return layers


def task_shape(encoder: Encoder) -> tuple[int, int]:
    """Return L and D of `task_layers`."""
    if isinstance(encoder, Cove):
        return 1, encoder.config.vector_width + encoder.width
    if isinstance(encoder, Elmo):
        return 1 + encoder.config.layers, encoder.width
    return 1, encoder.width


class BiLSTM(nn.Module):
    """One LSTM per direction over padded sequences, each within its own length.

    The backward LSTM gets every sequence reversed in place, so padding comes last in both
    directions and does not affect the state of any token. On a CPU, dense tensors train several
    times faster than packed sequences.
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.forwards = nn.LSTM(width, hidden, batch_first=True)
        self.backwards = nn.LSTM(width, hidden, batch_first=True)

    def forward(self, x_BTD: Tensor, mask_BT: Tensor) -> Tensor:
        """Return the states of both directions `[batch, tokens, 2 * hidden]`."""
        batch, tokens = mask_BT.shape
        positions_T = torch.arange(tokens)
        last_B1 = mask_BT.sum(1, keepdim=True) - 1
        turned_BT = torch.where(mask_BT, last_B1 - positions_T, positions_T)
        rows = (turned_BT + tokens * torch.arange(batch)[:, None]).flatten()

        def turn(y_BTX: Tensor) -> Tensor:  # moves whole rows, faster than gather
            return y_BTX.flatten(0, 1).index_select(0, rows).unflatten(0, (batch, tokens))

        right_BTH, _ = self.forwards(x_BTD)
        left_BTH, _ = self.backwards(turn(x_BTD))
        return torch.cat([right_BTH, turn(left_BTH)], -1)


class ScalarMix(nn.Module):
    """A learned weighted sum of an encoder's layers: `gamma * sum_j softmax(w)_j h_j`.

    Peters et al. 2018 (https://arxiv.org/abs/1802.05365), equation 1. Initially `w` is 0, which
    weights all layers equally, and `gamma` is 1. [ours] `layer_norm` normalizes each token's vector
    separately; the authors use the mean and variance of a whole batch, in which a text would depend
    on the others in its batch.

    Args:
        layers: Number of layers.
        layer_norm: Whether to normalize vectors before the weighted sum.
    """

    def __init__(self, layers: int, *, layer_norm: bool) -> None:
        super().__init__()
        self.layer_norm = layer_norm
        self.w = nn.Parameter(torch.zeros(layers))
        self.gamma = nn.Parameter(torch.ones(()))

    def forward(self, layers: Sequence[Tensor]) -> Tensor:
        """Return the weighted sum of layers `[B, T, D]`."""
        if self.layer_norm:
            layers = [F.layer_norm(x_BTD, x_BTD.shape[-1:]) for x_BTD in layers]
        mixed_BTD: Tensor = torch.einsum("l,lbtd->btd", self.shares, torch.stack([*layers]))
        return self.gamma * mixed_BTD

    @property
    def shares(self) -> Tensor:
        """The weight of each layer `[L]`; the weights sum to 1."""
        return self.w.softmax(0)


class TextPipeline(nn.Module):
    """Map texts or pairs of texts to scores: embedding, BiLSTM, pooling and classifier.

    For pairs, words are first compared with those of the other text, and the BiLSTM encodes the
    projected comparison. Max and mean are pooled over the BiLSTM's states, its inputs and the
    embeddings themselves: with a handful of labels, most of what can be learned is in the mean of
    the embeddings.

    Args:
        encoder: Turns ids into vectors.
        num_outputs: Number of scores per text or pair.
        hidden: LSTM units per direction.
        dropout: Dropout rate of the embeddings and the pooled values.
        scale: Factor on the encoder's vectors, a number or `[L, D]`; `1 / rms` brings all encoders
            to the same scale.
        mix: Weighted sum of the layers, if there are several.
        output_mix: A second weighted sum, concatenated with the BiLSTM's states.
        skip: Number of leading dimensions of each vector to ignore.
        pairs: Whether the texts are pairs; all first texts then come before all second texts.
        more: Number of additional features per token.
    """

    scale: Tensor

    def __init__(  # noqa: PLR0913 - its parts, each by its name
        self,
        encoder: Encoder,
        num_outputs: int,
        *,
        hidden: int,
        dropout: float,
        scale: float | Tensor,
        mix: ScalarMix | None = None,
        output_mix: ScalarMix | None = None,
        skip: int = 0,
        pairs: Pairs = None,
        more: int = 0,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.register_buffer("scale", torch.as_tensor(scale))
        self.mix, self.output_mix, self.skip = mix, output_mix, skip
        self.pairs = pairs
        width = task_shape(encoder)[1] - skip
        self.compare = None if pairs is None else nn.Linear(4 * width, 2 * hidden)
        read = width + more if self.compare is None else self.compare.out_features
        self.lstm = BiLSTM(read, hidden)
        self.dropout = nn.Dropout(dropout)
        self.width = width + more + 2 * hidden + (width if output_mix else 0)
        self.width += read if pairs else 0
        self.classify = nn.Linear(num_parts(pairs) * 2 * self.width, num_outputs)

    def forward(self, ids_BT: Tensor, mask_BT: Tensor) -> Tensor:
        """Return the scores `[B, outputs]`, or for pairs `[B / 2, outputs]`.

        An empty text is one token of padding.
        """
        return self.read(task_layers(self.encoder, ids_BT, mask_BT), mask_BT)

    def read(self, layers: Sequence[Tensor], mask_BT: Tensor) -> Tensor:
        """Return the scores of texts from their `task_layers`."""
        told = combined(pool(self.states(layers, mask_BT), mask_BT), self.pairs)
        scores_BC: Tensor = self.classify(self.dropout(told))
        return scores_BC

    def states(
        self, layers: Sequence[Tensor], mask_BT: Tensor, more_BTM: Tensor | None = None
    ) -> Tensor:
        """Return each token's features: its embedding, its BiLSTM state, and any others."""
        scales = self.scale if self.scale.ndim else [self.scale] * len(layers)
        scaled = [
            (x_BTD * scale)[..., self.skip :] for x_BTD, scale in zip(layers, scales, strict=True)
        ]
        x_BTD = self.mix(scaled) if self.mix else scaled[-1]
        if more_BTM is not None:
            x_BTD = torch.cat([x_BTD, more_BTM], -1)
        # One dropout mask for all tokens of a text (Gal and Ghahramani 2016): as good, and far
        # cheaper. Both texts of a pair share it, so words are compared in the same dimensions.
        kept_N1D = self.dropout(x_BTD.new_ones(len(x_BTD) // self.sides, 1, x_BTD.shape[-1]))
        x_BTD = x_BTD * kept_N1D.repeat(self.sides, 1, 1)
        beside = [self.output_mix(scaled)] if self.output_mix else []
        read_BTR = x_BTD
        if self.compare is not None:
            read_BTR = self.compare(compared(x_BTD, mask_BT)).relu()
            beside.append(read_BTR)
        return torch.cat([x_BTD, self.lstm(read_BTR, mask_BT), *beside], -1)

    @property
    def sides(self) -> int:
        """Number of texts per row of scores."""
        return num_sides(self.pairs)

    def text_rows(self, rows: Rows, texts: Encoded) -> Rows:
        """Return the indices of the texts that belong to `rows` of scores, in input order."""
        return rows_of_sides(rows, len(texts) // self.sides, sides=self.sides)

    def mixes(self) -> list[ScalarMix]:
        """Return the weighted sums of layers that the pipeline has."""
        return [mix for mix in (self.mix, self.output_mix) if mix]


def pool(x_BTD: Tensor, mask_BT: Tensor) -> Tensor:
    """Return max and mean over each text's tokens `[batch, 2 * width]`, zeros without tokens."""
    here_BT1 = mask_BT[..., None]
    mean_BD = (x_BTD * here_BT1).sum(1) / here_BT1.sum(1).clamp(min=1)
    highest_BD = x_BTD.masked_fill(~here_BT1, -torch.inf).amax(1)
    return torch.cat([highest_BD.masked_fill(~mask_BT.any(1, keepdim=True), 0.0), mean_BD], -1)
