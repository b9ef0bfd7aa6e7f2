"""Which rows of a board are shown. Filters hide rows; they never change a score or a rank."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bench.catalogue import ModelFacts
from bench.ranking import SuiteRow

UNKNOWN = "unknown"
CAUSAL, NOT_CAUSAL = "causal", "not causal"


@dataclass(frozen=True, kw_only=True)
class Filters:
    """What a row must be; an empty tuple or text asks for nothing."""

    search: str = ""
    """Words that must all be found in the model's name, settings, family or paper."""
    families: tuple[str, ...] = ()
    causal: str | None = None
    years: tuple[int, int] | None = None
    """First and last year of the paper."""
    verification: tuple[str, ...] = ()
    hardware: tuple[str, ...] = ()
    """All that the entry's runs may have been trained on."""


def matching(rows: Iterable[SuiteRow], filters: Filters, facts: Mapping[str, ModelFacts]) -> list[SuiteRow]:
    return [row for row in rows if _matches(row, facts.get(row.model), filters)]


def _matches(row: SuiteRow, facts: ModelFacts | None, filters: Filters) -> bool:
    family, causal, year = described(facts)
    words = (
        f"{row.model} {row.wrapper} {row.tuning} {row.settings} {family} {facts.paper.title if facts else ''}".lower()
    )
    return (
        all(word in words for word in filters.search.lower().split())
        and (not filters.families or family in filters.families)
        and filters.causal in (None, causal)
        and (filters.years is None or (year is not None and filters.years[0] <= year <= filters.years[1]))
        and (not filters.verification or row.verification in filters.verification)
        and (not filters.hardware or set(row.hardware) <= set(filters.hardware))
    )


def described(facts: ModelFacts | None) -> tuple[str, str, int | None]:
    """Family, causality and year; of a model that is not in this copy of the code only that it is unknown."""
    if facts is None:
        return UNKNOWN, UNKNOWN, None
    return facts.family, CAUSAL if facts.causal else NOT_CAUSAL, facts.paper.year
