"""The scores of single seeds, where a board has means."""

from collections.abc import Iterable, Mapping
from statistics import fmean

from bench.catalog.suites import Suite
from bench.ranking.cells import EntryKey
from bench.ranking.utility import score
from bench.reports.entries import Cell, runs_of_cells
from db.schema import Run
from db.standing import Standing

SeedScores = Mapping[Cell, Mapping[int, float]]
"""Entry and task → seed → score."""


def seed_scores(runs: Iterable[Run], standing: Standing, suite: Suite) -> dict[Cell, dict[int, float]]:
    """Return the score of every seed that counts in a suite. A run that failed scores 0."""
    found = runs_of_cells(runs, standing, suite)
    return {cell: {run.seed: score(run) for run in own} for cell, own in found.items()}


def over_tasks(scores: SeedScores, entry: EntryKey, suite: Suite) -> tuple[float, ...]:
    """Return an entry's score by seed: the mean over the suite's tasks, of seeds that every task has."""
    cells = [scores.get((entry, task), {}) for task in suite.tasks]
    shared = sorted(set.intersection(*(set(cell) for cell in cells)))
    return tuple(fmean(cell[seed] for cell in cells) for seed in shared)
