"""A suite's cells: each model × task × seed at one parameter tier, as a run to be made; and tuning of the same."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from lightning.pytorch import Callback

from bench.errors import BusyError, RequestError
from bench.network import count_on_meta
from bench.presets import load
from bench.registry import FoundModel, find_model, find_model_or_file, find_task, model_names
from bench.request import Execution, RunRequest, SettingFlags, build_request
from bench.run import run
from bench.sources import spent
from bench.suites import Suite
from bench.text import assignments
from datamodules._files import DataError
from db.schema import OPEN
from db.store import Store

ASSUMED_STEPS = 1_000  # in an epoch, where a suite counts in epochs: good enough to order cells by their cost

CellListener = Callable[[RunRequest, int, int], None]


@dataclass(frozen=True)
class Impossible:
    """A pair that can't be run, and why."""

    model: str
    task: str
    reason: str


def find_models(names: str, skip: Callable[[str], None]) -> list[FoundModel]:
    """The architectures of a list with commas; or all that can be had, the reasons for the others told to `skip`.

    Raises:
        RequestError: one of the list does not exist, is broken or lacks a package.
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


def first_cells(
    suite: Suite, models: Iterable[FoundModel], budget: str, *, preset: bool = False
) -> tuple[list[RunRequest], list[Impossible]]:
    """The cell of seed 0 for each pair that can be run, cheapest first, and the other pairs."""
    cells, impossible = [], []
    for model in models:
        for task in suite.tasks:
            try:
                cells.append(cell(suite, model, task, budget, preset=preset))
            except RequestError as error:
                impossible.append(Impossible(model.name, task, str(error)))
    return sorted(cells, key=cost), impossible


def cell(suite: Suite, model: FoundModel, task: str, budget: str, *, preset: bool = False) -> RunRequest:
    """The run of seed 0: native wrapper, the suite's training, and with `preset` what its tuning budget found.

    Raises:
        RequestError: the model does not fit, or has no such preset; the task has another version than the suite's.
    """
    flags = SettingFlags(assignments=assignments(suite.tasks[task]), budget=budget)
    request = build_request(model, find_task(task), flags, seed=0)
    if request.spec.version != suite.version_of(task):
        raise RequestError(
            f"{suite.name} has version {suite.version_of(task)} of {task}, which is at version {request.spec.version} "
            "now: its board stays what it was. `bench suites` names the suites of today."
        )
    if not preset:
        return request
    tuned = load(request, spent(suite.trials, request.settings.training.length))
    return build_request(model, request.task, flags.starting_from(tuned), seed=0)


def with_seeds(cells: Iterable[RunRequest], seeds: int) -> list[RunRequest]:
    return [replace(request, seed=seed) for request in cells for seed in range(seeds)]


def cost(request: RunRequest) -> float:
    """About how long a run takes, in units of no meaning."""
    training = request.settings.training
    params = count_on_meta(request.model.cls, request.wrapper, request.settings, request.spec).total
    steps = training.max_steps or training.epochs * ASSUMED_STEPS
    return steps * training.batch_size * request.spec.seq_len * params


def carry_out(
    cells: list[RunRequest], store: Store, execution: Execution, *, time_limit: float, listener: CellListener,
    watchers: Sequence[Callback] | None = None, unavailable: dict[str, str] | None = None,
) -> bool:  # fmt: skip
    """Run the cells that are not recorded, in order; a cell that another process is at is left to it.

    Args:
        time_limit: seconds after which no cell begins.
        listener: told of each cell that begins, its number and how many there are.
        watchers: callbacks that watch training; a progress bar, unless given.
        unavailable: task → why its data can't be had. Such tasks are left out, and those that are found are added.

    Returns:
        Whether a run was interrupted.

    Raises:
        DataError: a task's data can't be had, and `unavailable` was not given.
    """
    deadline = time.monotonic() + time_limit
    todo = missing(cells, store)
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


def missing(cells: Iterable[RunRequest], store: Store) -> list[RunRequest]:
    return [request for request in cells if store.result(request.run_id) is None]
