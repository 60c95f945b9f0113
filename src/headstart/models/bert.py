"""BERT: a bidirectional Transformer encoder.

Devlin, Chang, Lee and Toutanova, "BERT: Pre-training of Deep Bidirectional Transformers for
Language Understanding", NAACL 2019 (https://arxiv.org/abs/1810.04805). RoBERTa (Liu et al. 2019,
https://arxiv.org/abs/1907.11692) is the same model with one segment, no pooler and no next-sentence
head. `[code]` marks details of the authors' code that the paper does not mention, `[ours]` marks
where we differ.

Shapes: B batch (rows), T tokens, S tokens attended to, M wanted tokens of a row, D width, H heads,
K head width, V vocabulary, N predictions.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from headstart.errors import SettingsError
from headstart.models.attention import (
    Dropout,
    LayerNorm,
    attend,
    attention_bias,
    compute_dtype,
    join_heads,
    split_heads,
)


@dataclass(frozen=True, kw_only=True)
class BertConfig:
    """The sizes of a BERT.

    Attributes:
        vocabulary_size: Number of word pieces.
        width: Size of the hidden states.
        layers: Number of Transformer blocks.
        heads: Number of attention heads; it must divide the width.
        feed_forward: Width inside the feed-forward layers.
        positions: Maximum number of tokens of a text, or of a pair.
        segments: Number of segment types: 2 for pairs, 1 if segments are not used.
        dropout: Dropout rate of hidden states. [ours] No dropout on attention weights.
        norm_eps: Epsilon added to the variance in LayerNorm. [code]
    """

    vocabulary_size: int
    width: int = 256
    layers: int = 4
    heads: int = 4
    feed_forward: int = 1024
    positions: int = 512
    segments: int = 2
    dropout: float = 0.1
    norm_eps: float = 1e-12

    def __post_init__(self) -> None:
        for name in ("vocabulary_size", "width", "layers", "heads", "feed_forward", "positions"):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise SettingsError(f"{name} must be a whole number above 0, got {value!r}")
        if not isinstance(self.dropout, int | float) or not 0 <= self.dropout < 1:
            raise SettingsError(f"dropout must be in [0, 1), got {self.dropout!r}")
        if self.width % self.heads:
            raise SettingsError(f"{self.heads} heads do not divide the width {self.width}")


class Bert(nn.Module):
    """The encoder, with its pretraining heads if it has them.

    Args:
        config: The sizes.
        pooler: Whether to add a dense layer on the first token's state.
        mlm: Whether to add a head for masked tokens.
        nsp: Whether to add a head for next-sentence prediction; it needs the pooler.
        generator: Source of the random initialization.
    """

    def __init__(
        self,
        config: BertConfig,
        *,
        pooler: bool = True,
        mlm: bool = True,
        nsp: bool = True,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.width = config.width
        self.embeddings = Embeddings(config)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.pooler = nn.Linear(config.width, config.width) if pooler else None
        self.mlm = MaskedTokenHead(config) if mlm else None
        self.nsp = nn.Linear(config.width, 2) if nsp else None
        init_weights(self, generator)

    def forward(
        self,
        ids_BT: Tensor,
        sequences_BT: Tensor,
        positions_BT: Tensor,
        segments_BT: Tensor | None = None,
        wanted_BM: Tensor | None = None,
    ) -> list[Tensor]:
        """Return the hidden states of packed rows after the embeddings and after every block.

        A caller that needs only a few states of the last block (a text's first token, the masked
        tokens) can select them: no others are computed, and the last layer is `[B, M, D]`.

        Args:
            ids_BT: Word piece ids.
            sequences_BT: Index of the text each token belongs to, -1 at padding.
            positions_BT: Position of each token in its text, from 0.
            segments_BT: 0 for the first text of a pair and 1 for the second; all 0 if None.
            wanted_BM: Columns of each row whose last states are computed; all if None.
        """
        device = self.embeddings.tokens.weight.device  # inputs may be on another device
        segments_BT = None if segments_BT is None else segments_BT.to(device)
        wanted_BM = None if wanted_BM is None else wanted_BM.to(device)
        x_BTD = self.embeddings(ids_BT.to(device), positions_BT.to(device), segments_BT)
        dtype = compute_dtype(x_BTD)
        bias = attention_bias(sequences_BT.to(device), causal=False, dtype=dtype)
        layers = [x_BTD.to(dtype)]  # post-norm keeps sums small enough for bfloat16
        *lower, top = self.blocks
        for block in lower:
            layers.append(block(layers[-1], bias))
        return [*layers, top(layers[-1], bias, wanted_BM)]

    def encode(
        self, ids_BT: Tensor, mask_BT: Tensor, segments_BT: Tensor | None = None
    ) -> list[Tensor]:
        """Return the hidden states after the embeddings and every block, one text per row."""
        sequences_BT = mask_BT.long() - 1
        positions_BT = torch.arange(ids_BT.shape[1], device=ids_BT.device).expand_as(ids_BT)
        return self(ids_BT, sequences_BT, positions_BT, segments_BT)

    def pool(self, first_ND: Tensor) -> Tensor:
        """Return `tanh(W x)` of first-token states `[N, D]`; the states if there is no pooler."""
        return first_ND if self.pooler is None else torch.tanh(self.pooler(first_ND))

    def token_scores(self, states_ND: Tensor) -> Tensor:
        """Return the score of every word piece at some positions `[N, V]`.

        Raises:
            SettingsError: This encoder has no head for masked tokens.
        """
        head, weight_VD = self.token_head()
        return F.linear(head(states_ND), weight_VD, head.bias)

    def token_head(self) -> tuple["MaskedTokenHead", Tensor]:
        """Return the head for masked tokens and the embedding matrix that it is tied to.

        Raises:
            SettingsError: This encoder has no such head.
        """
        if self.mlm is None:
            raise SettingsError(
                "this encoder has no head for masked tokens: its file contains none; pretrain or "
                "adapt it to add one"
            )
        return self.mlm, self.embeddings.tokens.weight

    def layer_groups(self) -> list[nn.Module]:
        """Return the embeddings and every block."""
        return [self.embeddings, *self.blocks]


class Embeddings(nn.Module):
    """The sum of token, position and segment embeddings."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.tokens = nn.Embedding(config.vocabulary_size, config.width)
        self.positions = nn.Embedding(config.positions, config.width)
        self.segments = nn.Embedding(config.segments, config.width)
        self.norm = LayerNorm(config.width, eps=config.norm_eps)
        self.dropout = Dropout(config.dropout)

    def forward(self, ids_BT: Tensor, positions_BT: Tensor, segments_BT: Tensor | None) -> Tensor:
        if ids_BT.shape[1] > len(self.positions.weight) and (
            int(positions_BT.max()) >= len(self.positions.weight)
        ):
            raise SettingsError(
                f"a text of {int(positions_BT.max()) + 1:,} tokens is longer than the model's "
                f"{len(self.positions.weight):,} positions"
            )
        if segments_BT is None or len(self.segments.weight) == 1:
            segments = self.segments.weight[0]
        else:
            segments = self.segments(segments_BT)
        sum_BTD = self.tokens(ids_BT) + self.positions(positions_BT) + segments
        x_BTD: Tensor = self.dropout(self.norm(sum_BTD))
        return x_BTD


