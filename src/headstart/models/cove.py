"""CoVe: contextualized word vectors from the encoder of a translation model (MT-LSTM).

McCann, Bradbury, Xiong and Socher, "Learned in Translation: Contextualized Word Vectors", NeurIPS
2017 (https://arxiv.org/abs/1708.00107). A two-layer bidirectional LSTM encodes word vectors. A
decoder with global attention (Luong, Pham and Manning 2015, https://arxiv.org/abs/1508.04025:
"general" scores, input feeding) is trained to translate the sentence and is not needed afterwards:
a task uses `[GloVe(w); CoVe(w)]`, the word vector concatenated with the encoder's hidden state.

`[ours]` marks where we differ from the authors' code: source padding is never attended to; the
softmax is tied to the decoder's embeddings (Press and Wolf 2017); word vectors are brought to a
common scale; weights start uniform by fan-in, and the forget gates' biases at 1. A sentence's
states do not depend on the rest of its batch: in float32 they are bit-identical in any batch.

Shapes: B sentences, S source words, T target tokens, E width of a word vector, H units per
direction, D = 2H units of the decoder, G = 4D gates, L = 2 layers, V target vocabulary, N tokens of
all sentences, P translation hypotheses, K of them per sentence, F width of a target token's vector,
X concatenated features.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from headstart.errors import SettingsError
from headstart.models.attention import Dropout
from headstart.models.recurrence import (
    cell_of,
    new_memory,
    read_both_ways,
    step_cell,
    step_cell_back,
    tanh_backward,
)

LAYERS = 2
_EMBEDDING_STD = 0.5


@dataclass(frozen=True, kw_only=True)
class CoveConfig:
    """The sizes of a CoVe.

    Attributes:
        source_vocabulary: Number of words with vectors, including padding and unknown words.
        vector_width: Size of the word vectors.
        hidden: Units per direction; a hidden state is twice as wide.
        target_vocabulary: Number of target subwords; 0 for an encoder without a decoder.
        dropout: Dropout rate of word vectors and hidden states.
        scale: Factor on the word vectors; `1 / rms` brings all vectors to a common scale.
    """

    source_vocabulary: int
    vector_width: int = 300
    hidden: int = 300
    target_vocabulary: int = 0
    dropout: float = 0.2
    scale: float = 1.0

    def __post_init__(self) -> None:
        for name, least in (
            ("source_vocabulary", 1),
            ("vector_width", 1),
            ("hidden", 1),
            ("target_vocabulary", 0),
        ):
            value = getattr(self, name)
            if type(value) is not int or value < least:
                raise SettingsError(f"{name} must be a whole number from {least}, got {value!r}")
        if type(self.dropout) not in (int, float) or not 0 <= self.dropout < 1:
            raise SettingsError(f"dropout must be in [0, 1), got {self.dropout!r}")
        if type(self.scale) not in (int, float) or not 0 < self.scale < math.inf:
            raise SettingsError(f"scale must be above 0, got {self.scale!r}")


@dataclass(frozen=True)
class Reading:
    """The encoder's output for some sentences.

    Attributes:
        layers: The hidden states of each layer `[B, S, D]`, zero at padding.
        states_LBD: Each layer's final states, both directions concatenated.
        cells_LBD: The corresponding cell states.
    """

    layers: list[Tensor]
    states_LBD: Tensor
    cells_LBD: Tensor


class Cove(nn.Module):
    """The encoder, with the decoder it was trained with if it has one.

    Args:
        config: The sizes.
        generator: Source of the random initialization.
    """

    def __init__(self, config: CoveConfig, *, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.config = config
        self.width = 2 * config.hidden
        self.embedding = nn.Embedding(config.source_vocabulary, config.vector_width, padding_idx=0)
        self.layers = nn.ModuleList(
            nn.LSTM(width, config.hidden, bidirectional=True)
            for width in (config.vector_width, self.width)
        )
        self.dropout = Dropout(config.dropout)
        self.decoder = Decoder(config) if config.target_vocabulary else None
        init_weights(self, generator)

    def encode(
        self, ids_BS: Tensor, mask_BS: Tensor, segments_BS: Tensor | None = None
    ) -> list[Tensor]:
        """Return the hidden states of both layers `[B, S, D]`; rows hold words, then padding."""
        del segments_BS
        return self.read(ids_BS, mask_BS).layers

    def read(self, ids_BS: Tensor, mask_BS: Tensor) -> Reading:
        """Return the encoder's output; an empty sentence is encoded as one word of padding."""
        mask_BS = mask_BS.clone()
        mask_BS[:, 0] = True
        x_BSE = self.dropout(self.embedding(ids_BS) * self.config.scale)
        layers, states, cells = [], [], []
        for layer in self.layers:
            x_BSE, state_BD, cell_BD = read_both_ways(layer, x_BSE, mask_BS)
            x_BSE = self.dropout(x_BSE)
            layers.append(x_BSE)
            states.append(state_BD)
            cells.append(cell_BD)
        return Reading(layers, torch.stack(states), torch.stack(cells))

    def target_states(
        self, ids_BS: Tensor, mask_BS: Tensor, before_BT: Tensor, lengths: Sequence[int]
    ) -> Tensor:
        """Return the output that predicts each target token from those before it `[N, D]`.

        Outputs are in time-step order: the first token of every sentence, then the second.

        Args:
            ids_BS: Source word ids.
            mask_BS: True at words, False at padding.
            before_BT: The token before each target token; the first one begins a text.
            lengths: Target tokens of each sentence, 1 or more, in descending order.

        Raises:
            SettingsError: This encoder has no decoder.
        """
        decoder = self.translator()
        memory = decoder.look_at(self.read(ids_BS, mask_BS), mask_BS)
        return decoder.follow(memory, before_BT, lengths)

    def translator(self) -> "Decoder":
        """Return the decoder.

        Raises:
            SettingsError: This encoder has none.
        """
        if self.decoder is None:
            raise SettingsError("this CoVe has no decoder and cannot translate")
        return self.decoder

    def layer_groups(self) -> list[nn.Module]:
        """Return the word vectors together with the first layer, then the second layer."""
        return [nn.ModuleList([self.embedding, self.layers[0]]), self.layers[1]]


