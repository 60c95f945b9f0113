"""Fit the winner to as many labels as there is time for, and inspect what its words learned."""

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from headstart.compare.cells import Model, Processes, fit_models
from headstart.compare.contestants import Contestant
from headstart.compare.schedule import Schedule
from headstart.compare.tasks import CLASSIFICATION
from headstart.hub.bundle import Pretrained, PretrainedWordVectors
from headstart.inspect.neighbors import inspect_words
from headstart.progress import Progress
from headstart.tokenize.words import WordTokenizer
from headstart.transfer.loading import load_model


def affordable_labels(
    schedule: Schedule, winner: Contestant, budgets: Sequence[int], total: int, end: float
) -> int:
    """Return how many labels the winner can be fitted to before `end`: all, or a budget.

    Args:
        schedule: The schedule, which knows how long the winner's cells took.
        winner: The method.
        budgets: The numbers of labels it was run with, in increasing order.
        total: The number of all labels.
        end: In seconds as from `time.time`.
    """
    left = end - time.time()
    for labels in (total, *reversed(budgets)):
        if schedule.seconds(winner, labels) <= left:
            return labels
    return budgets[0]


def fit_and_inspect(
    folder: Path,
    processes: Processes,
    winner: Model,
    contestants: Sequence[Contestant],
    encoders: Mapping[str, Pretrained],
    *,
    schedule: Schedule,
    end: float,
    progress: Progress,
) -> dict[str, Any] | None:
    """Fit the winner; inspect words' neighbors in scratch, pretrained and fine-tuned vectors.

    Words are inspected only in text classification: in a pair, no single word determines the label,
    and in tagging, each word has its own. The vectors are the winner's if it uses word vectors, or
    else the first that are fine-tuned, or the first. Models that are fitted only for this get no
    more labels than the winner, and are left out if they are not fitted by `end`.
    """
    terms = processes.terms
    order = sorted(
        (
            one
            for one in contestants
            if terms.task is CLASSIFICATION
            and isinstance(encoders.get(one.encoder), PretrainedWordVectors)
        ),
        key=lambda one: (one.encoder != winner.contestant.encoder, one.transfer != "finetune"),
    )
    shown = order[0] if order else None
    inspected = folder / "inspected"
    asked: dict[str, Contestant] = {}
    if shown:
        asked["scratch"] = Contestant.parse("scratch")
        if shown.transfer == "finetune":
            asked["finetuned"] = shown
    labels = _labels_for_all(schedule, list(asked.values()), winner.labels, end)
    others = [Model(inspected / name, one, labels, end) for name, one in asked.items()]
    fitted = fit_models(processes, [winner, *others], progress=progress)
    encoder = encoders[shown.encoder] if shown else None
    if not shown or not isinstance(encoder, PretrainedWordVectors):
        return None
    if not isinstance(encoder.tokenizer, WordTokenizer):
        return None
    learnt = {
        model.folder.name: load_model(model.folder).fitted_vectors()
        for model in others
        if model in fitted
    }
    columns = {"scratch": learnt.get("scratch"), "pretrained": encoder, **learnt}
    spaces = {name: vectors.space for name, vectors in columns.items() if vectors}
    found = inspect_words(
        terms.task.texts(terms.train.texts),
        terms.task.strata(terms.train),
        encoder.tokenizer,
        spaces,
    )
    return {**found, "encoder": shown.encoder}


def _labels_for_all(schedule: Schedule, asked: Sequence[Contestant], most: int, end: float) -> int:
    """Return how many labels each of the methods can be fitted to by `end`, beside the winner."""
    budgets = sorted({block.labels for block in schedule.blocks if block.labels <= most})
    now = time.time()
    rounds = math.ceil((1 + len(asked)) / schedule.workers)
    each = now + (end - now) / rounds
    return min(
        (affordable_labels(schedule, one, budgets, most, each) for one in asked), default=most
    )
