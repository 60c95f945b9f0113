"""The time that a comparison may take, and how it is divided."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from headstart.compare.contestants import Contestant
from headstart.compare.reading import reads_frozen, seconds_a_text
from headstart.compare.schedule import Limits
from headstart.hub.bundle import Pretrained
from headstart.models.word_vectors import WordVectors
from headstart.transfer.methods import Method, Training

PRETRAIN_SHARE = 0.25  # of the time, for all models together; word vectors take only seconds
PRETRAIN_MINUTES = 5.0  # for each encoder, if no time is given
_END_SHARE = 0.1  # for the intervals, the saved models and the report
_REPORT_SHARE = 0.03  # the part of it for what follows the models
_LATE = 1.1  # times the time: more is worth a warning
_TIMED_TEXTS = 24
_STEP_AS_READINGS = 3  # a step's forward pass, backward pass and update


@dataclass(frozen=True)
class Allowance:
    """The time a comparison may take.

    Attributes:
        minutes: The total; infinite if there is no limit.
        started: When it began, in seconds as from `time.time`.
    """

    minutes: float
    started: float

    def pretraining(self, most: float | None, number: int) -> float:
        """Return the minutes that each encoder may be pretrained or adapted.

        Args:
            most: The user's limit, if given.
            number: How many models are pretrained or adapted here.
        """
        share = PRETRAIN_SHARE * self.minutes / max(1, number)
        return min(PRETRAIN_MINUTES if most is None else most, share)

    @property
    def cells_end(self) -> float:
        """When the cells must be finished."""
        return self.started + 60 * self.minutes * (1 - _END_SHARE)

    @property
    def models_end(self) -> float:
        """When the saved models must be fitted."""
        return self.started + 60 * self.minutes * (1 - _REPORT_SHARE)

    def overtime(self) -> list[str]:
        """Return a warning if the comparison took clearly longer than it might."""
        took = (time.time() - self.started) / 60
        if took <= _LATE * self.minutes:
            return []
        return [
            f"The comparison took {took:.1f} minutes, but was allowed {self.minutes:g}: with the "
            "fewest labels, the cheapest methods run in any case."
        ]


def limits(
    allowance: Allowance,
    methods: Mapping[Contestant, Method],
    encoders: Mapping[str, Pretrained],
    texts: Sequence[str],
    *,
    labels: int,
    test_rows: int,
    unread: Mapping[str, str],
    by_word: bool = False,
) -> Limits:
    """Return when cells must end, and time estimates for those that train an encoder.

    Args:
        allowance: The time available.
        methods: The methods, with every setting filled in.
        encoders: The encoders, by name.
        texts: Some texts, to measure the speed of an encoder.
        labels: The smallest number of labels.
        test_rows: How many texts a cell predicts.
        unread: Why some encoders could not encode all texts, by name; their methods are left out
            unless there are no others.
        by_word: Whether the task has a label for every word.
    """
    if math.isinf(allowance.minutes):
        return Limits()
    speeds: dict[str, float] = {}
    guesses: dict[str, float] = {}
    for one, method in methods.items():
        encoder = encoders.get(one.encoder)
        if encoder is None or isinstance(encoder.model, WordVectors) or not one.trains_encoder:
            continue
        if one.encoder not in speeds:
            speeds[one.encoder] = _on_one_core(encoder, texts[:_TIMED_TEXTS])
        guesses[one.name] = speeds[one.encoder] * (_readings(method, labels) + test_rows)
    barred = {
        one.name: unread[one.encoder]
        for one in methods
        if one.encoder in unread and reads_frozen(one, encoders[one.encoder], by_word=by_word)
    }
    if len(barred) == len(methods):
        barred = {}
    return Limits(deadline=allowance.cells_end, guesses=guesses, ranks=guesses, barred=barred)


def _readings(method: Method, labels: int) -> float:
    """Estimate the cost of fitting to so few labels, in forward passes over one text."""
    training = getattr(method, "training", None)
    if not isinstance(training, Training):
        return 0.0
    searching = training.min_steps + training.patience * training.evaluate_every
    batches = searching * min(training.batch_size, 0.8 * labels)
    batches += training.min_steps * min(training.batch_size, labels)
    return _STEP_AS_READINGS * batches


def _on_one_core(encoder: Pretrained, texts: Sequence[str]) -> float:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return seconds_a_text(encoder, texts)
    finally:
        torch.set_num_threads(before)


def now(minutes: float) -> Allowance:
    """Return an allowance that begins now."""
    return Allowance(minutes, time.time())
