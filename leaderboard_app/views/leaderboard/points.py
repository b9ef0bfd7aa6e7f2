"""The points of the board's charts: one for each entry that has a score."""

from collections.abc import Iterable, Sequence
from typing import Any

from bench.catalog.families import FAMILIES
from bench.common.csv_latex import csv_text
from bench.ranking.rows import SuiteRow
from bench.reports.listings import model_facts
from leaderboard_app.views.leaderboard.filters import UNKNOWN, described
from leaderboard_app.views.leaderboard.table import Naming

Point = dict[str, Any]


def points(rows: Iterable[SuiteRow], name: Naming) -> list[Point]:
    """Return a point for each row that has a score.

    Args:
        name: how an entry is called.
    """
    return [_point(row, name(row)) for row in rows if row.score is not None]


def _point(row: SuiteRow, entry: str) -> Point:
    family, _, year = described(model_facts().get(row.model))
    return {
        "model": row.model, "entry": entry, "line": " ".join(filter(None, row.key._replace(tier=""))), "family": family,
        "year": year, "wrapper": row.wrapper, "tier": row.budget, "score": row.score,
        "low": row.score if row.score_low is None else row.score_low,
        "high": row.score if row.score_high is None else row.score_high,
        "params": row.params, "train_seconds": row.train_seconds, "state_bytes": row.state_bytes,
        "seeds": row.seeds, "failures": row.failures, "verification": row.verification,
        "ranked": row.rank_low is not None,
    }  # fmt: skip


def numbers(rows: Iterable[SuiteRow], name: Naming) -> str:
    """Return CSV of the points."""
    shown = points(rows, name)
    return csv_text(list(shown[0]) if shown else [], [list(each.values()) for each in shown])


def front(shown: Iterable[Point], field: str) -> list[Point]:
    """Return the Pareto front: ranked entries that no other reaches with as little of `field`, smallest first."""
    found: list[Point] = []
    for point in sorted((each for each in shown if each["ranked"]), key=lambda each: (each[field], -each["score"])):
        if not found or point["score"] > found[-1]["score"]:
            found.append(point)
    return found


def best_of_tiers(shown: Iterable[Point]) -> list[Point]:
    """Return the best ranked entry of each tier."""
    best: dict[str, Point] = {}
    for point in shown:
        if point["ranked"] and point["score"] > best.get(point["tier"], {"score": -1})["score"]:
            best[point["tier"]] = point
    return list(best.values())


def families(shown: Sequence[Point]) -> list[str]:
    """Return the families of points, in the order of their colours."""
    there = {point["family"] for point in shown}
    return [family for family in (*FAMILIES, UNKNOWN) if family in there]