class Block(nn.Module):
    """Transformer block: self-attention, then a feed-forward layer.

    The result of each is added to its input, and LayerNorm is applied to the sum.
    """

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        width = config.width
        self.num_heads = config.heads
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.out = nn.Linear(width, width)
        self.attention_norm = LayerNorm(width, eps=config.norm_eps)
        self.up = nn.Linear(width, config.feed_forward)
        self.down = nn.Linear(config.feed_forward, width)
        self.feed_forward_norm = LayerNorm(width, eps=config.norm_eps)
        self.dropout = Dropout(config.dropout)

    def forward(
        self, x_BTD: Tensor, bias: Tensor | None, wanted_BM: Tensor | None = None
    ) -> Tensor:
        """Return the next hidden states `[B, T, D]`, or only the wanted ones `[B, M, D]`."""
        k_BHSK, v_BHSK = (
            split_heads(project(x_BTD), self.num_heads) for project in (self.key, self.value)
        )
        if wanted_BM is not None:  # keys and values of all tokens, queries of a few
            x_BTD = take_columns(x_BTD, wanted_BM)
            if bias is not None:
                bias = take_columns(bias[:, 0], wanted_BM)[:, None]
        q_BHTK = split_heads(self.query(x_BTD), self.num_heads)
        mixed_BTD = self.out(join_heads(attend(q_BHTK, k_BHSK, v_BHSK, bias)))
        x_BTD = self.attention_norm(x_BTD + self.dropout(mixed_BTD))
        thought_BTD = self.down(F.gelu(self.up(x_BTD)))
        x_BTD = self.feed_forward_norm(x_BTD + self.dropout(thought_BTD))
        return x_BTD


def take_columns(x_BTX: Tensor, columns_BM: Tensor) -> Tensor:
    """Return the given columns of each row `[B, M, ..]`."""
    rows, columns = x_BTX.shape[:2]
    first_B1 = columns * torch.arange(rows, device=x_BTX.device)[:, None]
    taken = x_BTX.flatten(0, 1).index_select(0, (first_B1 + columns_BM).flatten())
    return taken.unflatten(0, columns_BM.shape)


class MaskedTokenHead(nn.Module):
    """Map a masked token's state to a vector that is scored against the tied embeddings."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.width, config.width)
        self.norm = LayerNorm(config.width, eps=config.norm_eps)
        self.bias = nn.Parameter(torch.zeros(config.vocabulary_size))

    def forward(self, states_ND: Tensor) -> Tensor:
        compared_ND: Tensor = self.norm(F.gelu(self.dense(states_ND)))
        return compared_ND


def init_weights(model: nn.Module, generator: torch.Generator | None) -> None:
    """Initialize matrices from a normal (std 0.02, truncated at two stds), all else to 0 or 1."""
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.trunc_normal_(module.weight, std=0.02, a=-0.04, b=0.04, generator=generator)
        if isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)
