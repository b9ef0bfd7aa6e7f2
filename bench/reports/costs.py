"""What entries cost beyond their parameters: time of a step, memory, energy. Records have it; rankings do not ask."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, median

from bench.catalog.suites import Suite
from bench.ranking.cells import EntryKey
from bench.ranking.hardware import hardware
from bench.reports.entries import runs_of_cells
from db.schema import Run
from db.standing import Standing


@dataclass(frozen=True, kw_only=True)
class Costs:
    """An entry's costs. All but memory are None where its runs used several kinds of hardware."""

    step_seconds: float | None
    """Of one step of one sequence through all layers: geometric mean over tasks of the median over seeds; None where no
    run was measured."""
    memory_bytes: int
    """The most that training any of its networks took: on the GPU where one was used, else of the process."""
    joules: float | None
    """Of the GPU, to train one seed of every task; None where a task was not measured."""


def entry_costs(runs: Iterable[Run], standing: Standing, suite: Suite) -> dict[EntryKey, Costs]:
    """Return the costs of a suite's entries.

    Args:
        runs: with all their columns.
    """
    by_entry: defaultdict[EntryKey, list[Sequence[Run]]] = defaultdict(list)
    for (entry, _), own in runs_of_cells(runs, standing, suite).items():
        by_entry[entry].append(own)
    return {entry: _costs(cells, len(suite.tasks)) for entry, cells in by_entry.items()}


def _costs(cells: Sequence[Sequence[Run]], tasks: int) -> Costs:
    every = [run for own in cells for run in own]
    alike = len({hardware(run.environment) for run in every}) == 1
    steps = [median(measured) for own in cells if (measured := _measured(own, "step_seconds"))]
    joules = [fmean(measured) for own in cells if (measured := _measured(own, "gpu_joules"))]
    return Costs(
        step_seconds=math.exp(fmean(map(math.log, steps))) if steps and alike else None,
        memory_bytes=max(run.peak_memory_device or run.peak_memory_host for run in every),
        joules=sum(joules) if len(joules) == tasks and alike else None,
    )


def _measured(runs: Iterable[Run], fact: str) -> list[float]:
    return [run.facts[fact] for run in runs if run.facts.get(fact)]
