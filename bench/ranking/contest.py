"""Who competes with whom: entries in the same wrapper, of equal parameters or trained within an equal time."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import NamedTuple, Protocol

from bench.ranking.cells import EntryKey, Result

WRAPPERS = ("residual", "plain")
"""The wrappers that are contests of their own, the main one first: the same block for every mixer; plain layers, as in
the papers on recurrent networks."""


class Contest(Protocol):
    """A rule for who competes. It is hashable, because rankings are cached by contest.

    `wrapper` is that of all entries; None lets entries of every wrapper compete with one another. `admits` says whether
    an entry of the wrapper competes, from its results and the number of tasks in the suite.
    """

    def __hash__(self) -> int: ...
    @property
    def wrapper(self) -> str | None: ...
    def admits(self, entry: EntryKey, table: Sequence[Result], tasks: int) -> bool: ...


class InTier(NamedTuple):
    """Every entry at a parameter tier."""

    tier: str
    wrapper: str | None = None

    def admits(self, entry: EntryKey, table: Sequence[Result], tasks: int) -> bool:
        return entry.tier == self.tier


class InTime(NamedTuple):
    """Entries that one kind of hardware trained within a time, at any parameter tier.

    The time is that of one seed of the whole suite. Training is not cut off at that time. Entries that take longer are
    left out, and a quick architecture does not get more training.
    """

    hardware: str
    seconds: float
    wrapper: str | None = None

    def admits(self, entry: EntryKey, table: Sequence[Result], tasks: int) -> bool:
        needed = training_seconds(table, tasks)
        return needed is not None and needed <= self.seconds and table[0].hardware == self.hardware


def training_seconds(table: Sequence[Result], tasks: int) -> float | None:
    """Return the seconds of training one seed of the suite: the sum over tasks of the mean over seeds that finished.

    None where the runs used several kinds of hardware, or a task has no run that finished.

    Args:
        table: the results of one entry.
        tasks: the number of tasks in the suite.
    """
    by_task = _by_task((result.task, result.seconds) for result in table if not result.failed)
    return sum(map(fmean, by_task.values())) if len(by_task) == tasks and len(hardware_of(table)) == 1 else None


def samples_per_second(table: Sequence[Result]) -> list[float] | None:
    """Return the training throughput on each task that was begun, as the mean over seeds.

    None where the runs used several kinds of hardware, or no run has a throughput.
    """
    by_task = _by_task((result.task, result.speed) for result in table if result.speed is not None)
    return [*map(fmean, by_task.values())] if by_task and len(hardware_of(table)) == 1 else None


def hardware_of(table: Iterable[Result]) -> tuple[str, ...]:
    return tuple(sorted({result.hardware for result in table}))


def _by_task(values: Iterable[tuple[str, float]]) -> dict[str, list[float]]:
    groups: defaultdict[str, list[float]] = defaultdict(list)
    for task, value in values:
        groups[task].append(value)
    return groups
