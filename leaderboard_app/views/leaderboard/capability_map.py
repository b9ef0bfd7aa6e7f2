"""The capability map: architectures × tasks, coloured by score, hatched where seeds disagree."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from bench.catalog.families import FAMILIES
from bench.common.text import counted
from bench.ranking.rows import SuiteRow, TaskScore
from bench.reports.listings import model_facts
from leaderboard_app.views.leaderboard.filters import described, words
from leaderboard_app.views.leaderboard.table import Naming
from leaderboard_app.widgets.heat_map import Cell, HeatMap, Row
from leaderboard_app.widgets.links import page_url
from leaderboard_app.widgets.marks import family_mark

CAPTION = "Scores of architectures on tasks"
HATCHED = "Hatched: some of its seeds learned the task, others did not."
FAMILY, LIKENESS, SCORE = "family", "likeness", "score"
ORDERS: Mapping[str, str] = {
    FAMILY: "By family, the best of each first.",
    LIKENESS: "Architectures that are good at the same tasks stand together.",
    SCORE: "As in the table.",
}
"""How rows are sorted → what that means."""


def capability_map(
    rows: Sequence[SuiteRow], tasks: Sequence[str], name: Naming, by: str = FAMILY, offered: Iterable[str] = ()
) -> HeatMap:
    """Return the map of entries, sorted by one of ORDERS.

    Args:
        tasks: the columns.
        name: how an entry is called.
        offered: the orders that a reader can choose without a server.
    """
    places = {order: np.argsort(_sorted(rows, tasks, order)).tolist() for order in offered}
    shown = [
        _row(rows[at], tasks, name, {order: place[at] for order, place in places.items()})
        for at in _sorted(rows, tasks, by)
    ]
    return HeatMap(CAPTION, {task: page_url("task", name=task) for task in tasks}, shown, HATCHED)


def _row(row: SuiteRow, tasks: Sequence[str], name: Naming, places: dict[str, int]) -> Row:
    facts, scores = model_facts().get(row.model), {each.task: each for each in row.tasks}
    family = described(facts)[0]
    return Row(
        name=name(row),
        url=page_url("architecture", name=row.model),
        mark=family_mark(family),
        cells=[_cell(row, scores[task], name(row)) for task in tasks],
        words=words(row, facts),
        group=family,
        places=places,
    )


def _cell(row: SuiteRow, cell: TaskScore, entry: str) -> Cell:
    if cell.score is None or cell.learned is None:
        return Cell(None, "", f"{entry} on {cell.task}: no result")
    learned = f"{round(cell.learned * cell.seeds)} of {counted(cell.seeds, 'seed')} learned"
    told = f"{entry} on {cell.task}: {cell.score:.1f}, {learned}"
    return Cell(cell.score, page_url("run", model=row.model, task=cell.task), told, 0 < cell.learned < 1)


def _sorted(rows: Sequence[SuiteRow], tasks: Sequence[str], by: str) -> list[int]:
    """Return the rows' indices in an order."""
    if by == FAMILY:
        families = [described(model_facts().get(row.model))[0] for row in rows]
        ranks = {family: place for place, family in enumerate(FAMILIES)}
        return sorted(range(len(rows)), key=lambda at: ranks.get(families[at], len(ranks)))
    return likeness(_scores(rows, tasks)) if by == LIKENESS else list(range(len(rows)))


def _scores(rows: Sequence[SuiteRow], tasks: Sequence[str]) -> np.ndarray:
    """Return scores, entries × tasks. Where there is no result, the mean of the task stands for it."""
    scores = [{each.task: each.score for each in row.tasks} for row in rows]
    table_ET = np.array([[own[task] for task in tasks] for own in scores], dtype=float).reshape(len(rows), len(tasks))
    known_ET = ~np.isnan(table_ET)
    mean_T = np.where(known_ET, table_ET, 0).sum(0) / np.maximum(known_ET.sum(0), 1)
    return np.where(known_ET, table_ET, mean_T)


def likeness(scores_ET: np.ndarray) -> list[int]:
    """Return an order in which entries with similar scores are neighbours, the better end first.

    That is the order of the leaves of a hierarchical clustering (average linkage), turned so that neighbours are as
    near as can be (Bar-Joseph et al. 2001).
    """
    if len(scores_ET) < 3:
        return list(range(len(scores_ET)))
    from scipy.cluster.hierarchy import leaves_list, linkage

    order = leaves_list(linkage(scores_ET, "average", optimal_ordering=True)).tolist()
    half, mean_E = len(order) // 2, scores_ET.mean(1)
    return order if mean_E[order[:half]].sum() >= mean_E[order[-half:]].sum() else order[::-1]
