"""From a table of runs to the rows of a suite: entries ranked over its tasks, within a contest.

Shapes: E entries, T tasks.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import fmean

import numpy as np

from bench.catalog.tiers import TIERS
from bench.ranking.budget_auc import budget_auc
from bench.ranking.cells import (
    BoolArray,
    Cells,
    EntriesOf,
    EntryKey,
    FloatArray,
    Result,
    as_recorded,
    cells,
    results,
)
from bench.ranking.contest import Contest, InTier, hardware_of, samples_per_second, training_seconds
from bench.ranking.pareto import front_probability
from bench.ranking.rank_interval import rank_intervals, smallest_difference
from bench.ranking.rows import Board, SuiteRow, TaskScore
from bench.ranking.score_interval import standard_error, t_interval, task_interval
from db.schema import LADDER, Run
from db.standing import Standing

LEAST_SEEDS = 5


def rank_suite(
    runs: Iterable[Run], tasks: Sequence[str], tier: str, standing: Standing | None = None,
    wrapper: str | None = None,
) -> Board:  # fmt: skip
    """Rank the entries of a parameter tier, and of a wrapper if one is given, over the tasks of a suite; see `rank`."""
    return rank(runs, tasks, InTier(tier, wrapper), standing)


def rank(
    runs: Iterable[Run], tasks: Sequence[str], contest: Contest, standing: Standing | None = None,
    entries_of: EntriesOf = as_recorded, tiers: Sequence[str] = tuple(TIERS),
) -> Board:  # fmt: skip
    """Rank the entries that a contest admits over the tasks of a suite.

    Equal tables are ranked once: the answer is cached by content.

    Args:
        runs: the suite's runs of every tier, because the Pareto front and BudgetAUC look across tiers. They have one
            protocol, one version of each task, and the suite's training settings.
        standing: how far the runs are verified, and the times of their steps. None of both unless given.
        entries_of: run → the entries that it counts in; there may be several.
        tiers: the suite's tiers, over which BudgetAUC is a mean.

    Raises:
        ValueError: there is no task, or a seed has two results in a cell.
    """
    if not tasks:
        raise ValueError("a suite needs at least one task, got none")
    names = tuple(sorted(set(tasks)))
    return _board(results(runs, names, standing or Standing(), entries_of), names, contest, tuple(tiers))


@lru_cache(maxsize=64)
def _board(table: tuple[Result, ...], tasks: tuple[str, ...], contest: Contest, tiers: tuple[str, ...]) -> Board:
    everything = cells((each for each in table if contest.wrapper in (None, each.entry.wrapper)), tasks)
    complete = everything.where(np.all(_done(everything), axis=1))
    ranked = complete.where(_admitted(complete, contest))
    compared = _Compared.of(complete, ranked, tiers)
    return Board(
        rows=tuple(sorted(_rows(everything.where(_admitted(everything, contest)), tasks, compared), key=_order)),
        smallest_difference=smallest_difference(ranked.variance, ranked.count),
    )


def _done(table: Cells) -> BoolArray:
    """Which cells have the seeds that a rank needs: at least five, from 0 on, with none left out."""
    return (table.count >= LEAST_SEEDS) & table.whole


def _admitted(table: Cells, contest: Contest) -> BoolArray:
    pairs = zip(table.entries, table.results, strict=True)
    return np.array([contest.admits(entry, own, table.values.shape[1]) for entry, own in pairs], dtype=bool)


@dataclass(frozen=True, kw_only=True)
class _Compared:
    """What complete entries get by comparison with others, or with themselves in other tiers."""

    rank: dict[EntryKey, tuple[int, int]]
    p_front: dict[EntryKey, float]
    auc: dict[EntryKey, float]

    @classmethod
    def of(cls, complete: Cells, ranked: Cells, tiers: Sequence[str]) -> "_Compared":
        """Compare entries.

        Args:
            complete: the complete entries of all tiers in the contest's wrapper.
            ranked: those of them that the contest admits.
        """
        score_E = complete.mean.mean(1)
        params_E = np.array([_geometric_mean(entry, "params") for entry in complete.results])
        error_E, freedom_E = standard_error(complete.variance, complete.count)
        chance_E = front_probability(complete.entries, score_E, error_E, freedom_E, params_E)
        low_E, high_E = rank_intervals(ranked.mean.mean(1), ranked.values)
        return cls(
            rank=dict(zip(ranked.entries, zip(low_E.tolist(), high_E.tolist(), strict=True), strict=True)),
            p_front=dict(zip(complete.entries, chance_E.tolist(), strict=True)),
            auc=_budget_aucs(complete.entries, params_E, score_E, tiers),
        )


def _budget_aucs(
    entries: Sequence[EntryKey], params_E: FloatArray, score_E: FloatArray, tiers: Sequence[str]
) -> dict[EntryKey, float]:
    """BudgetAUC of the entries that are complete in all tiers of the suite."""
    sizes = [TIERS[tier] for tier in tiers]
    points: defaultdict[EntryKey, dict[str, tuple[float, float]]] = defaultdict(dict)
    for entry, params, score in zip(entries, params_E.tolist(), score_E.tolist(), strict=True):
        points[entry._replace(tier="")][entry.tier] = (params, score)
    return {
        key._replace(tier=tier): budget_auc([by_tier[each] for each in tiers], min(sizes), 10 * max(sizes))
        for key, by_tier in points.items()
        if by_tier.keys() >= {*tiers}
        for tier in tiers
    }


def _rows(listed: Cells, tasks: Sequence[str], compared: _Compared) -> list[SuiteRow]:
    score_E = listed.mean.mean(1)
    intervals = *t_interval(score_E, *standard_error(listed.variance, listed.count)), *task_interval(listed.mean)
    return [
        _row(listed, e, tasks, [_known(number) for number in numbers], compared)
        for e, numbers in enumerate(zip(score_E, *intervals, strict=True))
    ]


def _row(listed: Cells, e: int, tasks: Sequence[str], scores: list[float | None], compared: _Compared) -> SuiteRow:
    entry, table, count_T = listed.entries[e], listed.results[e], listed.count[e]
    low, high = compared.rank.get(entry, (None, None))
    has_state = all(result.state_bytes is not None for result in table)
    speeds = samples_per_second(table)
    return SuiteRow(
        rank_low=low,
        rank_high=high,
        model=entry.model,
        wrapper=entry.wrapper,
        budget=entry.tier,
        tuning=entry.tuning,
        settings=entry.settings,
        score=scores[0],
        score_low=scores[1],
        score_high=scores[2],
        score_low_tasks=scores[3],
        score_high_tasks=scores[4],
        learned=_known(listed.learned[e].mean()),
        params=_geometric_mean(table, "params"),
        params_core=_geometric_mean(table, "core"),
        params_embedding=fmean(_by_task(table, "embedding")),
        params_readout=_geometric_mean(table, "readout"),
        state_bytes=_geometric_mean(table, "state_bytes") if has_state else None,
        hardware=hardware_of(table),
        train_seconds=training_seconds(table, len(tasks)),
        samples_per_second=math.exp(fmean(map(math.log, speeds))) if speeds else None,
        tasks_done=int(_done(listed)[e].sum()),
        tasks_total=len(tasks),
        seeds=int(count_T.min()),
        failures=sum(result.failed for result in table),
        verification=LADDER[min(result.rung for result in table)],
        p_front=compared.p_front.get(entry),
        budget_auc=compared.auc.get(entry),
        tasks=_task_scores(listed, e, tasks),
    )


def _task_scores(listed: Cells, e: int, tasks: Sequence[str]) -> tuple[TaskScore, ...]:
    return tuple(
        TaskScore(
            task=task,
            score=_known(listed.mean[e, t]),
            std=_known(np.sqrt(listed.variance[e, t])),
            learned=_known(listed.learned[e, t]),
            seeds=int(listed.count[e, t]),
            failures=sum(result.failed for result in listed.results[e] if result.task == task),
            no_spread=bool(listed.count[e, t] > 1 and not listed.spread[e, t]),
        )
        for t, task in enumerate(tasks)
    )


def _order(row: SuiteRow) -> tuple[object, ...]:
    """Sort ranked rows first, then by score, size and name; among the others, the most complete first."""
    score = math.inf if row.score is None else -row.score
    name = (row.model, row.wrapper, row.tuning, row.settings)
    return row.rank_low is None, -row.tasks_done if row.rank_low is None else 0, score, row.params, name


def _known(number: float) -> float | None:
    return None if math.isnan(number) else float(number)


def _geometric_mean(table: Iterable[Result], part: str) -> float:
    values = _by_task(table, part)
    if min(values) == max(values):  # exactly, as a count of parameters should be
        return values[0]
    return math.exp(fmean(map(math.log, values))) if min(values) > 0 else 0.0


def _by_task(table: Iterable[Result], part: str) -> list[float]:
    """A size on each task: the mean over seeds, which are all alike there."""
    values: defaultdict[str, list[float]] = defaultdict(list)
    for result in table:
        values[result.task].append(getattr(result, part))
    return [fmean(values[task]) for task in sorted(values)]