@dataclass(frozen=True)
class Memory:
    """Source sentences prepared for the decoder: everything that is the same at every step.

    Attributes:
        keys_BSD: Multiplied with a decoder state, they give each word's score.
        values_BSD: What each word contributes to the output, weighted by its attention.
        blank_BS: Mask added to the scores: 0 at words and minus infinity at padding.
        states_LBD: Initial hidden states of the decoder.
        cells_LBD: Initial cell states of the decoder.
    """

    keys_BSD: Tensor
    values_BSD: Tensor
    blank_BS: Tensor
    states_LBD: Tensor
    cells_LBD: Tensor


@dataclass(frozen=True)
class Writing:
    """The decoder's state in P translation hypotheses.

    Attributes:
        states_LPD: The hidden states of both layers.
        cells_LPD: The cell states of both layers.
        output_PD: The last output, which is fed into the next step.
    """

    states_LPD: Tensor
    cells_LPD: Tensor
    output_PD: Tensor

    def select(self, rows: Tensor) -> "Writing":
        """Return the given hypotheses; one may be repeated."""
        return Writing(self.states_LPD[:, rows], self.cells_LPD[:, rows], self.output_PD[rows])


class Decoder(nn.Module):
    """Generates the target sentence, attending to the source before each token.

    The first layer reads the previous token and the previous output (input feeding). The second
    layer's state h attends to the source by `softmax(h' W s)`. The output is
    `tanh(U [context; h])`.
    """

    def __init__(self, config: CoveConfig) -> None:
        super().__init__()
        width = 2 * config.hidden
        self.tokens = nn.Embedding(config.target_vocabulary, width)
        self.token_bias = nn.Parameter(torch.zeros(config.target_vocabulary))
        self.lower = nn.LSTMCell(2 * width, width)
        self.upper = nn.LSTMCell(width, width)
        self.attend = nn.Linear(width, width, bias=False)
        self.combine = nn.Linear(2 * width, width, bias=False)
        self.dropout = Dropout(config.dropout)

    def look_at(self, reading: Reading, mask_BS: Tensor) -> Memory:
        """Return what every step needs to know of the source."""
        top_BSD = reading.layers[-1]
        context_DD, _ = self.combine.weight.chunk(2, -1)
        blank_BS = torch.zeros(mask_BS.shape, device=mask_BS.device)
        blank_BS.masked_fill_(~mask_BS, -torch.inf)[:, 0] = 0.0  # if empty: attend to padding
        return Memory(
            F.linear(top_BSD, self.attend.weight.T),  # h' (W s) = (W' h)' s, for all s at once
            F.linear(top_BSD, context_DD),
            blank_BS,
            reading.states_LBD,
            reading.cells_LBD,
        )

    def follow(self, memory: Memory, before_BT: Tensor, lengths: Sequence[int]) -> Tensor:
        """Return the outputs for given tokens (teacher forcing); see `Cove.target_states`."""
        counts = torch.tensor(lengths, device=before_BT.device)
        mask_TB = torch.arange(before_BT.shape[1], device=before_BT.device)[:, None] < counts
        x_NF = self.dropout(self.tokens(before_BT.T[mask_TB]))
        lower, upper = self.lower, self.upper
        of_token_GD, of_output_GD = lower.weight_ih.chunk(2, -1)
        gates_NG = F.linear(x_NF, of_token_GD, lower.bias_ih + lower.bias_hh)
        gates_TBG = gates_NG.new_zeros(*mask_TB.shape, gates_NG.shape[1])
        gates_TBG = gates_TBG.masked_scatter(mask_TB[..., None], gates_NG)
        _, of_state_DD = self.combine.weight.chunk(2, -1)
        apply: Any = _Follow.apply
        outputs_TBD: Tensor = apply(
            gates_TBG,
            memory.states_LBD,
            memory.cells_LBD,
            memory.keys_BSD,
            memory.values_BSD,
            memory.blank_BS,
            torch.cat([of_output_GD, lower.weight_hh], -1),
            torch.cat([upper.weight_ih, upper.weight_hh], -1),
            upper.bias_ih + upper.bias_hh,
            of_state_DD,
            self.dropout(gates_TBG.new_ones(2, *mask_TB.shape, memory.keys_BSD.shape[-1])),
            mask_TB.sum(1).tolist(),
        )
        return outputs_TBD[mask_TB]

    def begin(self, memory: Memory) -> Writing:
        """Return the state before the first token."""
        none_BD = torch.zeros_like(memory.states_LBD[0])
        return Writing(memory.states_LBD, memory.cells_LBD, none_BD)

    def step(
        self, memory: Memory, writing: Writing, before_P: Tensor
    ) -> tuple[Tensor, Writing, Tensor]:
        """Read one token in each of several hypotheses of every sentence (P in all).

        Args:
            memory: The source sentences.
            writing: The decoder's states; those of one sentence are adjacent.
            before_P: The last token of each hypothesis.

        Returns:
            The scores of the next token `[P, V]`, the new states, and attention weights `[P, S]`.
        """
        x_PD = torch.cat([self.tokens(before_P), writing.output_PD], -1)
        lower_PD, lower_cell_PD = self.lower(x_PD, (writing.states_LPD[0], writing.cells_LPD[0]))
        upper_PD, upper_cell_PD = self.upper(
            lower_PD, (writing.states_LPD[1], writing.cells_LPD[1])
        )
        asking_BKD = upper_PD.unflatten(0, (len(memory.keys_BSD), -1))
        scores_BKS = asking_BKD @ memory.keys_BSD.transpose(1, 2) + memory.blank_BS[:, None]
        attention_BKS = scores_BKS.softmax(-1)
        context_PD = (attention_BKS.to(memory.values_BSD.dtype) @ memory.values_BSD).flatten(0, 1)
        _, of_state_DD = self.combine.weight.chunk(2, -1)
        output_PD = (context_PD + F.linear(upper_PD, of_state_DD)).tanh()
        places = Writing(
            torch.stack([lower_PD, upper_PD]),
            torch.stack([lower_cell_PD, upper_cell_PD]),
            output_PD,
        )
        scores_PV = F.linear(output_PD, self.tokens.weight, self.token_bias)
        return scores_PV, places, attention_BKS.flatten(0, 1)


