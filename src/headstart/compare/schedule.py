"""Which cells run, and in what order, so that a comparison ends within its time limit.

Cells come in blocks: one method, one label budget, all seeds. A block is started only if, judging
by the method's finished cells, it ends in time. Otherwise it is left out, as are the method's
larger budgets. Cheap methods go first, and few labels before many. Cheap methods, which train no
encoder other than word vectors, are run or left out together: a budget has either all cheap methods
or none, so none wins for lack of rivals.
"""

import heapq
import math
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple

from headstart.compare.contestants import Contestant

# How the time to fit grows with the labels, as a power of their number. The power lies between that
# of steps, whose number soon stops growing, and that of epochs over all labels. Far beyond the last
# measurement, the measured power is not reliable.
_USUAL_POWER, _LEAST_POWER, _MOST_POWER = 0.5, 0.3, 0.7
_FAR = 5  # times as many labels


class Job(NamedTuple):
    """One cell: a method, a number of labels, a seed."""

    contestant: Contestant
    labels: int
    seed: int


class Block(NamedTuple):
    """All seeds of a method at one number of labels."""

    contestant: Contestant
    labels: int


class Spent(NamedTuple):
    """The time a cell took, in seconds."""

    fit: float
    rest: float  # prediction and measurement


@dataclass(frozen=True, kw_only=True)
class Limits:
    """When cells must end, and estimates for methods that have no finished cell yet.

    Attributes:
        deadline: In seconds as from `time.time`; infinite if there is none.
        guesses: The estimated seconds of a cell with the fewest labels, by method; methods that are
            not listed cost 0.
        ranks: The order of the methods that train an encoder, cheap ones first; methods that are
            not listed come before all of these.
        barred: Why methods cannot run at all, by method.
    """

    deadline: float = math.inf
    guesses: Mapping[str, float] = field(default_factory=dict)
    ranks: Mapping[str, float] = field(default_factory=dict)
    barred: Mapping[str, str] = field(default_factory=dict)


