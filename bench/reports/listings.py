"""Describe what can be run: every architecture and every task. Report the files that are broken."""

from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

from bench.catalog.names import display_name, numerically
from bench.catalog.registry import (
    FoundModel,
    family_names,
    find_family,
    find_model,
    find_task,
    find_wrapper,
    model_names,
)
from bench.catalog.tiers import tier_size
from bench.common.errors import RequestError
from bench.runs.network import count_on_meta
from bench.runs.parameter_budget import fit
from bench.runs.settings import Settings
from datamodules._base import SequenceDataModule
from datamodules._spec import TaskSpec
from models.shared.contract import Paper

Rows = list[dict[str, Any]]


def describe_models(task: str, budget: str | None) -> tuple[Rows, list[str]]:
    """Return a row for each architecture and the errors of broken files.

    Args:
        task: the task for which parameters are counted.
        budget: a tier that each architecture is also fitted to.

    Raises:
        RequestError: there is no such task or tier.
    """
    spec = find_task(task).build().spec
    if budget is not None:
        tier_size(budget)
    rows, broken = [], []
    for name in model_names():
        try:
            rows.append(_describe_model(find_model(name), spec, budget))
        except RequestError as error:
            broken.append(str(error))
    return rows, broken


def _describe_model(found: FoundModel, spec: TaskSpec, budget: str | None) -> dict[str, Any]:
    cls, wrapper = found.cls, find_wrapper(found.cls.wrapper)
    counts = count_on_meta(cls, wrapper, Settings.defaults(cls, wrapper), spec)
    row = {
        "name": found.name,
        "display_name": display_name(found.name),
        "family": cls.family,
        "wrapper": wrapper.name,
        "causal": cls.causal,
        "recurrent": cls.is_recurrent(),
        "default_params": counts.total,
        "paper": cls.paper._asdict(),
    }
    return row if budget is None else row | _fitted(found, spec, budget)


def _fitted(found: FoundModel, spec: TaskSpec, budget: str) -> dict[str, Any]:
    cls, wrapper = found.cls, find_wrapper(found.cls.wrapper)
    try:
        settings = fit(cls, wrapper, spec, budget, {})
    except RequestError as error:
        return {"fitted_params": None, "fitted_config": None, "note": str(error)}
    size = count_on_meta(cls, wrapper, settings, spec).budgeted
    return {"fitted_params": size, "fitted_config": asdict(settings.model) | asdict(settings.wrapper), "note": None}


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """What an architecture's file says about it."""

    family: str
    causal: bool
    recurrent: bool
    wrapper: str
    paper: Paper


@lru_cache(maxsize=1)
def model_facts() -> dict[str, ModelFacts]:
    """Return name → facts for every architecture whose file is not broken."""
    facts = {}
    for name in model_names():
        try:
            cls = find_model(name).cls
        except RequestError:
            continue
        facts[name] = ModelFacts(
            family=cls.family,
            causal=cls.causal,
            recurrent=cls.is_recurrent(),
            wrapper=cls.wrapper,
            paper=cls.paper,
        )
    return facts


def describe_tasks() -> tuple[Rows, list[str]]:
    """Return a row for each variant of each task, and the errors of broken files."""
    rows, broken = [], []
    for family in family_names():
        try:
            cls = find_family(family)
            rows += [task_row(cls(variant)) for variant in sorted(cls.variants, key=numerically)]
        except RequestError as error:
            broken.append(str(error))
    return rows, broken


def task_row(task: SequenceDataModule) -> dict[str, Any]:
    """Return a task's specification, and whether it can be run on this machine without a download."""
    spec = asdict(task.spec) | {"input": str(task.spec.input), "output": str(task.spec.output)}
    missing = task.missing()
    return spec | {"available": missing is None, "missing": missing}
