"""Choose which rows of a board are shown, and in which order. Filters never change a score or a rank."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from bench.catalog.names import display_name
from bench.ranking.rows import SuiteRow
from bench.reports.listings import ModelFacts

UNKNOWN = "unknown"
CAUSAL, NOT_CAUSAL = "causal", "not causal"
RANK = "rank"
ORDERS: Mapping[str, Callable[[SuiteRow], object]] = {
    "name": lambda row: (row.model, row.wrapper, row.tuning, row.settings, row.budget),
    "fewest parameters": lambda row: row.params,
    "smallest state": lambda row: _or_last(row.state_bytes),
    "most samples/s": lambda row: _or_last(row.samples_per_second, falling=True),
    "shortest training": lambda row: _or_last(row.train_seconds),
    "best BudgetAUC": lambda row: _or_last(row.budget_auc, falling=True),
    "fewest failures": lambda row: row.failures,
}
"""Orders in addition to the board's own order and to those by a task's score."""


@dataclass(frozen=True, kw_only=True)
class Filters:
    """Conditions on a row. An empty tuple or text, or None, is no condition."""

    search: str = ""
    """Words that must all be found in the model's name, settings, family or paper."""
    families: tuple[str, ...] = ()
    causal: str | None = None
    years: tuple[int, int] | None = None
    """First and last year of the paper."""
    verification: tuple[str, ...] = ()
    hardware: tuple[str, ...] = ()
    """The only hardware that the entry's runs may have been trained on."""


def matching(rows: Iterable[SuiteRow], filters: Filters, facts: Mapping[str, ModelFacts]) -> list[SuiteRow]:
    return [row for row in rows if _matches(row, facts.get(row.model), filters)]


def _matches(row: SuiteRow, facts: ModelFacts | None, filters: Filters) -> bool:
    family, causal, year = described(facts)
    told = words(row, facts)
    return (
        all(word in told for word in filters.search.lower().split())
        and (not filters.families or family in filters.families)
        and filters.causal in (None, causal)
        and (filters.years is None or (year is not None and filters.years[0] <= year <= filters.years[1]))
        and (not filters.verification or row.verification in filters.verification)
        and (not filters.hardware or set(row.hardware) <= set(filters.hardware))
    )


def words(row: SuiteRow, facts: ModelFacts | None) -> str:
    """Return what a search looks through, in small letters."""
    family, title = described(facts)[0], facts.paper.title if facts else ""
    told = row.model, display_name(row.model), row.wrapper, row.tuning, row.settings, family, title
    return " ".join(told).lower()


def described(facts: ModelFacts | None) -> tuple[str, str, int | None]:
    """Return family, causality and year: UNKNOWN, UNKNOWN, None if the model is not in this copy of the code."""
    if facts is None:
        return UNKNOWN, UNKNOWN, None
    return facts.family, CAUSAL if facts.causal else NOT_CAUSAL, facts.paper.year


def ordered(rows: Sequence[SuiteRow], by: str) -> list[SuiteRow]:
    """Sort rows by RANK (the board's own order), by one of ORDERS, or by a task's score, best first. Stable."""
    if by == RANK:
        return list(rows)
    return sorted(rows, key=ORDERS.get(by, _by_task(by)))  # type: ignore[arg-type]


def _by_task(name: str) -> Callable[[SuiteRow], float]:
    return lambda row: _or_last(next((cell.score for cell in row.tasks if cell.task == name), None), falling=True)


def _or_last(value: float | None, *, falling: bool = False) -> float:
    if value is None:
        return math.inf
    return -value if falling else value