class _Follow(torch.autograd.Function):
    """All steps of the decoder with teacher forcing, and a hand-written backward pass.

    Step t processes only the first sentences, those that have a token there. The loop contains
    only what depends on the previous step; the gradient of each weight is a single product over
    all steps, after the loop.
    """

    @staticmethod
    def forward(  # noqa: PLR0913, PLR0917 - takes many tensors
        ctx: Any,  # noqa: ANN401 - torch's context has no useful type
        gates_TBG: Tensor,
        states_LBD: Tensor,
        cells_LBD: Tensor,
        keys_BSD: Tensor,
        values_BSD: Tensor,
        blank_BS: Tensor,
        lower_GX: Tensor,
        upper_GX: Tensor,
        upper_bias_G: Tensor,
        of_state_DD: Tensor,
        kept_2TBD: Tensor,
        rows: list[int],
    ) -> Tensor:
        kind, width = gates_TBG.dtype, states_LBD.shape[-1]
        lower, upper, of_state = (w.to(kind) for w in (lower_GX, upper_GX, of_state_DD))
        bias = upper_bias_G.to(kind)
        keys_BSD, values_BSD = keys_BSD.to(kind), values_BSD.to(kind)
        cells_LBD = cells_LBD.to(torch.promote_types(kind, torch.float32))
        steps, batch = gates_TBG.shape[:2]
        memory_LTBX = torch.stack([new_memory(gates_TBG, width)] * LAYERS)
        into_LTBX = gates_TBG.new_zeros(LAYERS, steps, batch, 2 * width)  # input of each layer
        attention_TBS = gates_TBG.new_zeros(steps, *blank_BS.shape)
        states_TBD, outputs_TBD = gates_TBG.new_zeros(2, steps, batch, width)
        into_LTBX[:, 0, :, width:] = states_LBD
        for step, count in enumerate(rows):
            at = step, slice(count)
            before = cells_LBD if step == 0 else cell_of(memory_LTBX[:, step - 1])
            memory_BX = memory_LTBX[0][at]
            memory_BX[:, : 4 * width] = torch.addmm(gates_TBG[at], into_LTBX[0][at], lower.T)
            state_BD = step_cell(memory_BX, before[0, :count])
            into_LTBX[1][at][:, :width] = state_BD * kept_2TBD[0][at]
            memory_BX = memory_LTBX[1][at]
            memory_BX[:, : 4 * width] = torch.addmm(bias, into_LTBX[1][at], upper.T)
            states_TBD[at] = step_cell(memory_BX, before[1, :count])
            asking_BD = states_TBD[at]
            scores_BS = (keys_BSD[:count] @ asking_BD[..., None])[..., 0]
            attention_TBS[at] = (scores_BS + blank_BS[:count]).softmax(-1)
            context_BD = (attention_TBS[at][:, None] @ values_BSD[:count])[:, 0]
            outputs_TBD[at] = torch.addmm(context_BD, asking_BD, of_state.T).tanh_()
            if step + 1 < len(rows):
                after = step + 1, slice(rows[step + 1])
                fed_BD = outputs_TBD[at] * kept_2TBD[1][at]
                into_LTBX[0][after][:, :width] = fed_BD[after[1]]
                into_LTBX[0][after][:, width:] = state_BD[after[1]]
                into_LTBX[1][after][:, width:] = asking_BD[after[1]]
        ctx.rows = rows
        ctx.save_for_backward(
            *(memory_LTBX, into_LTBX, attention_TBS, states_TBD, outputs_TBD, kept_2TBD),
            *(cells_LBD, keys_BSD, values_BSD, lower, upper, of_state),
        )
        return outputs_TBD * kept_2TBD[1]

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, by_outputs_TBD: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        memory_LTBX, into_LTBX, attention_TBS, states_TBD, outputs_TBD = ctx.saved_tensors[:5]
        kept_2TBD, cells_LBD, keys_BSD, values_BSD, lower, upper, of_state = ctx.saved_tensors[5:]
        rows: list[int] = ctx.rows
        width = states_TBD.shape[-1]
        by_gates_LTBG = memory_LTBX.new_zeros(
            *memory_LTBX.shape[:3], 4 * width, dtype=states_TBD.dtype
        )
        by_sums_TBD = torch.zeros_like(outputs_TBD)  # before the output's tanh
        by_scores_TBS = torch.zeros_like(attention_TBS)
        by_cells_LBD = torch.zeros_like(cells_LBD)
        by_into_LBX = into_LTBX.new_zeros(LAYERS, *into_LTBX.shape[2:])  # of the next step
        for step in range(len(rows) - 1, -1, -1):
            count = rows[step]
            at = step, slice(count)
            before = cells_LBD if step == 0 else cell_of(memory_LTBX[:, step - 1])
            by_output_BD = (by_outputs_TBD[at] + by_into_LBX[0, :count, :width]) * kept_2TBD[1][at]
            by_sums_TBD[at] = tanh_backward(by_output_BD, outputs_TBD[at])
            by_sum_BD, share_BS = by_sums_TBD[at], attention_TBS[at]
            by_share_BS = (values_BSD[:count] @ by_sum_BD[..., None])[..., 0]
            by_share_BS = by_share_BS - (share_BS * by_share_BS).sum(-1, keepdim=True)
            by_scores_TBS[at] = share_BS * by_share_BS
            by_state_BD = torch.addmm(by_into_LBX[1, :count, width:], by_sum_BD, of_state)
            by_state_BD += (by_scores_TBS[at][:, None] @ keys_BSD[:count])[:, 0]
            by_gates_LTBG[1][at], by_cells_LBD[1, :count] = step_cell_back(
                memory_LTBX[1][at], before[1, :count], by_state_BD, by_cells_LBD[1, :count]
            )
            by_into_LBX[1, :count] = by_gates_LTBG[1][at] @ upper
            by_state_BD = by_into_LBX[1, :count, :width] * kept_2TBD[0][at]
            by_state_BD += by_into_LBX[0, :count, width:]
            by_gates_LTBG[0][at], by_cells_LBD[0, :count] = step_cell_back(
                memory_LTBX[0][at], before[0, :count], by_state_BD, by_cells_LBD[0, :count]
            )
            by_into_LBX[0, :count] = by_gates_LTBG[0][at] @ lower
        by_lower, by_upper = by_gates_LTBG.flatten(1, 2).transpose(1, 2) @ into_LTBX.flatten(1, 2)
        return (
            by_gates_LTBG[0],
            by_into_LBX[..., width:],
            by_cells_LBD,
            torch.einsum("tbs,tbd->bsd", by_scores_TBS, states_TBD),
            torch.einsum("tbs,tbd->bsd", attention_TBS, by_sums_TBD),
            None,
            by_lower,
            by_upper,
            by_gates_LTBG[1].sum((0, 1)),
            by_sums_TBD.flatten(0, 1).T @ states_TBD.flatten(0, 1),
            None,
            None,
        )


def init_weights(model: Cove, generator: torch.Generator | None) -> None:
    """Initialize weights: uniform by fan-in, forget gates' biases 1, embeddings from a normal.

    The target embeddings are large enough to matter beside the hidden states from the first step.
    With the small embeddings usual for a softmax, the decoder learns to attend much later.
    """
    for name, parameter in model.named_parameters():
        if parameter.ndim == 1:
            nn.init.zeros_(parameter)
            if "bias_hh" in name:
                units = len(parameter) // 4
                nn.init.ones_(parameter[units : 2 * units])
        elif name.endswith(("embedding.weight", "tokens.weight")):
            nn.init.normal_(parameter, std=_EMBEDDING_STD, generator=generator)
        else:
            bound = parameter.shape[1] ** -0.5
            nn.init.uniform_(parameter, -bound, bound, generator=generator)
    with torch.no_grad():
        model.embedding.weight[0] = 0.0
