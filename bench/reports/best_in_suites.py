"""What a run stands beside: the best entry on its task, in each suite that it belongs to."""

from dataclasses import dataclass
from statistics import fmean

from bench.catalog.suites import SUITES
from bench.ranking.utility import score
from bench.reports.entries import entries_of, runs_of_cells
from db.schema import Run
from db.store import Store


@dataclass(frozen=True, kw_only=True)
class Best:
    """The entry with the highest score on a task, among those of a suite's tier in one wrapper."""

    suite: str
    model: str
    score: float
    """Mean over its seeds; there may be fewer of them than a rank takes."""
    seeds: int
    params: int
    run_ids: tuple[str, ...]


def best_in_suites(store: Store, run: Run) -> list[Best]:
    """Return the best entry beside a run, for each suite in which the run counts: none if it was trained otherwise.

    Withdrawn runs are left out.
    """
    standing, runs = store.standing(), store.runs(task=run.task)
    found = []
    for suite in SUITES.values():
        if entries_of(suite, standing, run):
            cells = runs_of_cells(runs, standing, suite).items()
            rivals = [each for (entry, _), each in cells if entry[1:3] == (run.wrapper, run.budget)]
            found += [_best(suite.name, max(rivals, key=_score))] if rivals else []
    return found


def _best(suite: str, runs: list[Run]) -> Best:
    return Best(
        suite=suite, model=runs[0].model, score=_score(runs), seeds=len(runs), params=runs[0].params_total,
        run_ids=tuple(run.run_id for run in runs),
    )  # fmt: skip


def _score(runs: list[Run]) -> float:
    return fmean(map(score, runs))
