"""Networks: untrained ones, and those of recorded runs. This module needs torch."""

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors.torch import load_model

from bench.catalog.registry import (
    FoundModel,
    FoundTask,
    find_model,
    find_model_or_file,
    find_task,
    find_task_or_file,
    find_wrapper,
)
from bench.common.errors import RequestError
from bench.common.text import assignments
from bench.runs.made_of import recorded_settings
from bench.runs.network import build
from bench.runs.request import RunRequest, SettingFlags, build_request
from db.schema import Run
from models.shared.wrappers import Wrapper

Found = TypeVar("Found", FoundModel, FoundTask)


def network(
    *,
    model: str | Path,
    task: str | Path,
    budget: str | None = None,
    wrapper: str | None = None,
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> Wrapper:
    """Return an untrained network, of the sizes that `run` would train, with weights drawn from the seed.

    Args:
        model, task, budget, wrapper, settings, seed: as in `run`.

    Raises:
        RequestError: the request is not legal, or the model does not fit the budget.
    """
    wanted = request(model, task, seed=seed, budget=budget, wrapper=wrapper, settings=settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build(wanted.model.cls, wanted.wrapper, wanted.settings, wanted.spec)


def request(
    model: str | Path, task: str | Path, *, seed: int, budget: str | None, wrapper: str | None,
    settings: Mapping[str, Any] | None,
) -> RunRequest:  # fmt: skip
    """Return the run that is meant. Arguments and errors are those of `run`."""
    flags = SettingFlags(assignments=assignments(settings or {}), budget=budget, wrapper=wrapper)
    return build_request(find_model_or_file(str(model)), find_task_or_file(str(task)), flags, seed)


def trained(run: Run, weights: Path, *, model: str | Path | None, task: str | Path | None) -> Wrapper:
    """Return the network of a recorded run. `RecordedRun.network` says more.

    Args:
        weights: the file of its weights.
    """
    found = _as_recorded(run, "model", model, find_model, find_model_or_file)
    spec = _as_recorded(run, "task", task, find_task, find_task_or_file).build().spec
    wrapper = find_wrapper(run.wrapper)
    try:
        built = build(found.cls, wrapper, recorded_settings(run, found.cls, wrapper), spec)
        if run.config["training"].get("precision") == "64":
            built.double()
        load_model(built, str(weights))
    except (ValueError, TypeError, RuntimeError) as error:
        raise RequestError(f"today's {found.name} is not the one of run {run.run_id}: {error}") from error
    if found.source_hash != run.source_hash:
        warnings.warn(f"{found.path} has changed since run {run.run_id} was recorded.", stacklevel=3)
    return built.eval()


def _as_recorded(
    run: Run, what: str, path: str | Path | None, by_name: Callable[[str], Found], by_path: Callable[[str], Found]
) -> Found:
    """Return the model or the task of a run. A name from a record is never taken for a path.

    Args:
        what: "model" or "task".
        path: the file of one that is not registered.

    Raises:
        RequestError: there is none of that name, or the file is not the one of the run.
    """
    name = getattr(run, what)
    if path is None and "@" in name:
        raise RequestError(f"run {run.run_id} is of a file, {name}: give its path, network({what}=…).")
    found = by_name(name) if path is None else by_path(str(path))
    if found.name != name:
        raise RequestError(f"{path} is {found.name}, but run {run.run_id} is of {name}.")
    return found
