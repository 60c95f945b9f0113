"""GPT: a left-to-right Transformer decoder that predicts the next token.

Radford, Narasimhan, Salimans and Sutskever, "Improving Language Understanding by Generative
Pre-Training", 2018 (https://openai.com/index/language-unsupervised), and its successor, "Language
Models are Unsupervised Multitask Learners", 2019, which applies LayerNorm before each part instead
of after it (`norm_first`), and once more at the end. `[ours]` marks where we differ.

Shapes: B batch (rows), T tokens, S tokens attended to, D width, H heads, K head width,
V vocabulary.
"""

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from numbers import Real

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from headstart.errors import SettingsError
from headstart.models.attention import (
    Dropout,
    attend,
    attention_bias,
    compute_dtype,
    join_heads,
    split_heads,
)
from headstart.models.packed_weights import PackedLinear, can_pack

_COLD = 1e-30  # temperatures below count as 0; float32 scores can still be divided by it


@dataclass(frozen=True, kw_only=True)
class GptConfig:
    """The sizes of a GPT.

    Attributes:
        vocabulary_size: Number of subwords, including special tokens.
        width: Size of the hidden states.
        layers: Number of Transformer blocks.
        heads: Number of attention heads; it must divide the width.
        feed_forward: Width inside the feed-forward layers.
        positions: Maximum number of tokens of a text.
        norm_first: LayerNorm before each part and at the end (GPT-2), or after each part (GPT-1).
        tanh_gelu: Use GELU's tanh approximation, as both originals; [ours] exact, which is faster.
        dropout: Dropout rate of hidden states. [ours] No dropout on attention weights.
        norm_eps: Epsilon added to the variance in LayerNorm.
    """

    vocabulary_size: int
    width: int = 256
    layers: int = 4
    heads: int = 4
    feed_forward: int = 1024
    positions: int = 512
    norm_first: bool = True
    tanh_gelu: bool = False
    dropout: float = 0.1
    norm_eps: float = 1e-5

    def __post_init__(self) -> None:
        for name in ("vocabulary_size", "width", "layers", "heads", "feed_forward", "positions"):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise SettingsError(f"{name} must be a whole number above 0, got {value!r}")
        if not isinstance(self.dropout, int | float) or not 0 <= self.dropout < 1:
            raise SettingsError(f"dropout must be in [0, 1), got {self.dropout!r}")
        if self.width % self.heads:
            raise SettingsError(f"{self.heads} heads do not divide the width {self.width}")


