"""Which cells run when time is short: cheap ones, few labels first, and nothing by halves."""

import math
from types import SimpleNamespace

import pytest

from headstart.compare import schedule as module
from headstart.compare.contestants import Contestant
from headstart.compare.schedule import Job, Limits, Schedule, Spent, report_left_out

CHEAP, ALSO, SMALL, LARGE = (
    Contestant.parse(text) for text in ("tfidf", "scratch", "bert:finetune", "big=folder:finetune")
)
BUDGETS = (10, 100, 1000)


@pytest.fixture
def clock(monkeypatch):
    clock = SimpleNamespace(now=1000.0)
    clock.time = lambda: clock.now
    monkeypatch.setattr(module, "time", clock)
    return clock


def carry_out(schedule, clock, costs, workers=1):
    """Run the jobs as the processes would; return each one's start, in order."""
    jobs, running, started = schedule.jobs(), [], []
    while True:
        while len(running) < workers and (job := next(jobs, None)):
            started.append(job)
            running.append((clock.now + costs(job), job))
        if not running:
            return started
        running.sort(key=lambda each: each[0])
        end, job = running.pop(0)
        clock.now = end
        late = end > schedule.deadline_of(job)
        schedule.note(job, None if late else Spent(costs(job), 0.0))


def make(contestants, *, limits=None, seeds=2, workers=1, known=None, budgets=BUDGETS):
    return Schedule(
        contestants,
        budgets,
        seeds,
        workers=workers,
        limits=limits or Limits(),
        known=known or {},
    )


def test_without_a_limit_the_longest_come_first_and_all_run(clock):
    schedule = make([CHEAP, SMALL])
    started = carry_out(schedule, clock, lambda job: 1.0)
    assert [(job.contestant, job.labels) for job in started[::2]] == [
        *((SMALL, labels) for labels in (1000, 100, 10)),
        *((CHEAP, labels) for labels in (1000, 100, 10)),
    ]
    assert schedule.finished == started
    assert schedule.left_out == {}


def limits(seconds, **guesses):
    named = {SMALL.name: 1.0, LARGE.name: 2.0}
    return Limits(deadline=1000.0 + seconds, guesses={**named, **guesses}, ranks=named)


def test_with_a_limit_cheap_methods_and_few_labels_come_first(clock):
    schedule = make([LARGE, SMALL, CHEAP], limits=limits(1e6), seeds=1)
    started = carry_out(schedule, clock, lambda job: 1.0)
    assert [(job.contestant, job.labels) for job in started] == [
        *((CHEAP, labels) for labels in BUDGETS),
        *((one, labels) for labels in BUDGETS for one in (SMALL, LARGE)),
    ]


def test_what_does_not_fit_is_left_out_with_all_larger_budgets(clock):
    def costs(job):
        return {CHEAP: 1.0, SMALL: 5.0, LARGE: 50.0}[job.contestant] * (job.labels / 10) ** 0.5

    schedule = make([CHEAP, SMALL, LARGE], limits=limits(300.0))
    started = carry_out(schedule, clock, costs)
    assert clock.now <= 1300.0
    assert {(block.contestant, block.labels) for block in schedule.left_out} == {
        (LARGE, 100),
        (LARGE, 1000),
    }
    assert schedule.finished == started
    listed = report_left_out(schedule.left_out.items())
    first = next(row for row in listed if row["method"] == LARGE.name)
    assert first["labels"] == 100
    assert "it would have taken about" in first["why"]
    assert "of the time for cells was left" in first["why"]
    last = next(row for row in listed if (row["method"], row["labels"]) == (LARGE.name, 1000))
    assert last["why"] == "it takes longer than 100 labels, which already took too long"


def test_a_method_may_be_left_out_altogether(clock):
    schedule = make([CHEAP, LARGE], limits=limits(60.0, **{LARGE.name: 500.0}))
    started = carry_out(schedule, clock, lambda job: 1.0)
    assert {job.contestant for job in started} == {CHEAP}
    assert {block.labels for block in schedule.left_out} == set(BUDGETS)


def test_what_a_comparison_cannot_do_without_runs_however_short_the_time(clock):
    schedule = make([SMALL, CHEAP], limits=limits(-5.0))
    started = carry_out(schedule, clock, lambda job: 1.0)
    assert {(job.contestant, job.labels) for job in started} == {(CHEAP, 10)}
    assert all(math.isinf(schedule.deadline_of(job)) for job in started)
    only = make([SMALL], limits=limits(-5.0))
    assert {job.labels for job in carry_out(only, clock, lambda job: 1.0)} == {10}


