"""Search for the likeliest sequence, token by token: greedy or beam search.

A sequence's score is the mean log-probability of its tokens, including the end token (length
normalization: sums would favor short sequences). The greedy sequence is always a candidate, so a
wider beam never returns a lower score than greedy search.

Shapes: B sequences, K beams, N = B K rows, X = K V continuations, C candidates among them,
V vocabulary, S source positions, T tokens.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, Self, TypeVar

import torch
from torch import Tensor


class Selectable(Protocol):
    """Decoder state that a step passes to the next: one row per sequence."""

    def select(self, rows_B: Tensor) -> Self:
        """Return the given rows; a row may be repeated."""
        ...


State = TypeVar("State", bound=Selectable)
Step = Callable[[State, Tensor], tuple[Tensor, State, Tensor]]


@dataclass(frozen=True)
class Found:
    """A sequence that was found.

    Attributes:
        tokens: Its tokens, without the end token.
        score: Mean log-probability of its tokens and the end token.
        attention_TS: Attention weights of each token, those of the end token last.
    """

    tokens: list[int]
    score: float
    attention_TS: Tensor


def search(
    step: Step[State],
    state: State,
    *,
    sequences: int,
    begin: int,
    end: int,
    max_tokens: Sequence[int],
    beam: int = 1,
) -> list[Found]:
    """Return a likely sequence for each row of a state.

    Args:
        step: Takes a state and the last token of each row `[B]`; returns the scores of the next
            token `[B, V]`, the next state, and the attention weights `[B, S]`.
        state: The initial state, one row per sequence.
        sequences: Number of rows of the state.
        begin: The token before the first one.
        end: The token that ends a sequence.
        max_tokens: Maximum length of each sequence, without the end token.
        beam: Number of candidates kept at each step; 1 is greedy search.
    """
    greedy = _follow_beams(step, state, sequences, (begin, end), max_tokens, 1)
    if beam == 1:
        return greedy
    wide = _follow_beams(step, state, sequences, (begin, end), max_tokens, beam)
    return [max(pair, key=lambda found: found.score) for pair in zip(greedy, wide, strict=True)]


def _follow_beams(
    step: Step[State],
    state: State,
    sequences: int,
    ends: tuple[int, int],
    max_tokens: Sequence[int],
    beam: int,
) -> list[Found]:
    """Search until `beam` candidates of each sequence have ended, or it reaches its maximum."""
    begin, end = ends
    most_B = torch.tensor(max_tokens)
    state = state.select(torch.arange(sequences).repeat_interleave(beam))
    last_N = torch.full((sequences * beam,), begin)
    sums_BK = torch.full((sequences, beam), -torch.inf)
    sums_BK[:, 0] = 0.0  # all beams start identical: only one may continue
    trace: list[tuple[list[int], list[int], Tensor]] = []  # token, previous row, attention
    ended: list[list[tuple[float, int, int]]] = [[] for _ in range(sequences)]  # score, step, row
    for number in range(1, max(max_tokens) + 2):
        scores_NV, state, attention_NS = step(state, last_N)
        chances_NV = scores_NV.float().log_softmax(-1)
        full_B = number > most_B
        if full_B.any():
            full_N = full_B.repeat_interleave(beam)
            chances_NV[full_N, :end] = chances_NV[full_N, end + 1 :] = -torch.inf
        vocabulary = chances_NV.shape[1]
        sums_BX = (sums_BK.view(-1, 1) + chances_NV).view(sequences, -1)
        # Twice as many candidates as beams: half of them may be end tokens.
        sums_BC, at_BC = sums_BX.topk(min(2 * beam if beam > 1 else 1, sums_BX.shape[1]))
        token_BC = at_BC % vocabulary
        row_BC = at_BC // vocabulary + beam * torch.arange(sequences)[:, None]
        ends_BC = token_BC == end
        first_BC = torch.arange(ends_BC.shape[1]) < beam  # ends count only among the best
        for sequence, place in (ends_BC & first_BC & sums_BC.isfinite()).nonzero().tolist():
            if len(ended[sequence]) < beam:
                score = float(sums_BC[sequence, place]) / number
                ended[sequence].append((score, number, int(row_BC[sequence, place])))
        full = full_B.tolist()
        if all(no_more or len(each) >= beam for no_more, each in zip(full, ended, strict=True)):
            trace.append(([], [], attention_NS))
            break
        going_BK = ends_BC.to(torch.int8).argsort(dim=1, stable=True)[:, :beam]
        sums_BK = sums_BC.masked_fill(ends_BC, -torch.inf).gather(1, going_BK)
        last_N, rows_N = (each.gather(1, going_BK).flatten() for each in (token_BC, row_BC))
        trace.append((last_N.tolist(), rows_N.tolist(), attention_NS))
        state = state.select(rows_N)
    return [_unwind(max(each), trace) for each in ended]


def _unwind(
    found: tuple[float, int, int], trace: Sequence[tuple[list[int], list[int], Tensor]]
) -> Found:
    """Trace a candidate back from its end to its beginning."""
    score, number, row = found
    tokens, attention = [], [trace[number - 1][2][row]]
    for last, rows, _ in reversed(trace[: number - 1]):
        tokens.append(last[row])
        row = rows[row]
        attention.append(trace[number - 1 - len(tokens)][2][row])
    return Found(tokens[::-1], score, torch.stack(attention[::-1]))
