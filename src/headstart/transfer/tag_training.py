"""How every neural tagger is trained, whatever it is made of.

A validation part of the sentences finds the number of steps, by the loss; then the tagger is
trained anew on all of them, for as many passes, with a rate that falls to zero.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
import torch
from torch import Tensor

from headstart.hub.proof import Proof
from headstart.models.interface import evaluating
from headstart.progress import Progress
from headstart.tasks.tagging import score_tags
from headstart.tokenize.batches import Rows, endless_batches, inference_batches, pad
from headstart.training.loop import train
from headstart.training.schedules import warm_up, warm_up_then_decay
from headstart.transfer.fitted_taggers import FittedTagger
from headstart.transfer.methods import Training
from headstart.transfer.stopping import least_passes, search_steps, steps_between_looks
from headstart.transfer.tag_task import TagTask

_WARM_UP_SHARE, _LEAST_WARM_UP = 0.05, 10
_JITTER = 0.2  # of lengths, by which sentences are dealt into batches
_WORDS_AT_ONCE = 4096


@dataclass(frozen=True)
class WordScores:
    """What a tagger scored on the words of the validation part.

    Attributes:
        loss: Mean negative log-likelihood of a word's tag.
        accuracy: Share of words with the right tag.
        score: The strict F1 of spans; of plain tags the accuracy.
        tags: Different tags given; a tagger that gives one has learned nothing.
    """

    loss: float
    accuracy: float
    score: float
    tags: int

    @classmethod
    def of(cls, task: TagTask, rows: Rows, found: Sequence[Sequence[int]], loss: float) -> Self:
        """Score the tags that were given to some sentences, as indices."""
        gold, given = (
            [[task.tags[tag] for tag in tags] for tags in some]
            for some in ((task.targets[row].tolist() for row in rows), found)
        )
        scores = score_tags(gold, given, task.scheme)
        score = scores.accuracy if task.scheme == "plain" else scores.f1
        return cls(loss, scores.accuracy, score, len({tag for tags in given for tag in tags}))


@dataclass(frozen=True, kw_only=True)
class TagFit:
    """A fitted tagger and what its fitting showed.

    Attributes:
        model: The tagger, fitted to all sentences.
        validation: Scores of words, by the tagger that was fitted without the validation part.
        chosen: What the validation part chose.
        proof: What the tagger owes to its encoder; None where it has none.
    """

    model: FittedTagger
    validation: WordScores
    chosen: dict[str, Any]
    proof: Proof | None = None


class Start(Protocol):
    """What every training of one fit starts from.

    Attributes:
        task: What is learnt.
        training: How.
        given: The sentences, as the tagger reads them.
        least_passes: Over the sentences, however soon the search finds its lowest loss: the final
            run's falling rate profits from more passes than the search's constant one.
    """

    task: TagTask
    training: Training
    given: Any
    least_passes: int

    def fresh(self, rows: Rows) -> Any:  # noqa: ANN401 - a Tagger
        """Return the tagger before training on these sentences."""
        ...

    def optimizer(self, tagger: Any) -> torch.optim.Optimizer:  # noqa: ANN401 - what `fresh` made
        """Return what trains it, each part with its rate."""
        ...

    def loss(self, tagger: Any, rows: Rows) -> tuple[Tensor, Tensor]:  # noqa: ANN401
        """Return the loss of some sentences as `(sum, words)`."""
        ...

    def before_step(self, tagger: Any, number: int) -> None:  # noqa: ANN401
        """Prepare a step, counted from 1."""
        ...

    def proof_before(self, tagger: Any) -> Proof | None:  # noqa: ANN401
        """Say what a tagger that is not trained yet owes to the encoder."""
        ...

    def proof_after(self, proof: Proof, tagger: Any) -> Proof:  # noqa: ANN401
        """Say how far training moved the encoder, or that it did not."""
        ...

    def fitted(self, tagger: Any) -> FittedTagger:  # noqa: ANN401
        """Return the trained tagger with all it needs to read sentences."""
        ...


def fit_neural(start: Start, progress: Progress) -> TagFit:
    """Find the number of steps, and train on all sentences.

    Raises:
        TransferError: Nothing was transferred, or a frozen part changed.
        NonFiniteError: Training diverged.
    """
    task, training = start.task, start.training
    with torch.random.fork_rng(devices=[]):  # dropout draws from the global stream
        rows, held_out = task.parts()
        trial = start.fresh(rows)
        rise = _rise(training.min_steps)
        steps = _train(
            start, trial, rows, training.max_steps, schedule=lambda step: warm_up(step, rise)
        )
        best_step, validation = search_steps(
            steps,
            lambda: validate(trial, start.given, task, held_out),
            training,
            every=steps_between_looks(training, len(rows)),
            progress=progress,
        )
        num_steps = max(
            training.min_steps,
            round(best_step * len(task) / len(rows)),
            least_passes(training, len(task), start.least_passes),
        )
        everything = np.arange(len(task))
        final = start.fresh(everything)
        proof = start.proof_before(final)
        if proof is not None:
            proof.check()
        rise = _rise(num_steps)
        with progress.stage("fitting on all sentences", num_steps, "steps") as advance:
            for _ in _train(
                start,
                final,
                everything,
                num_steps,
                schedule=lambda step: warm_up_then_decay(step, num_steps, rise),
            ):
                advance(1)
        model = start.fitted(final.eval())
        if proof is not None:
            proof = start.proof_after(proof, final)
            proof.check()
    return TagFit(model=model, validation=validation, chosen={"steps": num_steps}, proof=proof)


def tag_loss(
    tagger: Any,  # noqa: ANN401 - a Tagger
    scores_BTK: Tensor,
    mask_BT: Tensor,
    task: TagTask,
    rows: Rows,
) -> tuple[Tensor, Tensor]:
    """Return the negative log-likelihood of some sentences' tags as `(sum, words)`."""
    tags_BT = torch.from_numpy(pad(task.targets, rows)[0])
    log_likelihood_B = tagger.decoder.log_likelihood(scores_BTK.float(), tags_BT, mask_BT)
    return -log_likelihood_B.sum(), mask_BT.sum()


def validate(tagger: Any, given: Any, task: TagTask, rows: Rows) -> WordScores:  # noqa: ANN401
    """Score a tagger on some sentences; in the loss each word counts the same."""
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


def _train(
    start: Start,
    tagger: Any,  # noqa: ANN401 - a Tagger
    rows: Rows,
    steps: int,
    *,
    schedule: Callable[[int], float],
) -> Iterator[int]:
    """Train the tagger on `rows`, yielding the number of each step."""

    def compute_loss(batch: Rows) -> tuple[Tensor, Tensor]:
        tagger.train()
        return start.loss(tagger, batch)

    optimizer = start.optimizer(tagger)
    batches = endless_batches(
        start.task.targets.lengths[rows],
        batch_size=start.training.batch_size,
        seed=start.task.seed,
        jitter=_JITTER,
    )
    limited = ([rows[next(batches)]] for _ in range(steps))
    start.before_step(tagger, 1)
    for step in train(limited, compute_loss, optimizer, schedule=schedule, seed=start.task.seed):
        yield step.number
        start.before_step(tagger, step.number + 1)


def _rise(steps: int) -> int:
    return max(min(_LEAST_WARM_UP, steps), round(_WARM_UP_SHARE * steps))
