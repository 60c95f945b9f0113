"""Search for the likeliest sequence: one token after the other, greedy or with a beam.

A sequence's score is the mean log-probability of its tokens, its end included (length
normalization: sums would favor what is short). The greedy sequence stays among the candidates, so
that a wider beam never returns one of a lower score.

Shapes: B sequences, K beams, V vocabulary, S places looked at, T tokens.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, Self, TypeVar

import torch
from torch import Tensor


class Selectable(Protocol):
    """What a step hands to the next: one row a sequence."""

    def select(self, rows_B: Tensor) -> Self:
        """Return some rows, or some of them several times."""
        ...


State = TypeVar("State", bound=Selectable)
Step = Callable[[State, Tensor], tuple[Tensor, State, Tensor]]


@dataclass(frozen=True)
class Found:
    """A sequence.

    Attributes:
        tokens: Its tokens, without its end.
        score: The mean of the log-probabilities of its tokens and its end.
        attention_TS: Where each token looked, and the end last.
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
        step: Takes a state and the last token of each row `[B]`; returns scores of the next one
            `[B, V]`, the next state, and where each row looked `[B, S]`.
        state: The first state, one row a sequence.
        sequences: How many rows it has.
        begin: The token before the first.
        end: The token that ends a sequence.
        max_tokens: Where each sequence is ended if it does not end itself.
        beam: How many candidates are followed at once; 1 follows the likeliest token.
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
    """Follow `beam` candidates of each sequence until so many have ended, or there is no room."""
    begin, end = ends
    most_B = torch.tensor(max_tokens)
    state = state.select(torch.arange(sequences).repeat_interleave(beam))
    last_N = torch.full((sequences * beam,), begin)
    sums_BK = torch.full((sequences, beam), -torch.inf)
    sums_BK[:, 0] = 0.0  # all beams begin alike: only one of them may go on
    trace: list[tuple[list[int], list[int], Tensor]] = []  # token, row before, attention
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
        # Twice as many as beams: half of them may be ends.
        sums_BC, at_BC = sums_BX.topk(min(2 * beam if beam > 1 else 1, sums_BX.shape[1]))
        token_BC = at_BC % vocabulary
        row_BC = at_BC // vocabulary + beam * torch.arange(sequences)[:, None]
        ends_BC = token_BC == end
        first_BC = torch.arange(ends_BC.shape[1]) < beam  # an end counts if it is among the best
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
    """Go back from an end to the beginning."""
    score, number, row = found
    tokens, attention = [], [trace[number - 1][2][row]]
    for last, rows, _ in reversed(trace[: number - 1]):
        tokens.append(last[row])
        row = rows[row]
        attention.append(trace[number - 1 - len(tokens)][2][row])
    return Found(tokens[::-1], score, torch.stack(attention[::-1]))
