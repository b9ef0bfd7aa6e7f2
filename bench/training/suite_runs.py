"""The runs of a suite: one for each model, task and seed at a parameter tier."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from lightning.pytorch import Callback

from bench.catalog.registry import FoundModel, find_model, find_model_or_file, find_task, find_wrapper, model_names
from bench.catalog.setting_sources import spent
from bench.catalog.suites import Suite
from bench.common.errors import BusyError, RequestError
from bench.common.text import assignments
from bench.runs.network import count_on_meta
from bench.runs.presets import load
from bench.runs.request import Execution, RunRequest, SettingFlags, build_request
from bench.training.run import run
from datamodules._files import DataError
from db.schema import OPEN
from db.store import Store

ASSUMED_STEPS = 1_000  # in an epoch, where a suite counts in epochs: good enough to order runs by their cost

RunListener = Callable[[RunRequest, int, int], None]


@dataclass(frozen=True)
class Impossible:
    """A model and a task that don't go together, and why."""

    model: str
    task: str
    reason: str


def find_models(names: str, skip: Callable[[str], None]) -> list[FoundModel]:
    """Find architectures by name.

    Args:
        names: names or paths to .py files, separated by commas; or "all" for every registered architecture.
        skip: called with the reason for each architecture that is left out of "all".

    Raises:
        RequestError: a named one does not exist, is broken or lacks a package.
    """
    if names != "all":
        return [find_model_or_file(name.strip()) for name in names.split(",")]
    found = []
    for name in model_names():
        try:
            found.append(find_model(name))
        except RequestError as error:
            skip(str(error))
    return found


def first_requests(
    suite: Suite, models: Iterable[FoundModel], budget: str, wrapper: str, *, preset: bool = False
) -> tuple[list[RunRequest], list[Impossible]]:
    """Return the run of seed 0 for each model and task, cheapest first, and the pairs that can't run.

    Raises:
        RequestError: the suite takes no new runs, or there is no such wrapper.
    """
    suite.require_open()
    find_wrapper(wrapper)
    requests, impossible = [], []
    for model in models:
        for task in suite.tasks:
            try:
                requests.append(first_request(suite, model, task, budget, wrapper, preset=preset))
            except RequestError as error:
                impossible.append(Impossible(model.name, task, str(error)))
    return sorted(requests, key=cost), impossible


def first_request(
    suite: Suite, model: FoundModel, task: str, budget: str, wrapper: str, *, preset: bool = False
) -> RunRequest:
    """Build the run of seed 0, with the suite's training.

    Args:
        wrapper: "residual" or "plain".
        preset: use the settings that the suite's tuning budget found.

    Raises:
        RequestError: the suite takes no new runs, the model does not fit the budget or the wrapper or lacks the preset,
            or the task's version is not the suite's.
    """
    suite.require_open()
    flags = SettingFlags(assignments=assignments(suite.tasks[task]), budget=budget, wrapper=wrapper)
    request = build_request(model, find_task(task), flags, seed=0)
    if request.spec.version != suite.version_of(task):
        raise RequestError(
            f"{suite.name} has version {suite.version_of(task)} of {task}, which is at version {request.spec.version} "
            "now: the suite's board stays as it was. `bench suites` lists the current suites."
        )
    if not preset:
        return request
    tuned = load(request, spent(suite.trials_at(budget), request.settings.training.length))
    return build_request(model, request.task, tuned.applied_to(flags), seed=0)


def with_seeds(requests: Iterable[RunRequest], seeds: int) -> list[RunRequest]:
    return [replace(request, seed=seed) for request in requests for seed in range(seeds)]


def cost(request: RunRequest) -> float:
    """Estimate how long a run takes, in arbitrary units."""
    training = request.settings.training
    return (training.max_steps or training.epochs * ASSUMED_STEPS) * step_cost(request)


def step_cost(request: RunRequest) -> float:
    """Estimate how long a training step takes, in arbitrary units."""
    params = count_on_meta(request.model.cls, request.wrapper, request.settings, request.spec).total
    return request.settings.training.batch_size * request.spec.seq_len * params


def run_missing(
    requests: list[RunRequest], store: Store, execution: Execution, *, time_limit: float, listener: RunListener,
    watchers: Sequence[Callback] | None = None, unavailable: dict[str, str] | None = None,
) -> bool:  # fmt: skip
    """Train the runs that are not recorded yet, in order. Skip a run that another process is training.

    Args:
        time_limit: seconds after which no run begins.
        listener: called as each run begins, with its number (from 1) and how many there are.
        watchers: callbacks that watch training; by default a progress bar.
        unavailable: task → why its data are missing. These tasks are skipped. Tasks that prove to lack data are added.

    Returns:
        Whether a run was interrupted.

    Raises:
        DataError: a task's data are missing, and `unavailable` was not given.
    """
    deadline = time.monotonic() + time_limit
    todo = missing(requests, store)
    for number, request in enumerate(todo, start=1):
        if time.monotonic() >= deadline:
            break
        if request.spec.name in (unavailable or {}):
            continue
        try:
            announce = partial(listener, request, number, len(todo))
            if run(request, store, execution, on_begin=announce, watchers=watchers).status == OPEN:
                return True
        except BusyError:
            continue
        except DataError as error:
            if unavailable is None:
                raise
            unavailable[request.spec.name] = str(error)
    return False


def missing(requests: Iterable[RunRequest], store: Store) -> list[RunRequest]:
    return [request for request in requests if store.result(request.run_id) is None]