def test_cheap_methods_stand_or_fall_together(clock):
    def costs(job):
        return 0.1 if job.contestant == CHEAP else 10 * (job.labels / 10) ** 0.5

    schedule = make([SMALL, CHEAP, ALSO], limits=limits(250.0))
    started = carry_out(schedule, clock, costs)
    cheap = {(job.contestant, job.labels) for job in started if job.contestant != SMALL}
    assert cheap == {(CHEAP, 10), (ALSO, 10), (CHEAP, 100), (ALSO, 100)}
    assert {(block.contestant, block.labels) for block in schedule.left_out} == {
        (CHEAP, 1000), (ALSO, 1000), (SMALL, 1000)
    }  # fmt: skip
    assert "would have taken" in schedule.left_out[CHEAP, 1000]
    assert schedule.left_out[SMALL, 1000].startswith("not even the cheap methods had")

    def worse(job):
        return 500.0 if job == Job(ALSO, 100, 1) else 0.1

    schedule = make([CHEAP, ALSO], limits=limits(100.0))
    carry_out(schedule, clock, worse)
    assert {job.labels for job in schedule.finished} == {10}, "some cheap methods were kept"


def test_a_cell_that_takes_longer_than_thought_ends_its_block(clock):
    schedule = make([CHEAP, SMALL], limits=limits(30.0), seeds=3)

    def costs(job):
        return 100.0 if job.contestant == SMALL and job.labels == 100 else 1.0

    started = carry_out(schedule, clock, costs)
    assert sum(job.contestant == SMALL and job.labels == 100 for job in started) == 1
    (why,) = [why for block, why in schedule.left_out.items() if block.labels == 100]
    assert why == "started, but stopped when the time was up"
    assert {job.labels for job in schedule.finished if job.contestant == SMALL} == {10}


def test_what_is_finished_costs_nothing(clock):
    known = {Job(LARGE, labels, seed): Spent(500.0, 0.0) for labels in BUDGETS for seed in (0, 1)}
    schedule = make([CHEAP, LARGE], limits=limits(30.0), known=known)
    started = carry_out(schedule, clock, lambda job: 1.0)
    assert {job.contestant for job in started} == {CHEAP}
    assert schedule.left_out == {}
    assert len(schedule.finished) == 12


def test_cells_that_are_running_are_counted(clock):
    for workers, expected in ((3, [CHEAP, SMALL, LARGE]), (2, [CHEAP, SMALL])):
        limit = limits(10.0, **{CHEAP.name: 6.0, SMALL.name: 6.0, LARGE.name: 6.0})
        schedule = make([CHEAP, SMALL, LARGE], limits=limit, seeds=1, workers=workers, budgets=(9,))
        assert [job.contestant for job in schedule.jobs()] == expected


def test_what_is_barred_is_left_out_unless_it_is_finished(clock):
    barred = Limits(deadline=2000.0, barred={SMALL.name: "slow"})
    known = {Job(SMALL, 10, seed): Spent(1.0, 0.0) for seed in (0, 1)}
    schedule = make([SMALL, CHEAP], limits=barred, known=known)
    assert {job.contestant for job in carry_out(schedule, clock, lambda job: 1.0)} == {CHEAP}
    assert {(block.labels, why) for block, why in schedule.left_out.items()} == {
        (100, "slow"), (1000, "slow")
    }  # fmt: skip
    assert {job.labels for job in schedule.finished if job.contestant == SMALL} == {10}


def test_estimates_follow_what_was_measured():
    spent = {(10, 0): Spent(4.0, 2.0), (10, 1): Spent(6.0, 2.0), (40, 0): Spent(10.0, 2.0)}
    known = {Job(SMALL, *key): each for key, each in spent.items()}
    schedule = make([SMALL], known=known)
    assert schedule.seconds(SMALL, 10) == pytest.approx(7.0)
    assert schedule.seconds(SMALL, 40) == pytest.approx(12.0)
    assert schedule.seconds(SMALL, 160) == pytest.approx(22.0)  # four times the labels, twice it
    assert schedule.seconds(SMALL, 4000) == pytest.approx(102.0)
    steep = make([SMALL], known={**known, Job(SMALL, 40, 0): Spent(1000.0, 2.0)})
    assert steep.seconds(SMALL, 160) == pytest.approx(1000 * 4**0.7 + 2.0)  # not 200 times
    one = make([SMALL], known={Job(SMALL, 10, 0): Spent(4.0, 2.0)})
    assert one.seconds(SMALL, 40) == pytest.approx(4.0 * 2 + 2.0)
    assert one.seconds(CHEAP, 100) == 0.0
