"""How long training will take on this machine: judged by recorded runs or, where there are none, by steps on noise.

On a GPU only recorded runs can tell. Steps on noise leave out evaluations and Lightning's own work. What makes training
shorter is left out, too: an early end, and pruned trials. Shapes: B batch, T time, D input width.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import chain, zip_longest
from statistics import fmean, median

import torch

from bench.ranking.hardware import hardware, on_gpu
from bench.runs.network import build
from bench.runs.provenance import environment
from bench.runs.request import Execution, RunRequest
from bench.speed.train_step import seconds_of_steps
from bench.training.process_settings import prepare_process
from bench.training.suite_runs import step_cost
from datamodules._base import Samples
from datamodules._files import DataError
from datamodules._spec import Continuous, Label, TaskSpec, TokenPerStep, Tokens, Value, ValuePerStep
from db.store import Store
from models.shared.lightning_module import SequenceModule

QUICK = 1_000_000  # steps of training sequences: a minute is enough for them
MOST_SECONDS = 15.0  # for trying steps; kinds that are not tried by then are judged by those that are
TRIED_STEPS = 5  # after a first one, in which kernels are compiled

Kind = tuple[str, str, str, str | None]
"""Model, wrapper, task and tier, on which the time of a step depends."""
Rates = dict[Kind, float]
"""Kind → seconds of a training step."""


@dataclass(frozen=True)
class Work:
    """Equal runs or trials, but for their seeds: one of them, how many there are, and the training steps of each."""

    request: RunRequest
    count: int
    steps: int

    @property
    def kind(self) -> Kind:
        return kind_of(self.request)

    @property
    def positions(self) -> int:
        """The steps of all sequences that training sees."""
        return self.count * self.steps * self.request.settings.training.batch_size * self.request.spec.seq_len

    @cached_property
    def step_cost(self) -> float:
        return step_cost(self.request)


def kind_of(request: RunRequest) -> Kind:
    return request.model.name, request.wrapper.name, request.spec.name, request.budget


def planned(counts: Iterable[tuple[RunRequest, int]], data_dir: str | None) -> list[Work]:
    """Return the work that requests come to. Tasks whose data are missing are left out: they will not be trained.

    Args:
        counts: requests and how many of each. Those of one kind differ in their seeds only.
        data_dir: the first folder in which files of data sets are looked for.
    """
    totals, requests = Counter[Kind](), dict[Kind, RunRequest]()
    for request, count in counts:
        totals[kind_of(request)] += count
        requests[kind_of(request)] = request
    work = []
    for kind, request in requests.items():
        with suppress(DataError):
            work.append(Work(request, totals[kind], _steps(request, data_dir)))
    return work


def _steps(request: RunRequest, data_dir: str | None) -> int:
    training = request.settings.training
    if training.max_steps:
        return training.max_steps
    data = request.task.build(with_tests=False, data_dir=data_dir)
    return training.total_steps(len(data.split("train").y))


def estimated_seconds(
    work: Sequence[Work], execution: Execution, store: Store | None = None, *, workers: int = 1
) -> float | None:
    """Return about how long some work will take in seconds; None if it will be short, or if no step of it can be made.

    Args:
        execution: how it will be done. This process must have as many threads as training will have.
        store: its runs on the same hardware say how long a step takes. Without them, steps are tried on a CPU.
        workers: how many train at a time.
    """
    if sum(each.positions for each in work) < QUICK:
        return None
    here = environment() | {"execution": asdict(execution)}
    rates = _recorded_rates(store, hardware(here)) if store else {}
    if not on_gpu(here):  # a process that touched a GPU keeps a part of it
        _try_steps([each for each in work if each.kind not in rates], rates)
    known = [(each.kind[0], rates[each.kind] / each.step_cost) for each in work if each.kind in rates]
    if not known:
        return None

    def seconds_a_step(each: Work) -> float:
        alike = [per_cost for model, per_cost in known if model == each.kind[0]]
        return rates.get(each.kind) or each.step_cost * median(alike or [per_cost for _, per_cost in known])

    return sum(each.count * each.steps * seconds_a_step(each) for each in work) / workers


def _recorded_rates(store: Store, machine: str) -> Rates:
    found = defaultdict[Kind, list[float]](list)
    for run in store.attempts_after(0):
        if run.status == "finished" and hardware(run.environment) == machine:
            found[run.model, run.wrapper, run.task, run.budget].append(run.wall_seconds / run.steps)
    return {kind: median(seconds) for kind, seconds in found.items()}


def _try_steps(work: Sequence[Work], rates: Rates) -> None:
    """Add the rates of what is tried: one task of each model, then another one of each, until the time is over."""
    by_model: dict[str, list[Work]] = defaultdict(list)
    for each in work:
        by_model[each.kind[0]].append(each)
    deadline = time.monotonic() + MOST_SECONDS
    for each in filter(None, chain.from_iterable(zip_longest(*by_model.values()))):
        with suppress(Exception):  # what is wrong is said when it is trained
            rates[each.kind] = _tried_step_seconds(each.request)
        if time.monotonic() >= deadline:
            break


def _tried_step_seconds(request: RunRequest) -> float:
    prepare_process()
    training = request.settings.training
    with torch.random.fork_rng():
        network = build(request.model.cls, request.wrapper, request.settings, request.spec)
        module = SequenceModule(network, request.spec, training)
        batch = noise(request.spec, training.batch_size)
        return fmean([*seconds_of_steps(module, batch, 1 + TRIED_STEPS)][1:])


def noise(spec: TaskSpec, batch_size: int) -> Samples:
    """Return a batch of the shapes that a task has, with random numbers in it."""
    steps = (batch_size, spec.seq_len)
    match spec.input:
        case Continuous(width):
            x = torch.randn(*steps, width)
        case Tokens(vocabulary):
            x = torch.randint(vocabulary, steps)
    match spec.output:
        case Label(classes):
            y = torch.randint(classes, (batch_size,))
        case TokenPerStep(vocabulary):
            y = torch.randint(vocabulary, steps)
        case Value(width):
            y = torch.randn(batch_size, width)
        case ValuePerStep(width):
            y = torch.randn(*steps, width)
    return Samples(x, y, torch.full((batch_size,), spec.seq_len) if spec.variable_lengths else None)
