"""The rows of one task. Each is a configuration of an architecture, with all of its seeds."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from bench.catalog.names import numerically
from bench.catalog.setting_sources import BUDGET, FIXED_BY_SUITES, FLAG, is_preset, training_length
from bench.catalog.suites import SUITES
from bench.ranking.utility import learned_share, score
from db.schema import LADDER, OPEN, Run


@dataclass(frozen=True, kw_only=True)
class Row:
    """An architecture in one configuration on one task: every seed of it."""

    task: str
    model: str
    wrapper: str
    budget: str | None
    settings: dict[str, Any]
    """The settings that are neither defaults nor set by the budget: the model's own, the wrapper's, training's."""
    tuned: tuple[str, ...]
    """Names of those that tuning chose."""
    length: str
    """The most that training could take: "3000 steps" or "60 epochs"."""
    tuning: str
    """How the settings that suites leave open were chosen: "tuned", "by hand" (even if only some), or "defaults"."""
    score: float
    """Mean over seeds, failures counted as 0."""
    score_std: float | None
    """Sample standard deviation over seeds; None for a single seed."""
    learned: float
    """Share of the seeds that learned the task, from utility LEARNED on."""
    metric_name: str
    metric_value: float | None
    """Mean over the seeds that finished."""
    params: int
    params_core: int
    params_embedding: int
    params_readout: int
    seeds: tuple[int, ...]
    failures: int
    statuses: dict[str, int]
    verification: str
    """The lowest rung of any of its runs."""
    run_ids: tuple[str, ...]


def leaderboard(runs: Iterable[Run], verification: Mapping[str, str] | None = None) -> list[Row]:
    """Return a row for each task, architecture, wrapper, budget and configuration, best first within a task.

    Interrupted runs are left out because they have no result yet. Runs by a paper's protocol are left out because they
    can't be compared.

    Args:
        verification: run_id → its rung, where that is higher than "self-reported".
    """
    groups: defaultdict[Any, list[Run]] = defaultdict(list)
    for run in runs:
        if run.status != OPEN and run.is_comparable:
            groups[run.task, run.task_version, run.protocol, run.model, run.wrapper, run.budget, _key(run)].append(run)
    rows = [_row(group, verification or {}) for group in groups.values()]
    return sorted(rows, key=lambda row: (numerically(row.task), -row.score, row.params, row.model))


def _key(run: Run) -> str:
    return repr(sorted((part, sorted(values.items())) for part, values in run.config.items()))


def _row(runs: Sequence[Run], verification: Mapping[str, str]) -> Row:
    first = runs[0]
    scores = [score(run) for run in runs]
    values = [run.metric_value for run in runs if run.metric_value is not None]
    statuses: defaultdict[str, int] = defaultdict(int)
    for run in runs:
        statuses[run.status] += 1
    return Row(
        task=first.task,
        model=first.model,
        wrapper=first.wrapper,
        budget=first.budget,
        settings=chosen_settings(first),
        tuned=tuple(name for name, source in first.config_source.items() if is_preset(source)),
        length=training_length(first.flat_config),
        tuning=tuning_of(first),
        score=fmean(scores),
        score_std=stdev(scores) if len(scores) > 1 else None,
        learned=learned_share(scores),
        metric_name=first.metric_name,
        metric_value=fmean(values) if values else None,
        params=first.params_total,
        params_core=first.params_core,
        params_embedding=first.params_embedding,
        params_readout=first.params_readout,
        seeds=tuple(sorted(run.seed for run in runs)),
        failures=len(runs) - statuses["finished"],
        statuses={status: count for status, count in statuses.items() if count},
        verification=min((verification.get(run.run_id, LADDER[0]) for run in runs), key=LADDER.index),
        run_ids=tuple(run.run_id for run in runs),
    )


def chosen_settings(run: Run) -> dict[str, Any]:
    """Return the settings that somebody chose, by flag or preset: the model's own, the wrapper's, training's."""
    sources = run.config_source
    return {name: value for name, value in run.flat_config.items() if sources.get(name, BUDGET) != BUDGET}


def tuning_of(run: Run) -> str:
    """Return how the settings that suites leave open were chosen, as a `Row` says it."""
    by_flag = {name for name, source in run.config_source.items() if source == FLAG}.difference(FIXED_BY_SUITES)
    if by_flag and not any(by_flag <= suite.tasks[run.task].keys() for suite in SUITES.values() if suite.includes(run)):
        return "by hand"
    return "tuned" if any(map(is_preset, run.config_source.values())) else "defaults"
