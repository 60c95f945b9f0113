"""The winner, fitted to as many labels as there is time for, and what its words have learned."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from headstart.compare.cells import Model, Terms, fit_models
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
        schedule: Knows what the winner's cells took.
        winner: The method.
        budgets: The numbers of labels it was run with, rising.
        total: All labels.
        end: On the clock of `time.time`.
    """
    left = end - time.time()
    for labels in (total, *reversed(budgets)):
        if schedule.seconds(winner, labels) <= left:
            return labels
    return budgets[0]


def fit_and_inspect(
    folder: Path,
    terms: Terms,
    winner: Model,
    contestants: Sequence[Contestant],
    encoders: Mapping[str, Pretrained],
    *,
    workers: int,
    progress: Progress,
) -> dict[str, Any] | None:
    """Fit the winner; look at the words' neighbors in scratch, pretrained and tuned vectors.

    Words are looked at where texts have labels: of a pair, no word by itself tells the label, and
    of tags, each word has its own. Of the word vectors that are compared the winner's are looked
    at, or else the first that are fine-tuned, or the first.
    """
    models = [winner]
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
    if shown:
        everything = len(terms.train)
        models.append(Model(inspected / "scratch", Contestant.parse("scratch"), everything))
        if shown.transfer == "finetune":
            models.append(Model(inspected / "finetuned", shown, everything))
    fit_models(terms, models, workers=workers, progress=progress)
    encoder = encoders[shown.encoder] if shown else None
    if not shown or not isinstance(encoder, PretrainedWordVectors):
        return None
    if not isinstance(encoder.tokenizer, WordTokenizer):
        return None
    learnt = {model.folder.name: load_model(model.folder).fitted_vectors() for model in models[1:]}
    columns = {"scratch": learnt.get("scratch"), "pretrained": encoder, **learnt}
    spaces = {name: vectors.space for name, vectors in columns.items() if vectors}
    found = inspect_words(
        terms.task.texts(terms.train.texts),
        terms.task.strata(terms.train),
        encoder.tokenizer,
        spaces,
    )
    return {**found, "encoder": shown.encoder}
