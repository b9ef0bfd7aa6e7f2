"""The audit of a suite's entries: what can be told of each from the store and from the models' files."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from statistics import fmean
from typing import Any

from bench.audit import flags
from bench.audit.audited import AuditedCell, AuditedEntry
from bench.audit.rate_sensitivity import rate_sensitivities
from bench.catalog.registry import FoundModel, find_model, find_task, find_wrapper
from bench.catalog.setting_sources import is_preset
from bench.catalog.suites import Suite
from bench.catalog.tiers import TIERS
from bench.common.errors import RequestError
from bench.ranking.cells import EntryKey
from bench.ranking.utility import learned_share, score
from bench.reports.entries import Cell, runs_of_cells
from bench.reports.mixer_share import mixer_share
from bench.runs.parameter_budget import fit
from bench.runs.search_ranges import at_edge
from db.schema import Event, Run, Trial
from db.standing import Standing

EVENT = "audit"
"""The kind of the events that hold what was measured: on a cell's first run, `data` = {"dead": share, "starts": n}."""
FLOOR = "none"
"""The mixer that passes each step through."""


def audit(
    runs: Iterable[Run], standing: Standing, events: Iterable[Event], trials: Sequence[Trial], suite: Suite
) -> list[AuditedEntry]:
    """Return the audit of a suite's entries, complete or not.

    Args:
        events: all events, oldest first.
        trials: those of the published studies.
    """
    found = runs_of_cells(runs, standing, suite)
    dead = {event.run_id: event.data["dead"] for event in events if event.kind == EVENT}
    floors = {
        (key.wrapper, key.tier, task): fmean(map(score, own))
        for (key, task), own in found.items()
        if key.model == FLOOR
    }
    rates, sensitivities = _rates(found), rate_sensitivities(found, trials)
    cells: defaultdict[EntryKey, list[AuditedCell]] = defaultdict(list)
    for (key, task), own in sorted(found.items(), key=lambda item: item[0]):
        cell = _cell(key, own, floors.get((key.wrapper, key.tier, task)), rates)
        lost = sensitivities.get((key, task))
        cells[key].append(replace(cell, dead=dead.get(own[0].run_id), rate_sensitivity=lost))
    entries = (_entry(suite, key, tuple(own)) for key, own in cells.items())
    return [replace(entry, flags=tuple(flags.of(entry))) for entry in entries]


def _entry(suite: Suite, key: EntryKey, cells: tuple[AuditedCell, ...]) -> AuditedEntry:
    found = _model(key.model)
    return AuditedEntry(
        suite=suite.name, model=key.model, wrapper=key.wrapper, budget=key.tier, tuning=key.tuning,
        settings=key.settings, protocol=suite.protocol, golden=found.cls.golden if found else (),
        deviations=dict(found.cls.deviations) if found else {}, cells=cells,
    )  # fmt: skip


def _cell(key: EntryKey, runs: Sequence[Run], floor: float | None, rates: "Counter[Rate]") -> AuditedCell:
    run, scores = runs[0], [score(run) for run in runs]
    params, chosen = run.params_budgeted, _chosen(run)
    found = _model(key.model)
    return AuditedCell(
        task=run.task,
        run_id=run.run_id,
        depth=run.flat_config.get("depth"),
        pooling=run.flat_config.get("pooling"),
        units=_units(run, found),
        params=params,
        fill=params / TIERS[key.tier],
        mixer_share=mixer_share(run),
        seeds=len(runs),
        score=fmean(scores),
        learned=learned_share(scores),
        chosen=chosen,
        defaults_won=bool(chosen) and _is_default(key, run, chosen),
        at_edge=at_edge(found.cls, chosen) if found else [],
        same_rate_as=_others(rates, run),
        over_none=None if floor is None or key.model == FLOOR else fmean(scores) - floor,
    )


@cache
def _model(name: str) -> FoundModel | None:
    try:
        return find_model(name)
    except RequestError:  # a file outside the project, or one that is broken now
        return None


def _units(run: Run, found: FoundModel | None) -> dict[str, int]:
    names = {*(found.cls.Config.units if found else ()), *find_wrapper(run.wrapper).Config.units}
    return {name: value for name, value in sorted(run.flat_config.items()) if name in names}


def _chosen(run: Run) -> dict[str, Any]:
    values = run.flat_config
    return {name: values[name] for name, source in sorted(run.config_source.items()) if is_preset(source)}


def _is_default(key: EntryKey, run: Run, chosen: Mapping[str, Any]) -> bool:
    """Whether the chosen settings are what a run without tuning has."""
    found = _model(key.model)
    if found is None or chosen.get("lr", flags.DEFAULT_RATE) != flags.DEFAULT_RATE:  # spares fitting the network
        return False
    try:
        spec = find_task(run.task).build().spec
        defaults = fit(found.cls, find_wrapper(key.wrapper), spec, key.tier, {}).flat()
    except RequestError:
        return False
    return all(defaults.get(name) == value for name, value in chosen.items())


Rate = tuple[str, float]
"""A model and a tuned learning rate of it."""


def _rates(found: Mapping[Cell, Sequence[Run]]) -> "Counter[Rate]":
    """Count each architecture's cells by their tuned learning rate."""
    first = [own[0] for own in found.values()]
    return Counter((run.model, run.flat_config["lr"]) for run in first if "lr" in _chosen(run))


def _others(rates: "Counter[Rate]", run: Run) -> int:
    rate = _chosen(run).get("lr")
    if rate is None or rate == flags.DEFAULT_RATE:
        return 0
    return sum(count for (model, other), count in rates.items() if other == rate and model != run.model)
