"""Who competes with whom: entries of equal parameters, or entries that train within an equal time."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import NamedTuple, Protocol

from bench.ranking.cells import EntryKey, Result


class Contest(Protocol):
    def __hash__(self) -> int: ...
    def admits(self, entry: EntryKey, table: Sequence[Result], tasks: int) -> bool: ...


class InTier(NamedTuple):
    """Everything at a parameter tier."""

    tier: str

    def admits(self, entry: EntryKey, table: Sequence[Result], tasks: int) -> bool:
        return entry.tier == self.tier


class InTime(NamedTuple):
    """What one kind of hardware trained within a time, at any parameter tier.

    The time is that of one seed of the whole suite. Trainings are not cut off at it: those that take longer are left
    out, and a quick architecture is not given more of it.
    """

    hardware: str
    seconds: float

    def admits(self, entry: EntryKey, table: Sequence[Result], tasks: int) -> bool:
        needed = training_seconds(table, tasks)
        return needed is not None and needed <= self.seconds and table[0].hardware == self.hardware


def training_seconds(table: Sequence[Result], tasks: int) -> float | None:
    """Seconds of training of one seed of the suite: the sum over tasks of the mean over seeds that finished.

    None where the runs are of several kinds of hardware, or a task has no run that finished.
    """
    by_task = _by_task((result.task, result.seconds) for result in table if not result.failed)
    return sum(map(fmean, by_task.values())) if len(by_task) == tasks and len(hardware_of(table)) == 1 else None


def samples_per_second(table: Sequence[Result]) -> list[float] | None:
    """Training throughput on each task, the mean over seeds; None as for `training_seconds`, of the tasks begun."""
    by_task = _by_task((result.task, result.speed) for result in table if result.speed is not None)
    return [*map(fmean, by_task.values())] if by_task and len(hardware_of(table)) == 1 else None


def hardware_of(table: Iterable[Result]) -> tuple[str, ...]:
    return tuple(sorted({result.hardware for result in table}))


def _by_task(values: Iterable[tuple[str, float]]) -> dict[str, list[float]]:
    groups: defaultdict[str, list[float]] = defaultdict(list)
    for task, value in values:
        groups[task].append(value)
    return groups
