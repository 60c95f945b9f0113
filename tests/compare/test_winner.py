"""The winner is fitted to as many labels as there is time for."""

import time

import pytest

from headstart.compare.contestants import Contestant
from headstart.compare.schedule import Job, Limits, Schedule, Spent
from headstart.compare.winner import affordable_labels

WINNER = Contestant.parse("bert:finetune")


@pytest.mark.parametrize(
    ("seconds", "labels"), [(1e6, 1375), (150.0, 250), (20.0, 10), (0.1, 10), (-1.0, 10)]
)
def test_all_labels_or_the_largest_budget_that_fits(seconds, labels):
    known = {Job(WINNER, 10, 0): Spent(10.0, 1.0), Job(WINNER, 250, 0): Spent(100.0, 1.0)}
    schedule = Schedule([WINNER], [10, 250], 1, workers=1, limits=Limits(), known=known)
    end = time.time() + seconds
    assert affordable_labels(schedule, WINNER, [10, 250], 1375, end) == labels
