"""ELMo: character-based words, encoded by two LSTM language models, one in each direction.

Peters, Neumann, Iyyer, Gardner, Clark, Lee and Zettlemoyer, "Deep contextualized word
representations", NAACL 2018 (https://arxiv.org/abs/1802.05365); the token layer is that of Kim,
Jernite, Sontag and Rush, "Character-Aware Neural Language Models", AAAI 2016
(https://arxiv.org/abs/1508.06615). [ours] The LSTMs start every sentence from an empty memory,
unless `Elmo.read` gets one; the original carries it over from the previous batch.

Shapes: B batch (rows), T words, C characters per word, W distinct words, L of their characters, F
filters, P projection size, H cells, G = 4 H gates, D = 2 directions: 0 reads from left to right, 1
from right to left, N words or predictions of all rows, K sampled words.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from headstart.errors import SettingsError
from headstart.models.attention import Dropout
from headstart.models.cross_entropy import linear_cross_entropy, sampled_cross_entropy
from headstart.tokenize.characters import BEGIN, CHARACTERS, END, PADDED, PER_WORD

_AT_ONCE = 16  # rows, or words, per product without gradients: see `Elmo.encode`
_LENGTHS = (12, 18, PER_WORD)  # lengths to which padded words are cut before convolution


@dataclass(frozen=True, kw_only=True)
class ElmoConfig:
    """The sizes of an ELMo.

    Attributes:
        filters: Width and number of the convolutions over a word's characters.
        character_width: Size of the character embeddings.
        highways: Number of highway layers between the convolutions and the projection.
        projection: Size of a word's vector, and of a hidden state, per direction.
        cells: Number of memory cells of an LSTM.
        layers: Number of LSTMs per direction.
        skip: Whether a layer's input is added to its output, from the second layer on.
        cell_clip: Cell states are clipped to plus or minus this value; None: not clipped.
        projection_clip: The same for hidden states.
        tanh: Whether convolutions use tanh instead of ReLU.
        vocabulary_size: Number of words it can predict, most frequent first; 0: no softmax.
        dropout: Dropout rate of each LSTM's input, and of the last LSTM's output.
    """

    filters: tuple[tuple[int, int], ...]
    character_width: int = 16
    highways: int = 1
    projection: int = 128
    cells: int = 512
    layers: int = 2
    skip: bool = True
    cell_clip: float | None = 3.0
    projection_clip: float | None = 3.0
    tanh: bool = False
    vocabulary_size: int = 0
    dropout: float = 0.1

    def __post_init__(self) -> None:
        for name in ("character_width", "projection", "cells", "layers"):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise SettingsError(f"{name} must be a whole number above 0, got {value!r}")
        for name in ("highways", "vocabulary_size"):
            value = getattr(self, name)
            if type(value) is not int or value < 0:
                raise SettingsError(f"{name} must be a whole number from 0, got {value!r}")
        for width, number in self.filters or ((0, 0),):
            if not (1 <= width <= PER_WORD and number >= 1):
                raise SettingsError(
                    f"filters must have a width from 1 to {PER_WORD} and a number above 0, "
                    f"got {number} of width {width}"
                )
        for name in ("cell_clip", "projection_clip"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise SettingsError(f"{name} must be above 0 or None, got {value!r}")
        if not isinstance(self.dropout, int | float) or not 0 <= self.dropout < 1:
            raise SettingsError(f"dropout must be in [0, 1), got {self.dropout!r}")


@dataclass(frozen=True)
class State:
    """The memory of the LSTMs after a batch.

    Attributes:
        states: The last output of each layer, before the skip connection `[layers, D, B, P]`.
        cells: The last cell states of each layer `[layers, D, B, H]`.
    """

    states: Tensor
    cells: Tensor

    def rows(self, start: int, end: int) -> "State":
        """Return the memory of these rows, which is zero for rows that do not exist."""
        missing = (0, 0, 0, max(0, end - self.cells.shape[2]))
        states, cells = (F.pad(each, missing) for each in (self.states, self.cells))
        return State(states[:, :, start:end], cells[:, :, start:end])


class Elmo(nn.Module):
    """The bidirectional language model.

    Args:
        config: The sizes.
        generator: Source of the random initialization.
    """

    def __init__(self, config: ElmoConfig, *, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.config = config
        self.width = 2 * config.projection
        self.tokens = TokenLayer(config)
        self.lstms = nn.ModuleList(BiLstm(config) for _ in range(config.layers))
        self.dropout = Dropout(config.dropout)
        self.softmax = (
            nn.Linear(config.projection, config.vocabulary_size) if config.vocabulary_size else None
        )
        init_weights(self, generator)

    def forward(self, characters_WC: Tensor, numbers_DTB: Tensor) -> Tensor:
        """Return the last layer's output for full rows, to predict from `[D, T, B, P]`.

        Args:
            characters_WC: Distinct words of all rows, including those that begin and end sentences.
            numbers_DTB: Index of the word at each position; direction 1 is already reversed.
        """
        tokens_DTBP = F.embedding(numbers_DTB, self.tokens(characters_WC))
        layers, _, _ = self.run_lstms(tokens_DTBP, None)
        top_DTBP: Tensor = self.dropout(layers[-1])
        return top_DTBP

    def encode(
        self, ids_BTC: Tensor, mask_BT: Tensor, segments_BT: Tensor | None = None
    ) -> list[Tensor]:
        """Return the token layer, concatenated with itself, and every LSTM's bidirectional states.

        Without gradients, a sentence's vectors are bit-identical in any batch: every product has
        the same number of rows, whatever the batch size, and no memory is carried over between
        batches.

        Args:
            ids_BTC: Words encoded by `tokenize.characters`, without sentence boundaries.
            mask_BT: True at words, which come first in a row.
            segments_BT: Ignored.
        """
        del segments_BT
        distinct_WC, numbers_N = torch.unique(ids_BTC[mask_BT], dim=0, return_inverse=True)
        numbers_BT = torch.zeros(mask_BT.shape, dtype=torch.long, device=mask_BT.device)
        numbers_BT[mask_BT] = numbers_N + 1  # 0: no word
        tokens_WP = F.pad(self.tokens(distinct_WC), (0, 0, 1, 0))
        return self.read(F.embedding(numbers_BT, tokens_WP), mask_BT.sum(1))[0]

    def read(
        self, tokens_BTP: Tensor, lengths_B: Tensor, state: State | None = None
    ) -> tuple[list[Tensor], State]:
        """Return every layer's vectors of sentences, and the LSTMs' memory at their ends.

        Args:
            tokens_BTP: Token-layer vectors of the words; anything after a sentence is ignored.
            lengths_B: Number of words of each sentence.
            state: Memory of the previous sentences, row by row; None: empty.
        """
        rows = len(tokens_BTP)
        at_once = rows if torch.is_grad_enabled() else _AT_ONCE
        ends_2P = self.tokens(ends_of_sentences(tokens_BTP.device)).to(tokens_BTP.dtype)
        parts = []
        for start in range(0, rows, at_once):
            missing = max(0, start + at_once - rows)
            lengths = F.pad(lengths_B[start : start + at_once], (0, missing))
            longest = int(lengths.max())
            part_BTP = tokens_BTP[start : start + at_once, :longest]
            part_BTP = F.pad(part_BTP, (0, 0, 1, 1, 0, missing))
            memory = None if state is None else state.rows(start, start + at_once)
            parts.append(self._read_rows(part_BTP, lengths + 2, ends_2P, memory))
        layers = [tokens_BTP.repeat(1, 1, 2)]
        for of_layer in zip(*(part for part, _ in parts), strict=True):
            whole_BTP = tokens_BTP.new_zeros((rows, tokens_BTP.shape[1], self.width))
            for start, part_BTP in zip(range(0, rows, at_once), of_layer, strict=True):
                whole_BTP[start : start + at_once, : part_BTP.shape[1]] = part_BTP[: rows - start]
            layers.append(whole_BTP)
        after = State(
            torch.cat([state.states for _, state in parts], 2),
            torch.cat([state.cells for _, state in parts], 2),
        )
        return layers, after.rows(0, rows)

    def _read_rows(
        self, tokens_BTP: Tensor, lengths_B: Tensor, ends_2P: Tensor, state: State | None
    ) -> tuple[list[Tensor], State]:
        """Encode sentences, padded for their boundaries; return vectors without boundaries."""
        rows = torch.arange(len(tokens_BTP), device=tokens_BTP.device)
        last_B = lengths_B - 1
        at_T = torch.arange(tokens_BTP.shape[1], device=rows.device)[:, None]
        back_TB = torch.where(at_T <= last_B, last_B - at_T, at_T)  # its own inverse
        is_end_TB1 = (at_T == last_B)[..., None]
        x_TBP = torch.where(is_end_TB1, ends_2P[1], tokens_BTP.transpose(0, 1))
        x_TBP = torch.where((at_T == 0)[..., None], ends_2P[0], x_TBP)
        layers, states, cells = self.run_lstms(torch.stack([x_TBP, x_TBP[back_TB, rows]]), state)
        done = [
            torch.cat([y_DTBP[0], y_DTBP[1][back_TB, rows]], -1).transpose(0, 1)[:, 1:-1]
            for y_DTBP in layers
        ]
        after = (torch.stack([each[:, last_B, rows] for each in of]) for of in (states, cells))
        return done, State(*after)

    def run_lstms(
        self, tokens_DTBP: Tensor, state: State | None
    ) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """Return each layer's output, its states before the skip connection, and its cells."""
        layers, states, cells = [tokens_DTBP], [], []
        for number, lstm in enumerate(self.lstms):
            memory = None if state is None else (state.states[number], state.cells[number])
            read = self.dropout(layers[-1])
            states_DTBP, cells_DTBH = lstm(read, memory)
            states.append(states_DTBP)
            cells.append(cells_DTBH)
            layers.append(states_DTBP + read if number and self.config.skip else states_DTBP)
        return layers[1:], states, cells

    def prediction_loss(self, top_NP: Tensor, targets_N: Tensor) -> Tensor:
        """Return the sum of `-log softmax` over the full vocabulary."""
        softmax = self._softmax()
        return linear_cross_entropy(top_NP, softmax.weight, softmax.bias, targets_N)

    def sampled_loss(
        self, top_NP: Tensor, targets_N: Tensor, sampled_K: Tensor, log_counts_K: Tensor
    ) -> Tensor:
        """Return an estimate of the same loss from sampled words; see `sampled_cross_entropy`."""
        softmax = self._softmax()
        return sampled_cross_entropy(
            top_NP, softmax.weight, softmax.bias, targets_N, sampled_K, log_counts_K
        )

    def _softmax(self) -> nn.Linear:
        if self.softmax is None:
            raise SettingsError("this ELMo has no softmax and cannot predict words")
        return self.softmax

    def layer_groups(self) -> list[nn.Module]:
        """Return the token layer and each bidirectional LSTM."""
        return [self.tokens, *self.lstms]