class Gpt(nn.Module):
    """The decoder; its last hidden state, times the embeddings, scores the next token.

    Args:
        config: The sizes.
        generator: Source of the random initialization.
    """

    is_causal = True

    def __init__(self, config: GptConfig, *, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.config = config
        self.width = config.width
        self.tokens = nn.Embedding(config.vocabulary_size, config.width)
        self.positions = nn.Embedding(config.positions, config.width)
        self.dropout = Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = (
            nn.LayerNorm(config.width, eps=config.norm_eps) if config.norm_first else nn.Identity()
        )
        init_weights(self, generator)

    def forward(self, ids_BT: Tensor, sequences_BT: Tensor, positions_BT: Tensor) -> list[Tensor]:
        """Return the hidden states of packed rows after the embeddings and after every block.

        Args:
            ids_BT: Token ids.
            sequences_BT: Index of the text each token belongs to, -1 at padding.
            positions_BT: Position of each token in its text, from 0.
        """
        x_BTD = self.embed(ids_BT, positions_BT)
        sequences_BT = sequences_BT.to(x_BTD.device)
        bias = attention_bias(sequences_BT, causal=True, dtype=compute_dtype(x_BTD))
        layers = [x_BTD]
        for block in self.blocks:
            layers.append(block(layers[-1], bias))
        layers[-1] = self.norm(layers[-1])
        return layers

    def encode(
        self, ids_BT: Tensor, mask_BT: Tensor, segments_BT: Tensor | None = None
    ) -> list[Tensor]:
        """Return the hidden states after the embeddings and every block, one text per row."""
        del segments_BT
        positions_BT = torch.arange(ids_BT.shape[1], device=ids_BT.device).expand_as(ids_BT)
        return self(ids_BT, mask_BT.long() - 1, positions_BT)

    def embed(self, ids_BT: Tensor, positions_BT: Tensor) -> Tensor:
        """Return the sum of token and position embeddings."""
        if ids_BT.shape[1] > len(self.positions.weight) and (
            int(positions_BT.max()) >= len(self.positions.weight)
        ):
            raise SettingsError(
                f"a text of {int(positions_BT.max()) + 1:,} tokens is longer than the model's "
                f"{len(self.positions.weight):,} positions"
            )
        device = self.tokens.weight.device  # inputs may be on another device
        ids_BT, positions_BT = ids_BT.to(device), positions_BT.to(device)
        x_BTD: Tensor = self.dropout(self.tokens(ids_BT) + self.positions(positions_BT))
        return x_BTD

    def token_scores(self, states: Tensor) -> Tensor:
        """Return the score of every token as the next one `[..., V]`."""
        return F.linear(states, self.tokens.weight)

    def layer_groups(self) -> list[nn.Module]:
        """Return the embeddings and every block, the last one with the final norm."""
        *lower, top = self.blocks
        return [
            nn.ModuleList([self.tokens, self.positions]),
            *lower,
            nn.ModuleList([top, self.norm]),
        ]


class Block(nn.Module):
    """Transformer block: causal self-attention, then a feed-forward layer.

    The result of each is added to its input. LayerNorm is applied to what each part reads
    (`norm_first`), or to the sum.
    """

    def __init__(self, config: GptConfig) -> None:
        super().__init__()
        width = config.width
        self.num_heads = config.heads
        self.norm_first = config.norm_first
        self.gelu = "tanh" if config.tanh_gelu else "none"
        self.attention_norm = nn.LayerNorm(width, eps=config.norm_eps)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.feed_forward_norm = nn.LayerNorm(width, eps=config.norm_eps)
        self.up = nn.Linear(width, config.feed_forward)
        self.down = nn.Linear(config.feed_forward, width)
        self.dropout = Dropout(config.dropout)

    def forward(self, x_BTD: Tensor, bias: Tensor | None, cache: "Cache | None" = None) -> Tensor:
        if self.norm_first:
            x_BTD = x_BTD + self.dropout(self.attention(self.attention_norm(x_BTD), bias, cache))
            x_BTD = x_BTD + self.dropout(self.feed_forward(self.feed_forward_norm(x_BTD)))
        else:
            x_BTD = self.attention_norm(x_BTD + self.dropout(self.attention(x_BTD, bias, cache)))
            x_BTD = self.feed_forward_norm(x_BTD + self.dropout(self.feed_forward(x_BTD)))
        return x_BTD

    def attention(self, x_BTD: Tensor, bias: Tensor | None, cache: "Cache | None") -> Tensor:
        q_BHTK, k_BHSK, v_BHSK = (
            split_heads(part_BTD, self.num_heads) for part_BTD in self.qkv(x_BTD).chunk(3, -1)
        )
        if cache is not None:
            k_BHSK, v_BHSK = cache.extend(k_BHSK, v_BHSK)
        mixed_BTD: Tensor = self.out(join_heads(attend(q_BHTK, k_BHSK, v_BHSK, bias)))
        return mixed_BTD

    def feed_forward(self, x_BTD: Tensor) -> Tensor:
        thought_BTD: Tensor = self.down(F.gelu(self.up(x_BTD), approximate=self.gelu))
        return thought_BTD


def init_weights(model: Gpt, generator: torch.Generator | None) -> None:
    """Initialize matrices from a normal of std 0.02, all else to 0 or 1.

    As in GPT-2, the layers that add to the residual stream start smaller the more blocks there are.
    """
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=0.02, generator=generator)
        if isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)
    with torch.no_grad():
        for block in model.modules():
            if isinstance(block, Block) and block.norm_first:
                for added in (block.out, block.down):
                    added.weight /= math.sqrt(2 * model.config.layers)


def laid_out(model: Gpt, rows: int) -> tuple[Gpt, Callable[[Tensor], Tensor]]:
    """Return the model with matrices laid out to generate `rows` rows, and its `token_scores`.

    It is in evaluation mode and shares everything else with the model. Products of few rows are
    limited by reading their matrix. A product of one row is up to four times faster with a
    column-major matrix; products of several rows take about half the time with a matrix packed in
    blocks for the CPU.
    """
    same = copy.deepcopy(model, {id(each): each for each in model.parameters()}).eval()
    if rows > 1 and same.tokens.weight.dtype == torch.float32 and can_pack(same.tokens.weight):
        for module in [*same.modules()]:
            for name, layer in module.named_children():
                if isinstance(layer, nn.Linear):
                    setattr(module, name, PackedLinear(layer.weight, layer.bias, rows=rows))
        return same, PackedLinear(same.tokens.weight, None, rows=rows)
    for module in same.modules():
        if isinstance(module, nn.Linear) or module is same.tokens:
            by_column = module.weight.detach().t().contiguous().t()
            module.weight = nn.Parameter(by_column, requires_grad=False)
    return same, same.token_scores


