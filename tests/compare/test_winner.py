"""The winner is fitted to as many labels as there is time for."""

import time
from types import SimpleNamespace

import pytest

from headstart.compare import winner
from headstart.compare.cells import Model
from headstart.compare.contestants import Contestant
from headstart.compare.schedule import Job, Limits, Schedule, Spent
from headstart.compare.tasks import CLASSIFICATION
from headstart.compare.winner import affordable_labels, fit_and_inspect
from headstart.progress import SILENT

WINNER = Contestant.parse("bert:finetune")


@pytest.mark.parametrize(
    ("seconds", "labels"), [(1e6, 1375), (150.0, 250), (20.0, 10), (0.1, 10), (-1.0, 10)]
)
def test_all_labels_or_the_largest_budget_that_fits(seconds, labels):
    known = {Job(WINNER, 10, 0): Spent(10.0, 1.0), Job(WINNER, 250, 0): Spent(100.0, 1.0)}
    schedule = Schedule([WINNER], [10, 250], 1, workers=1, limits=Limits(), known=known)
    end = time.time() + seconds
    assert affordable_labels(schedule, WINNER, [10, 250], 1375, end) == labels


@pytest.mark.parametrize(
    ("seconds", "kept", "labels", "columns"),
    [
        (1e6, 1375, 1375, ["scratch", "pretrained", "finetuned"]),
        (1e6, 250, 250, ["scratch", "pretrained", "finetuned"]),
        (200.0, 1375, 10, ["scratch", "pretrained", "finetuned"]),
        (-1.0, 1375, 10, ["pretrained"]),
    ],
)
def test_words_are_looked_at_in_what_there_is_time_to_fit(
    vectors, monkeypatch, tmp_path, seconds, kept, labels, columns
):
    scratch, tuned = Contestant.parse("scratch"), Contestant.parse("glove:finetune")
    known = {Job(scratch, 10, 0): Spent(10.0, 1.0), Job(scratch, 250, 0): Spent(100.0, 1.0)}
    schedule = Schedule([scratch, tuned], [10, 250], 1, workers=1, limits=Limits(), known=known)
    asked = []

    def fit_models(processes, models, **given):
        asked.extend(models)
        return [model for model in models if model.deadline > time.time()]

    monkeypatch.setattr(winner, "fit_models", fit_models)
    fitted = SimpleNamespace(fitted_vectors=lambda: vectors)
    monkeypatch.setattr(winner, "load_model", lambda folder: fitted)
    monkeypatch.setattr(winner, "inspect_words", lambda *given: {"spaces": list(given[-1])})
    terms = SimpleNamespace(
        task=CLASSIFICATION, train=SimpleNamespace(texts=["a"] * 1375, labels=["x"] * 1375)
    )
    found = fit_and_inspect(
        tmp_path,
        SimpleNamespace(terms=terms),
        Model(tmp_path / "best", tuned, kept),
        [scratch, tuned],
        {"glove": vectors},
        schedule=schedule,
        end=time.time() + seconds,
        progress=SILENT,
    )
    assert [model.labels for model in asked] == [kept, labels, labels]
    assert found["spaces"] == columns