def ends_of_sentences(device: torch.device) -> Tensor:
    """Return the words that begin and end a sentence `[2, C]`."""
    return torch.from_numpy(np.stack([BEGIN, END])).long().to(device)


class TokenLayer(nn.Module):
    """Character convolutions, max pooling, highway layers and a projection."""

    def __init__(self, config: ElmoConfig) -> None:
        super().__init__()
        self.activate = torch.tanh if config.tanh else torch.relu
        self.characters = nn.Embedding(CHARACTERS, config.character_width, padding_idx=0)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(config.character_width, number, width) for width, number in config.filters
        )
        filters = sum(number for _, number in config.filters)
        self.highways = nn.ModuleList(Highway(filters) for _ in range(config.highways))
        self.projection = nn.Linear(filters, config.projection)
        self.widest = max(width for width, _ in config.filters)

    def forward(self, characters_WC: Tensor) -> Tensor:
        """Return each word's vector `[W, P]`.

        Windows that contain only the padding after a word are identical. One is enough: the rest
        is cut off, which does not change any maximum.
        """
        needed_W = (characters_WC != PADDED).sum(1) + self.widest
        length_W = torch.bucketize(needed_W, needed_W.new_tensor(_LENGTHS[:-1]))
        order, parts = [], []
        for number, length in enumerate(_LENGTHS):
            chosen_N = (length_W == number).nonzero()[:, 0]
            at_once = len(chosen_N) if torch.is_grad_enabled() else _AT_ONCE
            if len(chosen_N):
                order.append(chosen_N)
                parts += [
                    self._some(characters_WC[some_N, :length], at_once)
                    for some_N in chosen_N.split(at_once)
                ]
        if not parts:
            return self.projection.weight.new_zeros(0, len(self.projection.weight))
        return torch.cat(parts)[torch.cat(order).argsort()]

    def _some(self, characters_WL: Tensor, at_once: int) -> Tensor:
        words = len(characters_WL)
        characters_WL = F.pad(characters_WL, (0, 0, 0, at_once - words))
        x_WL = self.characters(characters_WL).transpose(1, 2)
        x_WF = torch.cat([convolve(x_WL).amax(2) for convolve in self.convolutions], 1)
        x_WF = self.activate(x_WF)
        for highway in self.highways:
            x_WF = highway(x_WF)
        vectors_WP: Tensor = self.projection(x_WF)[:words]
        return vectors_WP


