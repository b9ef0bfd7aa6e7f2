"""An entry of a suite as the audit shows it."""

from dataclasses import dataclass
from typing import Any, NamedTuple


class Flag(NamedTuple):
    """Something that a sceptic would point at, and that its owner should explain."""

    name: str
    what: str


@dataclass(frozen=True, kw_only=True)
class AuditedCell:
    """An entry on one task."""

    task: str
    run_id: str
    """Its run with the lowest seed, which has the settings of all."""
    depth: int | None
    """Layers; None where the record does not say."""
    pooling: str | None
    """What the residual wrapper reads of all steps; None in the plain one."""
    units: dict[str, int]
    """Its numbers of units, statistics, states or channels."""
    params: int
    """What the tier limits."""
    fill: float
    """Its share of what the tier allows."""
    mixer_share: float | None
    """The mixers' share of its parameters; None where today's code builds another network."""
    seeds: int
    score: float
    learned: float
    """Share of its seeds that learned the task."""
    chosen: dict[str, Any]
    """What tuning chose."""
    defaults_won: bool
    """Whether tuning chose the defaults."""
    at_edge: list[str]
    """The chosen settings that lie at an end of the range that tuning searches."""
    same_rate_as: int
    """Cells of other architectures with exactly the same tuned learning rate, which is not the default."""
    over_none: float | None
    """Points of score above the mixer `none` in the same wrapper and tier; None where that has no result."""
    dead: float | None = None
    """Share of networks that are dead at the start; None until `bench audit --measure` has measured it."""
    rate_sensitivity: float | None = None
    """Points that its study's best trial has over the best one whose learning rate is at least three times as large or
    small; None where the study is not published."""


@dataclass(frozen=True, kw_only=True)
class AuditedEntry:
    """An entry of a suite, with a line for each thing that a sceptic would point at."""

    suite: str
    model: str
    wrapper: str
    budget: str
    tuning: str
    settings: str
    protocol: int
    golden: tuple[str, ...]
    """Files of the authors' own numbers that the model reproduces."""
    deviations: dict[str, str]
    """What differs from the authors' code, as the model declares."""
    cells: tuple[AuditedCell, ...]
    flags: tuple[Flag, ...] = ()
