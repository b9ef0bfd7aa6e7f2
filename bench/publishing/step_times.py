"""Time a train step of the recorded entries of a suite, each alone on one thread, and record it with their runs.

A train step is that of the run, on the first batch of its task. Evaluations are left out, and so is Lightning's loop.
The time is the least of a few turns.
"""

from collections.abc import Callable, Mapping

import psutil
import torch

from bench.catalog.suites import Suite
from bench.common.errors import RequestError
from bench.ranking.cells import EntryKey
from bench.ranking.hardware import hardware, on_gpu
from bench.reports.entries import runs_of_cells
from bench.runs.made_of import made_of
from bench.runs.network import build
from bench.runs.provenance import environment
from bench.speed.train_step import seconds_of_steps
from bench.training.process_settings import one_thread
from datamodules._files import DataError
from db.schema import Run
from db.standing import StepTime
from db.store import Store
from models.kernels.cpu.toolkit.threads import flush_denormals
from models.shared.lightning_module import SequenceModule

WARM_UP, TURNS = 3, 15
MOST_OTHERS = 15.0
"""Percent of the processors that other processes may use meanwhile."""
EVENT = "timed"
"""The kind of the events that hold a step time."""


def time_entries(
    suite: Suite,
    store: Store,
    is_wanted: Callable[[EntryKey], bool],
    *,
    data_dir: str | None,
    tell: Callable[[str], None],
) -> None:
    """Record the step time of each wanted cell whose runs were trained on a CPU, and have none of this machine yet.

    Args:
        tell: called with a line on each cell. A cell that can't be timed here is named with the reason.

    Raises:
        RequestError: other processes use the machine. What was timed before that is kept.
    """
    machine, standing = machine_alone(), store.standing()
    times, found = standing.step_times, runs_of_cells(store.runs(), standing, suite)
    lacking = {
        cell: missing
        for cell, runs in found.items()
        if is_wanted(cell[0]) and (missing := [run for run in runs if _lacks_time(run, times, machine)])
    }
    for number, ((entry, task), runs) in enumerate(lacking.items(), start=1):
        label = f"{number} of {len(lacking)}: {entry.model} ({entry.wrapper}, {entry.tier}) on {task}"
        known = [times[run.run_id] for run in found[entry, task] if run.run_id in times]
        require_quiet()
        try:
            step = next((each for each in known if each.hardware == machine), None)
            step = step or StepTime(train_step_seconds(runs[0], data_dir), machine)
        except (RequestError, DataError, ValueError, TypeError) as error:
            tell(f"{label}: left out: {error}")
            continue
        for run in runs:
            store.add_event(run, EVENT, "measured by `bench time`", step._asdict())
        tell(f"{label}: {1e3 * step.seconds:.2f} ms a step")


def _lacks_time(run: Run, times: Mapping[str, StepTime], machine: str) -> bool:
    known = times.get(run.run_id)
    return not on_gpu(run.environment) and (known is None or known.hardware != machine)


def machine_alone() -> str:
    """Return the hardware's name for steps that have one thread of this machine's processor and nothing beside them."""
    one = environment() | {"threads": 1, "execution": {"accelerator": "cpu"}}
    return f"{hardware(one)}, measured alone"


def require_quiet() -> None:
    """Refuse to measure beside others.

    Raises:
        RequestError: other processes use the machine.
    """
    others = psutil.cpu_percent(interval=0.5)
    if others > MOST_OTHERS:
        raise RequestError(
            f"other processes use {others:.0f}% of the processors, and a time measured beside them says little. Stop "
            "them, then call again: what was timed is kept."
        )


def train_step_seconds(run: Run, data_dir: str | None = None) -> float:
    """Return the least time of a train step of a run's network, on one thread.

    Raises:
        RequestError, ValueError, TypeError, DataError: as `made_of`.
    """
    model, wrapper, settings, data = made_of(run, data_dir)
    train, size = data.split("train"), settings.training.batch_size
    batch = data.decode(train.gather(torch.arange(min(size, len(train.y)))))
    module = SequenceModule(build(model, wrapper, settings, data.spec), data.spec, settings.training)
    with one_thread():
        flush_denormals()
        return min([*seconds_of_steps(module, batch, WARM_UP + TURNS)][WARM_UP:])