class Highway(nn.Module):
    """`y = g * relu(T x) + (1 - g) * x`, where the gate `g` sets how much is transformed.

    Srivastava, Greff and Schmidhuber, "Highway Networks", 2015 (https://arxiv.org/abs/1505.00387).
    The original release calls this gate "carry", although it multiplies `T x`. AllenNLP's gate is
    `1 - g`, with all of its weights negated.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.transform = nn.Linear(width, width)
        self.gate = nn.Linear(width, width)

    def forward(self, x_WF: Tensor) -> Tensor:
        gate_WF = torch.sigmoid(self.gate(x_WF))
        return x_WF + gate_WF * (torch.relu(self.transform(x_WF)) - x_WF)


class BiLstm(nn.Module):
    """An LSTM with projection for each direction, both computed together."""

    def __init__(self, config: ElmoConfig) -> None:
        super().__init__()
        self.clips = (config.cell_clip or math.inf, config.projection_clip or math.inf)
        self.directions = nn.ModuleList(Lstm(config) for _ in range(2))

    def forward(
        self, x_DTBP: Tensor, memory: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, Tensor]:
        """Return states `[D, T, B, P]` and cells `[D, T, B, H]` after every step."""
        weights = self.weights(x_DTBP)
        project_DPH = weights[-1]
        exact = torch.promote_types(project_DPH.dtype, torch.float32)  # cells accumulate
        if memory is None:
            directions, _, rows, width = x_DTBP.shape
            h_DBP = project_DPH.new_zeros(directions, rows, width)
            c_DBH = h_DBP.new_zeros(directions, rows, project_DPH.shape[2], dtype=exact)
        else:
            h_DBP, c_DBH = memory[0].to(project_DPH.dtype), memory[1].to(exact)
        run: Any = _Recurrence.apply
        with torch.autocast(x_DTBP.device.type, enabled=False):
            states: tuple[Tensor, Tensor] = run(
                x_DTBP.to(project_DPH.dtype), *weights, (h_DBP, c_DBH), self.clips
            )
        return states

    def weights(self, like: Tensor) -> list[Tensor]:
        """Return the stacked weights of both directions, in the type of products."""
        device = like.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
        first, second = self.directions
        names = ("read.weight", "read.bias", "recur.weight", "project.weight")
        both = (
            torch.stack([first.get_parameter(name), second.get_parameter(name)]) for name in names
        )
        return [each if dtype is None else each.to(dtype) for each in both]


class Lstm(nn.Module):
    """The weights of one direction; the gate order is output, input, forget, candidate."""

    def __init__(self, config: ElmoConfig) -> None:
        super().__init__()
        self.read = nn.Linear(config.projection, 4 * config.cells)
        self.recur = nn.Linear(config.projection, 4 * config.cells, bias=False)
        self.project = nn.Linear(config.cells, config.projection, bias=False)


class _Recurrence(torch.autograd.Function):
    """The time steps of LSTMs with projection, `c = f c + i n`, `h = P (o tanh c)`.

    Sak, Senior and Beaufays, "Long Short-Term Memory Based Recurrent Neural Network Architectures
    for Large Vocabulary Speech Recognition", 2014 (https://arxiv.org/abs/1402.1128). The backward
    pass is hand-written: whatever does not depend on the step before is computed for all steps at
    once.
    """

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - torch's context has no useful type
        x_DTBP: Tensor,
        read_DGP: Tensor,
        bias_DG: Tensor,
        recur_DGP: Tensor,
        project_DPH: Tensor,
        memory: tuple[Tensor, Tensor],
        clips: tuple[float, float],
    ) -> tuple[Tensor, Tensor]:
        h_DBP, c_DBH = memory
        directions, steps, rows, _ = x_DTBP.shape
        cells = c_DBH.shape[-1]
        bias_D1G, read_DPG, recur_DPG = bias_DG[:, None], read_DGP.mT, recur_DGP.mT
        learning = any(ctx.needs_input_grad)
        if learning:
            gates = torch.baddbmm(bias_D1G, x_DTBP.flatten(1, 2), read_DPG)
            gates_DTBG = gates.unflatten(1, (steps, rows))
        says_DTBH = x_DTBP.new_empty(directions, steps, rows, cells)
        states_DTBP = x_DTBP.new_empty(directions, steps + 1, rows, h_DBP.shape[-1])
        cells_DTBH = c_DBH.new_empty(directions, steps + 1, rows, cells)
        states_DTBP[:, 0], cells_DTBH[:, 0] = h_DBP, c_DBH
        for t in range(steps):
            if learning:
                gate_DBG = gates_DTBG[:, t]
            else:  # products of the same size for any number of steps
                gate_DBG = torch.baddbmm(bias_D1G, x_DTBP[:, t], read_DPG)
            gate_DBG.baddbmm_(states_DTBP[:, t], recur_DPG)
            gate_DBG[..., : 3 * cells].sigmoid_()
            gate_DBG[..., 3 * cells :].tanh_()
            out_DBH, in_DBH, keep_DBH, new_DBH = gate_DBG.chunk(4, -1)
            cell_DBH = torch.mul(cells_DTBH[:, t], keep_DBH).add_(in_DBH * new_DBH)
            cell_DBH = cell_DBH.clamp_(-clips[0], clips[0])
            cells_DTBH[:, t + 1] = cell_DBH
            said_DBH = cell_DBH.tanh_().to(out_DBH.dtype).mul_(out_DBH)
            says_DTBH[:, t] = said_DBH
            state_DBP = torch.bmm(said_DBH, project_DPH.mT)
            states_DTBP[:, t + 1] = state_DBP.clamp_(-clips[1], clips[1])
        if learning:
            ctx.save_for_backward(
                x_DTBP, read_DGP, recur_DGP, project_DPH,
                gates_DTBG, says_DTBH, states_DTBP, cells_DTBH,
            )  # fmt: skip
            ctx.clips = clips
        after = cells_DTBH[:, 1:]
        ctx.mark_non_differentiable(after)
        return states_DTBP[:, 1:], after

    @staticmethod
    def backward(ctx: Any, by_states_DTBP: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        (x, read, recur, project, gates, says, states, cells) = ctx.saved_tensors
        dtype, steps = gates.dtype, gates.shape[1]
        out, into, keep, new = gates.chunk(4, -1)
        said = cells[:, 1:].tanh().to(dtype)
        through = out * (1 - said * said)  # from the output to the cell
        passed = keep.clone()  # from a cell to the previous one
        if ctx.clips[0] < math.inf:
            inside = (cells[:, 1:].abs() < ctx.clips[0]).to(dtype)
            through *= inside
            passed[:, 1:] *= inside[:, :-1]
        if ctx.clips[1] < math.inf:
            inside_states = (states[:, 1:].abs() < ctx.clips[1]).to(dtype)
        slopes = torch.empty_like(gates)  # of the gates' pre-activations
        to_out, to_in, to_keep, to_new = slopes.chunk(4, -1)
        torch.mul(said * out, 1 - out, out=to_out)
        torch.mul(new * into, 1 - into, out=to_in)
        torch.mul(cells[:, :-1].to(dtype) * keep, 1 - keep, out=to_keep)
        torch.mul(into, 1 - new * new, out=to_new)
        slopes = slopes.unflatten(-1, (4, -1))
        by_projected = by_states_DTBP.to(dtype, copy=True)
        by_cell = torch.zeros_like(says[:, 0])
        for t in range(steps - 1, -1, -1):
            by_state = by_projected[:, t]
            if t + 1 < steps:
                by_state += torch.bmm(slopes[:, t + 1].flatten(-2), recur)
            if ctx.clips[1] < math.inf:
                by_state *= inside_states[:, t]
            by_said = torch.bmm(by_state, project)
            by_cell.addcmul_(by_said, through[:, t])
            slopes[:, t, :, 0] *= by_said
            slopes[:, t, :, 1:] *= by_cell[:, :, None]
            by_cell *= passed[:, t]
        by_gates_DNG = slopes.flatten(3).flatten(1, 2)
        turned_DGN = by_gates_DNG.mT
        return (
            torch.bmm(by_gates_DNG, read).view_as(x) if ctx.needs_input_grad[0] else None,
            torch.bmm(turned_DGN, x.flatten(1, 2)),
            by_gates_DNG.sum(1),
            torch.bmm(turned_DGN, states[:, :-1].flatten(1, 2)),
            torch.bmm(by_projected.flatten(1, 2).mT, says.flatten(1, 2)),
            None,
            None,
        )


def init_weights(model: Elmo, generator: torch.Generator | None) -> None:
    """Initialize weights: Xavier for LSTMs and projections, forget gates' biases 1.

    As in the original, characters and convolutions start uniform in a small range, and a bias of -2
    keeps the highways' transforms nearly closed.
    """
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight, generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Conv1d):
            nn.init.uniform_(module.weight, -0.05, 0.05, generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            nn.init.uniform_(module.weight, -1.0, 1.0, generator=generator)
    with torch.no_grad():
        model.tokens.characters.weight[0] = 0.0
        for module in model.modules():
            if isinstance(module, Highway):
                module.gate.bias.fill_(-2.0)
            elif isinstance(module, Lstm):
                module.read.bias.chunk(4)[2].fill_(1.0)
        if model.softmax is not None:
            width = model.config.projection
            nn.init.normal_(model.softmax.weight, std=width**-0.5, generator=generator)