class Cache:
    """The keys and values of the tokens a block has processed, with room for later ones."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.length = 0
        self.kept = torch.empty(0)

    def extend(self, k_BHTK: Tensor, v_BHTK: Tensor) -> tuple[Tensor, Tensor]:
        """Append keys and values; return all of them."""
        if not self.length:
            batch, heads, _, size = k_BHTK.shape
            self.kept = k_BHTK.new_empty(2, batch, heads, self.capacity, size)
        start, self.length = self.length, self.length + k_BHTK.shape[2]
        self.kept[0, :, :, start : self.length] = k_BHTK
        self.kept[1, :, :, start : self.length] = v_BHTK
        k_BHSK, v_BHSK = self.kept[:, :, :, : self.length]
        return k_BHSK, v_BHSK


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How the next token is chosen.

    Attributes:
        temperature: Scores are divided by it; at 0 the likeliest token is taken.
        top_k: Sample only from this many of the likeliest tokens; all if None.
        top_p: Sample only from the likeliest tokens that make up this probability; all if None.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None

    def __post_init__(self) -> None:
        if not _is_number(self.temperature) or not 0 <= self.temperature < math.inf:
            raise SettingsError(f"temperature must be 0 or more, got {self.temperature!r}")
        if self.top_k is not None and (type(self.top_k) is not int or self.top_k < 1):
            raise SettingsError(f"top_k must be a whole number above 0, got {self.top_k!r}")
        if self.top_p is not None and not (_is_number(self.top_p) and 0 < self.top_p <= 1):
            raise SettingsError(f"top_p must be above 0 and at most 1, got {self.top_p!r}")

    def choose(self, scores_BV: Tensor, generator: torch.Generator) -> Tensor:
        """Return one token for each row `[B]`."""
        if self.temperature < _COLD:
            return scores_BV.argmax(-1)
        number = min(self.top_k or scores_BV.shape[-1], scores_BV.shape[-1])
        highest_BK, tokens_BK = scores_BV.topk(number)  # descending
        below_BK = (highest_BK - highest_BK[:, :1]) / self.temperature
        sums_BK = below_BK.softmax(-1).cumsum(-1)
        total_B1 = sums_BK[:, -1:]
        if self.top_p is not None:  # the fewest that reach this sum
            reached_B1 = (sums_BK < self.top_p * total_B1).sum(-1, keepdim=True)
            total_B1 = sums_BK.gather(-1, reached_B1.clamp(max=number - 1))
        drawn_B1 = torch.rand(len(sums_BK), 1, generator=generator) * total_B1
        at_B1 = torch.searchsorted(sums_BK, drawn_B1, right=True).clamp_(max=number - 1)
        return tokens_BK.gather(-1, at_B1)[:, 0]


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def generate(
    model: Gpt,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    sampling: Sampling,
    generator: torch.Generator,
) -> Iterator[Tensor]:
    """Yield the next token of every prompt, one step at a time `[B]`.

    Keys and values are cached: a new token costs one position instead of a full forward pass.

    Raises:
        SettingsError: A prompt is empty, or the model has no room for prompt and new tokens.
    """
    longest = max(map(len, prompts), default=0)
    if not prompts or not all(prompts):
        raise SettingsError("a prompt is empty; give it at least one token")
    if longest + max_new_tokens > model.config.positions:
        raise SettingsError(
            f"a prompt of {longest:,} tokens and {max_new_tokens:,} new ones exceed the model's "
            f"{model.config.positions:,} positions; shorten the prompt or generate fewer tokens"
        )
    model, token_scores = laid_out(model, len(prompts))
    padding = [longest - len(prompt) for prompt in prompts]  # on the left: rows end together
    rows = zip(padding, prompts, strict=True)
    ids_BT = torch.tensor([[0] * blank + list(prompt) for blank, prompt in rows])
    places_BT = torch.arange(longest) - torch.tensor(padding)[:, None]
    caches = [Cache(longest + max_new_tokens) for _ in model.blocks]
    device = model.tokens.weight.device
    own_BT = places_BT.clamp(max=0).sign().to(device)
    bias = attention_bias(own_BT, causal=True, dtype=torch.float32)
    columns = torch.arange(longest + max_new_tokens)
    blank_BS = columns < torch.tensor(padding)[:, None]
    later = torch.zeros(blank_BS.shape).masked_fill_(blank_BS, -torch.inf)[:, None, None].to(device)
    for _ in range(max_new_tokens):
        x_BTD = model.embed(ids_BT, places_BT.clamp(min=0))
        for block, cache in zip(model.blocks, caches, strict=True):
            x_BTD = block(x_BTD, bias, cache)
        scores_BV = token_scores(model.norm(x_BTD[:, -1]))
        chosen_B = sampling.choose(scores_BV.cpu(), generator)
        yield chosen_B
        ids_BT, places_BT = chosen_B[:, None], places_BT[:, -1:] + 1
        bias = later[..., : caches[0].length + 1] if any(padding) else None
