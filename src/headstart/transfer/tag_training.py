"""What neural taggers share: training constants, the loss, and validation scores."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from headstart.models.interface import evaluating
from headstart.tasks.tagging import score_tags
from headstart.tokenize.batches import Rows, inference_batches, pad
from headstart.transfer.fitted_taggers import FittedTagger
from headstart.transfer.neural import Rule
from headstart.transfer.tag_task import TagTask
from headstart.transfer.task import Fit

_WARM_UP_SHARE, _LEAST_WARM_UP = 0.05, 10
_WORDS_AT_ONCE = 4096
TAGGERS = Rule(
    rise=lambda steps: max(min(_LEAST_WARM_UP, steps), round(_WARM_UP_SHARE * steps)),
    least_passes=8,
    jitter=0.2,
)


@dataclass(frozen=True)
class WordScores:
    """A tagger's scores on the words of the validation set.

    Attributes:
        loss: Mean negative log-likelihood per word.
        accuracy: Share of words with the right tag.
        score: The strict F1 of spans, or for plain tags the accuracy.
        tags: Number of different tags predicted; a tagger that predicts one has learned nothing.
    """

    loss: float
    accuracy: float
    score: float
    tags: int

    @classmethod
    def of(cls, task: TagTask, rows: Rows, found: Sequence[Sequence[int]], loss: float) -> Self:
        """Score the tags, given as indices, that were predicted for the sentences in `rows`."""
        gold, given = (
            [[task.tags[tag] for tag in tags] for tags in some]
            for some in ((task.targets[row].tolist() for row in rows), found)
        )
        scores = score_tags(gold, given, task.scheme)
        score = scores.accuracy if task.scheme == "plain" else scores.f1
        return cls(loss, scores.accuracy, score, len({tag for tags in given for tag in tags}))


TagFit = Fit[FittedTagger, WordScores]


def tag_loss(
    tagger: Any,  # noqa: ANN401 - a Tagger
    scores_BTK: Tensor,
    mask_BT: Tensor,
    task: TagTask,
    rows: Rows,
) -> tuple[Tensor, Tensor]:
    """Return the negative log-likelihood of the tags of sentences as `(sum, words)`."""
    tags_BT = torch.from_numpy(pad(task.targets, rows)[0])
    log_likelihood_B = tagger.decoder.log_likelihood(scores_BTK.float(), tags_BT, mask_BT)
    return -log_likelihood_B.sum(), mask_BT.sum()


def validate(tagger: Any, given: Any, task: TagTask, rows: Rows) -> WordScores:  # noqa: ANN401
    """Score a tagger on the sentences in `rows`; every word has the same weight in the loss."""
    total = words = 0.0
    lengths = task.targets.lengths[rows]
    found: list[list[int]] = [[] for _ in rows]
    with torch.inference_mode(), evaluating(tagger):
        for batch in inference_batches(lengths, max_tokens=_WORDS_AT_ONCE):
            chosen = rows[batch]
            scores_BTK, mask_BT = tagger.scores(given, chosen)
            loss, count = tag_loss(tagger, scores_BTK, mask_BT, task, chosen)
            total, words = total + float(loss), words + float(count)
            tags_BT = tagger.decoder.viterbi(scores_BTK, mask_BT).tolist()
            for row, tags in zip(batch.tolist(), tags_BT, strict=True):
                found[row] = tags[: lengths[row]]
    return WordScores.of(task, rows, found, total / words)
