"""A linear-chain conditional random field, which scores whole sequences of tags.

Lafferty, McCallum and Pereira, "Conditional Random Fields: Probabilistic Models for Segmenting and
Labeling Sequence Data", ICML 2001; on the scores of a BiLSTM, with start and end scores, Lample,
Ballesteros, Subramanian, Kawakami and Dyer, "Neural Architectures for Named Entity Recognition",
NAACL 2016 (https://arxiv.org/abs/1603.01360), section 2.1:

    s(x, y) = start[y_1] + sum_t scores[t, y_t] + sum_t transitions[y_t, y_t+1] + end[y_T]
    p(y | x) = exp(s(x, y)) / Z(x)

Sequences that the tagging scheme forbids have probability zero: Z sums over legal sequences only.
[ours] The recursions run in float64 on probabilities that are rescaled at each word. A step is a
matrix product instead of a log-sum-exp over pairs of tags, and the gradient is written by hand. The
result is exact if the scores of a word differ by less than about 700; beyond that, exp underflows.

Shapes: B sentences, T words, K tags.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_TINY = 1e-300  # avoids the logarithm of zero where no sequence is legal


@dataclass(frozen=True)
class Legal:
    """Which tags may begin a sentence, follow one another, and end it.

    Attributes:
        start_K: Whether each tag may be the first.
        next_KK: Whether the second tag may follow the first.
        end_K: Whether each tag may be the last.
    """

    start_K: Tensor
    next_KK: Tensor
    end_K: Tensor

    @classmethod
    def all(cls, tags: int) -> "Legal":
        """Return constraints that allow every sequence."""
        yes_K = torch.ones(tags, dtype=torch.bool)
        return cls(yes_K, torch.ones(tags, tags, dtype=torch.bool), yes_K)


class Crf(nn.Module):
    """Learned transition scores between tags, over legal sequences only.

    Args:
        legal: Which tags may follow which.
    """

    def __init__(self, legal: Legal) -> None:
        super().__init__()
        tags = len(legal.start_K)
        self.legal = legal
        self.start = nn.Parameter(torch.zeros(tags))
        self.transitions = nn.Parameter(torch.zeros(tags, tags))
        self.end = nn.Parameter(torch.zeros(tags))

    def log_likelihood(self, scores_BTK: Tensor, tags_BT: Tensor, mask_BT: Tensor) -> Tensor:
        """Return `log p` of legal tag sequences `[B]`; 0 for a sentence without words."""
        parts = self._constrained()
        return path_score(scores_BTK, tags_BT, mask_BT, *parts) - log_partition(
            scores_BTK, mask_BT, *parts
        )

    def marginals(self, scores_BTK: Tensor, mask_BT: Tensor) -> Tensor:
        """Return the probability of each tag at each word `[B, T, K]`, 0 at padding."""
        with torch.inference_mode(mode=False), torch.enable_grad():
            x_BTK = scores_BTK.detach().double().clone().requires_grad_()
            total = log_partition(x_BTK, mask_BT.clone(), *self._constrained()).sum()
            (marginals_BTK,) = torch.autograd.grad(total, x_BTK)
        return marginals_BTK.to(scores_BTK.dtype)

    def viterbi(self, scores_BTK: Tensor, mask_BT: Tensor) -> Tensor:
        """Return the most probable legal tag sequence `[B, T]`, 0 at padding."""
        return viterbi(scores_BTK, mask_BT, *(part.detach() for part in self._constrained()))

    def _constrained(self) -> tuple[Tensor, Tensor, Tensor]:
        return (
            self.start.double().masked_fill(~self.legal.start_K, -torch.inf),
            self.transitions.double().masked_fill(~self.legal.next_KK, -torch.inf),
            self.end.double().masked_fill(~self.legal.end_K, -torch.inf),
        )


class Independent(nn.Module):
    """A softmax at each word, with the interface of `Crf`; only decoding is limited to legal tags.

    Args:
        legal: Which tags may follow which.
    """

    def __init__(self, legal: Legal) -> None:
        super().__init__()
        self.legal = legal

    def log_likelihood(self, scores_BTK: Tensor, tags_BT: Tensor, mask_BT: Tensor) -> Tensor:
        """Return `log p` of tag sequences `[B]`."""
        losses_BT = F.cross_entropy(scores_BTK.transpose(1, 2), tags_BT, reduction="none")
        return -(losses_BT * mask_BT).sum(1)

    def marginals(self, scores_BTK: Tensor, mask_BT: Tensor) -> Tensor:
        """Return the probability of each tag at each word `[B, T, K]`, 0 at padding."""
        return scores_BTK.softmax(-1) * mask_BT[..., None]

    def viterbi(self, scores_BTK: Tensor, mask_BT: Tensor) -> Tensor:
        """Return the most probable legal tag sequence `[B, T]`, 0 at padding."""
        legal = self.legal
        parts = (
            torch.zeros(part.shape).masked_fill(~part, -torch.inf)
            for part in (legal.start_K, legal.next_KK, legal.end_K)
        )
        return viterbi(scores_BTK, mask_BT, *parts)


def path_score(
    scores_BTK: Tensor,
    tags_BT: Tensor,
    mask_BT: Tensor,
    start_K: Tensor,
    transitions_KK: Tensor,
    end_K: Tensor,
) -> Tensor:
    """Return `s(x, y)` of each sentence `[B]`."""
    own_BT = scores_BTK.double().gather(2, tags_BT[..., None])[..., 0]
    moves_BT = transitions_KK[tags_BT[:, :-1], tags_BT[:, 1:]]
    moves_BT = moves_BT.where(mask_BT[:, 1:], 0.0)
    last_B1 = (mask_BT.sum(1, keepdim=True) - 1).clamp(min=0)
    ends_B = start_K[tags_BT[:, 0]] + end_K[tags_BT.gather(1, last_B1)[:, 0]]
    has_words_B = mask_BT.any(1)
    return own_BT.where(mask_BT, 0.0).sum(1) + moves_BT.sum(1) + ends_B.where(has_words_B, 0.0)


def log_partition(
    scores_BTK: Tensor, mask_BT: Tensor, start_K: Tensor, transitions_KK: Tensor, end_K: Tensor
) -> Tensor:
    """Return `log Z(x)` of each sentence `[B]`, 0 without words; words come before padding.

    A score of minus infinity in the last three arguments forbids a tag or transition.
    """
    compute: Any = _LogPartition.apply
    found: Tensor = compute(scores_BTK, mask_BT, start_K, transitions_KK, end_K)
    return found


class _LogPartition(torch.autograd.Function):
    """`log Z`, whose gradients are the marginal probabilities of tags and of pairs of tags."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - a torch context
        scores_BTK: Tensor,
        mask_BT: Tensor,
        start_K: Tensor,
        transitions_KK: Tensor,
        end_K: Tensor,
    ) -> Tensor:
        x_TBK = scores_BTK.double().transpose(0, 1)
        mask_TB1 = mask_BT.t()[..., None]
        highest_TB1 = x_TBK.amax(-1, keepdim=True)
        potentials_TBK = (x_TBK - highest_TB1).exp()
        shift, moves_KK = _exponentials(transitions_KK)
        first_K, last_K = start_K.exp(), end_K.exp()
        alphas_TBK, sizes_TB1 = torch.ones_like(potentials_TBK), torch.ones_like(highest_TB1)
        alpha_BK = first_K.expand_as(x_TBK[0])
        for t, here_B1 in enumerate(mask_TB1):
            reached_BK = (alpha_BK @ moves_KK if t else alpha_BK) * potentials_TBK[t]
            size_B1 = reached_BK.sum(-1, keepdim=True).clamp(min=_TINY)
            alpha_BK = torch.where(here_B1, reached_BK / size_B1, alpha_BK)
            alphas_TBK[t] = alpha_BK
            sizes_TB1[t] = size_B1
        ended_B = (alpha_BK @ last_K).clamp(min=_TINY)
        logs_TB1 = sizes_TB1.log() + highest_TB1
        logs_TB1[1:] += shift
        total_B = (logs_TB1 * mask_TB1).sum((0, 2)) + ended_B.log()
        ctx.save_for_backward(
            mask_TB1, potentials_TBK, alphas_TBK, sizes_TB1, moves_KK, last_K, ended_B
        )
        ctx.dtype = scores_BTK.dtype
        return total_B.where(mask_BT.any(1), 0.0)

    @staticmethod
    def backward(ctx: Any, by_total_B: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        mask_TB1, potentials_TBK, alphas_TBK, sizes_TB1, moves_KK, last_K, ended_B = (
            ctx.saved_tensors
        )
        by_total_B1 = (by_total_B * mask_TB1[0, :, 0])[:, None]
        by_scores_TBK = torch.empty_like(potentials_TBK)
        by_moves_KK = torch.zeros_like(moves_KK)
        beta_BK = last_K / ended_B[:, None]
        for t in range(len(potentials_TBK) - 1, -1, -1):
            here_B1 = mask_TB1[t]
            by_scores_TBK[t] = alphas_TBK[t] * beta_BK * (by_total_B1 * here_B1)
            if t:
                carried_BK = beta_BK * potentials_TBK[t] / sizes_TB1[t]
                by_moves_KK += alphas_TBK[t - 1].T @ (carried_BK * (by_total_B1 * here_B1))
                beta_BK = torch.where(here_B1, carried_BK @ moves_KK.T, beta_BK)
        last_BK = alphas_TBK[-1] * last_K / ended_B[:, None] * by_total_B1
        return (
            by_scores_TBK.transpose(0, 1).to(ctx.dtype),
            None,
            by_scores_TBK[0].sum(0),
            by_moves_KK * moves_KK,
            last_BK.sum(0),
        )


def _exponentials(transitions_KK: Tensor) -> tuple[Tensor, Tensor]:
    """Return the highest score, and `exp` of all scores minus the highest."""
    highest = transitions_KK.max()
    shift = torch.where(highest.isfinite(), highest, 0.0)
    return shift, (transitions_KK - shift).exp()


def viterbi(
    scores_BTK: Tensor, mask_BT: Tensor, start_K: Tensor, transitions_KK: Tensor, end_K: Tensor
) -> Tensor:
    """Return the tag sequence with the highest `s(x, y)` `[B, T]`, 0 at padding.

    If no sequence is legal, an arbitrary one is returned.
    """
    with torch.no_grad():
        x_TBK = scores_BTK.detach().double().transpose(0, 1)
        best_BK = start_K + x_TBK[0]
        from_TBK = []
        for x_BK, here_B in zip(x_TBK[1:], mask_BT.t()[1:], strict=True):
            reached_BK, from_BK = (best_BK[:, :, None] + transitions_KK).max(1)
            best_BK = torch.where(here_B[:, None], reached_BK + x_BK, best_BK)
            from_TBK.append(from_BK)
        tag_B = (best_BK + end_K).argmax(-1)
        found = [tag_B]
        for from_BK, here_B in zip(reversed(from_TBK), reversed(mask_BT.t()[1:]), strict=True):
            tag_B = torch.where(here_B, from_BK.gather(1, tag_B[:, None])[:, 0], tag_B)
            found.append(tag_B)
        return torch.stack(found[::-1], 1).where(mask_BT, 0)