class Schedule:
    """Hands out cells, and leaves out those that there is no time for.

    Args:
        contestants: The methods.
        budgets: The numbers of labels, in increasing order.
        seeds: The number of seeds.
        workers: How many cells run at once.
        limits: When the cells must end.
        known: The times of cells that are already finished.
    """

    def __init__(
        self,
        contestants: Sequence[Contestant],
        budgets: Sequence[int],
        seeds: int,
        *,
        workers: int,
        limits: Limits,
        known: Mapping[Job, Spent],
    ) -> None:
        self.workers, self.limits = workers, limits
        self.left_out: dict[Block, str] = {}
        self._seeds = seeds
        self._spent = dict(known)
        self._running: dict[Job, float] = {}
        unlimited = math.isinf(limits.deadline)
        turn = _longest_first if unlimited else self._turn
        blocks = sorted((Block(one, labels) for labels in budgets for one in contestants), key=turn)
        self.blocks = blocks
        self.left_out.update(
            (block, limits.barred[block.contestant.name])
            for block in blocks
            if block.contestant.name in limits.barred
            and any(job not in self._spent for job in self._of(block))
        )
        able = [block for block in blocks if block not in self.left_out]
        self._groups = [list(group) for _, group in groupby(able, key=self._together)]
        self._essential = set(able if unlimited else self._groups[0] if able else ())

    @property
    def finished(self) -> list[Job]:
        """Every finished cell of the blocks that were not left out, in the blocks' order."""
        return [
            job for block in self.blocks if block not in self.left_out for job in self._of(block)
        ]

    def deadline_of(self, job: Job) -> float:
        """Return when a cell must be finished; infinity if the comparison needs it."""
        essential = Block(job.contestant, job.labels) in self._essential
        return math.inf if essential else self.limits.deadline

    def jobs(self) -> Iterator[Job]:
        """Yield the cells to run, each once the previous one has been started.

        Whether a block fits is decided when its first cell is due.
        """
        for group in self._groups:
            missing = [job for block in group for job in self._of(block) if job not in self._spent]
            if not missing or not self._fits(group, missing):
                continue
            for job in missing:
                if Block(job.contestant, job.labels) in self.left_out:
                    break
                self._running[job] = time.time()
                yield job

    def note(self, job: Job, spent: Spent | None) -> None:
        """Record that a cell ended or, without `spent`, that its time was up."""
        self._running.pop(job, None)
        if spent is not None:
            self._spent[job] = spent
        else:
            block = Block(job.contestant, job.labels)
            group = next(group for group in self._groups if block in group)
            self._leave_out(group, "started, but stopped when the time was up")

    def seconds(self, contestant: Contestant, labels: int) -> float:
        """Estimate the seconds a cell takes from the finished cells of its method."""
        by_labels: dict[int, list[Spent]] = {}
        for job, spent in self._spent.items():
            if job.contestant == contestant:
                by_labels.setdefault(job.labels, []).append(spent)
        if not by_labels:
            return self.limits.guesses.get(contestant.name, 0.0)
        fits = {count: _mean([each.fit for each in cells]) for count, cells in by_labels.items()}
        nearest = max((count for count in fits if count <= labels), default=min(fits))
        rest = _mean([each.rest for each in by_labels[nearest]])
        power = _USUAL_POWER if labels > _FAR * nearest else _power(fits, nearest)
        return fits[nearest] * (labels / nearest) ** power + rest

    def _turn(self, block: Block) -> tuple[bool, int, float]:
        rank = self.limits.ranks.get(block.contestant.name)
        return (rank is not None, block.labels, rank or 0.0)

    def _of(self, block: Block) -> list[Job]:
        return [Job(block.contestant, block.labels, seed) for seed in range(self._seeds)]

    def _together(self, block: Block) -> object:
        """Return the key of blocks that are run or left out together."""
        cheap = block.contestant.name not in self.limits.ranks
        return block.labels if cheap else block

    def _fits(self, group: Sequence[Block], missing: Sequence[Job]) -> bool:
        if group[0] in self._essential:
            return True
        if group[0] in self.left_out:
            return False
        now = time.time()
        costs = [self.seconds(job.contestant, job.labels) for job in missing]
        end = self._projected_end(now, costs)
        if end <= self.limits.deadline:
            return True
        left = max(0.0, self.limits.deadline - now)
        self._leave_out(
            group,
            f"it would have taken about {spoken(end - now)} more, but only {spoken(left)} of the "
            "time for cells was left",
        )
        return False

    def _projected_end(self, now: float, costs: Sequence[float]) -> float:
        """Return when more cells of these costs would be done, after those that are running."""
        free = [
            now + max(0.0, self.seconds(job.contestant, job.labels) - (now - began))
            for job, began in self._running.items()
        ]
        free += [now] * (self.workers - len(free))
        heapq.heapify(free)
        ends = []
        for cost in costs:
            end = heapq.heappop(free) + cost
            heapq.heappush(free, end)
            ends.append(end)
        return max(ends)

    def _leave_out(self, group: Sequence[Block], why: str) -> None:
        """Leave out a trained method's block, or all cheap ones of a budget, and larger budgets."""
        self.left_out.update((block, why) for block in group if block not in self.left_out)
        first = group[0]
        cheap = self._together(first) != first
        for other in self.blocks:
            unfinished = any(job not in self._spent for job in self._of(other))
            same = other.contestant == first.contestant and other.labels > first.labels
            if cheap and other.labels >= first.labels:
                reason = f"not even the cheap methods had time for {first.labels:,} labels"
            elif same and unfinished:
                reason = (
                    f"it takes longer than {first.labels:,} labels, which already took too long"
                )
            else:
                continue
            self.left_out.setdefault(other, reason)


def _longest_first(block: Block) -> tuple[bool, int]:
    """Return a block's turn if time is unlimited: long blocks first, to keep all cores busy."""
    return not block.contestant.trains_encoder, -block.labels


def report_left_out(left_out: Collection[tuple[Block, str]]) -> list[dict[str, object]]:
    """Return what was left out as plain values."""
    return [
        {"method": block.contestant.name, "labels": block.labels, "why": why}
        for block, why in sorted(left_out, key=lambda each: each[0].labels)
    ]


def _power(fits: Mapping[int, float], labels: int) -> float:
    """Return the power of the label count with which the time to fit grew up to here."""
    before = [count for count in fits if count < labels]
    if not before:
        return _USUAL_POWER
    last = max(before)
    grew = math.log(max(fits[labels], 1e-6) / max(fits[last], 1e-6)) / math.log(labels / last)
    return min(max(grew, _LEAST_POWER), _MOST_POWER)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def spoken(seconds: float) -> str:
    """Return a duration as "42 s" or "3 min"."""
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
