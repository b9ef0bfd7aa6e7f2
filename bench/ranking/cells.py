"""A table of results as arrays: entries × tasks.

Shapes: E entries, T tasks, N seeds.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.catalog.setting_sources import FLAG, is_preset
from bench.common.text import assignments
from bench.ranking.training_time import training_time
from bench.ranking.utility import LEARNED, score
from db.schema import LADDER, OPEN, Run
from db.standing import Standing

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


class EntryKey(NamedTuple):
    """What competes for a rank. A model or wrapper with settings given by flag is a separate entry."""

    model: str
    wrapper: str
    tier: str
    tuning: str
    """"tuned", with the budget that the suite fixes, or "defaults"."""
    settings: str
    """Settings of model and wrapper that were given by flag, as `name=value` words."""


class Result(NamedTuple):
    """All that ranking needs of a run. Results are hashable, so that equal tables of them are ranked once."""

    entry: EntryKey
    task: str
    seed: int
    score: float
    failed: bool
    rung: int
    """Index on the verification ladder."""
    params: int
    """What the tier limits: learned numbers, not counting token embedding tables."""
    core: int
    embedding: int
    readout: int
    state_bytes: int | None
    hardware: str
    seconds: float
    """Training time; see `training_time`."""
    speed: float | None
    """Samples per second of training."""


EntriesOf = Callable[[Run], Iterable[EntryKey]]


def as_recorded(run: Run) -> list[EntryKey]:
    """Return the entry that a run was recorded for; none if the run is in no parameter tier."""
    return [] if run.budget is None else [entry_key(run, run.config_source)]


def entry_key(run: Run, sources: Mapping[str, str]) -> EntryKey:
    """Return the entry that a run in a parameter tier belongs to if its settings came from these sources."""
    assert run.budget is not None
    tuning = "tuned" if any(map(is_preset, sources.values())) else "defaults"
    return EntryKey(run.model, run.wrapper, run.budget, tuning, _by_hand(run.config, sources))


def results(
    runs: Iterable[Run], tasks: Sequence[str], standing: Standing, entries_of: EntriesOf = as_recorded
) -> tuple[Result, ...]:
    """Return the results that count: ended runs of the suite's tasks in a parameter tier, once for each entry.

    Args:
        standing: how far the runs are verified, and the times of their steps.
        entries_of: run → the entries that it counts in.
    """
    wanted = set(tasks)
    return tuple(
        _result(entry, run, standing)
        for run in runs
        if run.task in wanted and run.status != OPEN
        for entry in entries_of(run)
    )


def _result(entry: EntryKey, run: Run, standing: Standing) -> Result:
    time = training_time(run, standing)
    return Result(
        entry=entry,
        task=run.task,
        seed=run.seed,
        score=score(run),
        failed=run.status != "finished",
        rung=LADDER.index(standing.rungs.get(run.run_id, LADDER[0])),
        params=run.params_budgeted,
        core=run.params_core,
        embedding=run.params_embedding,
        readout=run.params_readout,
        state_bytes=run.state_bytes,
        hardware=time.hardware,
        seconds=time.seconds,
        speed=time.samples_per_second,
    )


def _by_hand(config: Mapping[str, Any], sources: Mapping[str, str]) -> str:
    if FLAG not in sources.values():
        return ""
    values = {name: value for part in ("model", "wrapper") for name, value in config.get(part, {}).items()}
    chosen = sorted(name for name, source in sources.items() if source == FLAG and name in values)
    return " ".join(assignments({name: values[name] for name in chosen}))


@dataclass(frozen=True, kw_only=True, eq=False)
class Cells:
    """Scores by entry and task: arrays of shape E × T."""

    entries: list[EntryKey]
    results: list[list[Result]]
    """The results of each entry."""
    values: FloatArray
    """E × T × N: a cell's scores in ascending order, so that the seeds' numbers mean nothing; NaN after its last."""
    whole: BoolArray
    """Whether a cell's seeds are 0, 1, 2, … with none left out."""

    @cached_property
    def count(self) -> IntArray:
        return (~np.isnan(self.values)).sum(2)

    @cached_property
    def mean(self) -> FloatArray:
        """NaN where a cell is empty."""
        with np.errstate(invalid="ignore"):
            return np.nansum(self.values, axis=2) / self.count

    @cached_property
    def learned(self) -> FloatArray:
        """Share of a cell's seeds that learned the task (see LEARNED). NaN where a cell is empty."""
        with np.errstate(invalid="ignore"):
            return (self.values >= 100 * LEARNED).sum(2) / self.count

    @cached_property
    def spread(self) -> BoolArray:
        """Whether a cell's seeds differ."""
        return np.fmax.reduce(self.values, axis=2) > np.fmin.reduce(self.values, axis=2)

    @cached_property
    def variance(self) -> FloatArray:
        """Sample variance over seeds: exactly 0 where they do not differ, NaN where there are fewer than two."""
        squares_ET = np.nansum((self.values - self.mean[..., None]) ** 2, axis=2) * self.spread
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self.count > 1, squares_ET / (self.count - 1), np.nan)

    def where(self, chosen_E: BoolArray) -> "Cells":
        """Return the cells of the chosen entries."""
        indices = np.flatnonzero(chosen_E).tolist()
        return Cells(
            entries=[self.entries[index] for index in indices],
            results=[self.results[index] for index in indices],
            values=self.values[indices],
            whole=self.whole[indices],
        )


def cells(table: Iterable[Result], tasks: Sequence[str]) -> Cells:
    """Group results by entry and task.

    Raises:
        ValueError: a seed has two results in a cell: protocols, versions or training settings are mixed.
    """
    groups: defaultdict[EntryKey, defaultdict[str, dict[int, Result]]] = defaultdict(lambda: defaultdict(dict))
    for result in table:
        cell = groups[result.entry][result.task]
        if result.seed in cell:
            raise ValueError(
                f"{' '.join(filter(None, result.entry))} on {result.task} has two results for seed {result.seed}: "
                "give the runs of one protocol, one task version and the suite's training settings."
            )
        cell[result.seed] = result
    entries = sorted(groups)
    seeds = max((len(cell) for group in groups.values() for cell in group.values()), default=1)
    values_ETN = np.full((len(entries), len(tasks), seeds), np.nan)
    whole_ET = np.ones((len(entries), len(tasks)), dtype=bool)
    for e, entry in enumerate(entries):
        for t, task in enumerate(tasks):
            cell = groups[entry][task]
            values_ETN[e, t, : len(cell)] = sorted(result.score for result in cell.values())
            whole_ET[e, t] = cell.keys() == set(range(len(cell)))
    by_entry = [[result for cell in groups[entry].values() for result in cell.values()] for entry in entries]
    return Cells(entries=entries, results=by_entry, values=values_ETN, whole=whole_ET)
