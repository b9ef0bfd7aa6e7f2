"""Making a run: return its recorded result or, if it has none, train it and record the result."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from lightning.pytorch import Callback

from bench.common.errors import BusyError, RequestError
from bench.runs.code_version import Commit, commit
from bench.runs.commands import resume_command, run_command
from bench.runs.network import build, count, state_bytes
from bench.runs.pending_record import record, record_kept
from bench.runs.provenance import environment, gpu_bytes_of_others
from bench.runs.recorded import answer, split_hashes
from bench.runs.request import Execution, RunRequest
from bench.speed.memory import peak_host
from bench.training.attempt import LAST, Attempt, forget
from bench.training.ending import Ending
from bench.training.helper_processes import is_helper_process
from bench.training.stop_signals import held_signals
from db.record import Record
from db.schema import OPEN, CurvePoint, Event, Run
from db.standing import REPEATED
from db.store import Store, new_event


def run(
    request: RunRequest, store: Store, execution: Execution, *, on_begin: Callable[[], object] = lambda: None,
    watchers: Sequence[Callback] | None = None,
) -> Run:  # fmt: skip
    """Return the recorded run or, if the store has none, train and record it now.

    With `execution.again`, the run of a draft is trained in any case. Its result takes the place of an earlier one and
    is marked as repeated.

    Args:
        on_begin: called before training, only if the run is not recorded yet.
        watchers: callbacks that watch training; by default a progress bar.

    Raises:
        RequestError: an earlier attempt was stopped and `execution.resume` is false, a run that is no draft's is to be
            repeated, or the request can't be met.
        BusyError: another process is training the run.
        DataError: the task's data are missing or damaged.
    """
    folder = store.artifacts / request.run_id
    if recorded := _answer(request, store, execution):
        return recorded
    is_helper = is_helper_process(execution)
    with nullcontext() if is_helper else alone(folder, f"run {request.run_id}"):
        record_kept(store, folder)
        if recorded := _answer(request, store, execution):
            return recorded
        if not is_helper:
            _check_resumption(request, store, execution)
        earlier = store.result(request.run_id)  # of a draft that is trained again
        attempts = store.attempts(request.run_id)
        code, started_at, started = commit(), datetime.now(UTC), time.perf_counter()
        on_begin()
        attempt = Attempt(request, execution, folder, watchers)
        with held_signals():  # a training that has ended is recorded, whatever comes then
            ending = _own_fault(attempt.run())
            seconds = time.perf_counter() - started
            row = _row(attempt, ending, number=attempts + 1, code=code, started_at=started_at, seconds=seconds)
            if not attempt.is_main_process:
                return row
            recorded = record(store, Record(row, _points(attempt), _repeated(row, earlier)), folder)
        if recorded.status == "finished":
            with suppress(OSError):  # they only take room
                attempt.discard_checkpoints()
        return recorded


def _answer(request: RunRequest, store: Store, execution: Execution) -> Run | None:
    """Return the recorded result, unless the run is to be made again.

    Raises:
        RequestError: as `answer`, or the run may not be repeated.
    """
    if not execution.again:
        return answer(request, store, partial(split_hashes, request.task, execution.data_dir))
    if not request.is_draft:
        raise RequestError(
            f"--again is for drafts, which are given by path. {request.model.name} on {request.spec.name} is "
            "registered: each of its runs is made once, so that no result is the best of several tries. Choose "
            "another --seed."
        )
    return None


def _repeated(row: Run, earlier: Run | None) -> list[Event]:
    """Let a row take the place of the result that its run has, if any. Return the event that marks it."""
    if earlier is None:
        return []
    if row.status != OPEN:
        row.corrects = earlier.attempt
    return [new_event(REPEATED, "a draft's run that was trained again")]


def _own_fault(ending: Ending) -> Ending:
    """Keep a run open that lacked GPU memory because other processes held some: that says nothing about the run."""
    if not ending.is_oom_of_gpu:
        return ending
    try:
        others = gpu_bytes_of_others()
    except RuntimeError:
        return Ending("interrupted", f"the GPU had no room for this process: {ending.reason}")
    if not others:
        return ending
    return Ending("interrupted", f"other processes held {others / 2**30:.1f} GiB of the GPU: {ending.reason}")


@contextmanager
def alone(folder: Path, what: str) -> Iterator[None]:
    """Lock a folder against other processes.

    Args:
        folder: need not exist. The lock is a file next to it, with the suffix `.lock`.
        what: names the folder's content in the error message.

    Raises:
        BusyError: another process has the lock.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder.with_suffix(".lock"), timeout=0):
            yield
    except Timeout as error:
        raise BusyError(f"{what} is in progress in another process; wait for it to end.") from error


def _check_resumption(request: RunRequest, store: Store, execution: Execution) -> None:
    stopped = was_stopped(request, store)
    if stopped and not execution.resume:
        raise RequestError(
            f"an earlier attempt at this run ({request.run_id}) was stopped. It can only be resumed, so that no result "
            f"is the best of several tries:\n  {resume_command(run_command(request), store, asdict(execution))}"
        )
    if not stopped:
        forget(store.artifacts / request.run_id)


def was_stopped(request: RunRequest, store: Store) -> bool:
    """Whether the latest attempt at a run can be resumed: recorded as interrupted, or the first one and killed."""
    latest = store.find(request.run_id)
    return latest[0].status == OPEN if latest else (store.artifacts / request.run_id / LAST).exists()


def _row(attempt: Attempt, ending: Ending, *, number: int, code: Commit, started_at: datetime, seconds: float) -> Run:
    request, spec = attempt.request, attempt.request.spec
    finished = ending.status == "finished"
    return Run(
        run_id=request.run_id,
        attempt=number,
        protocol=request.protocol,
        model=request.model.name,
        wrapper=request.wrapper.name,
        task=spec.name,
        task_version=spec.version,
        seed=request.seed,
        budget=request.budget,
        config=request.config,
        config_source=dict(request.sources),
        status=ending.status,
        reason=ending.reason,
        metric_name=spec.metric,
        metric_value=attempt.metrics["test"][spec.metric] if finished else None,
        chance=spec.chance,
        solved=spec.solved,
        metrics=attempt.metrics if finished else {},
        best_epoch=attempt.best_epoch,
        epochs=attempt.epochs,
        steps=attempt.steps,
        **_sizes(request),
        samples_per_second=attempt.samples_per_second,
        train_seconds=attempt.curves.train_seconds,
        wall_seconds=seconds,
        peak_memory_host=peak_host(),
        peak_memory_device=attempt.peak_memory_device,
        facts=attempt.facts,
        environment=code.fields() | environment() | {"execution": asdict(attempt.execution)},
        source_hash=request.source_hash,
        command=run_command(request),
        started_at=started_at,
        finished_at=datetime.now(UTC),
    )


def _sizes(request: RunRequest) -> dict[str, Any]:
    with torch.device("meta"):
        network = build(request.model.cls, request.wrapper, request.settings, request.spec)
    counts = count(network)
    parts = {f"params_{part}": getattr(counts, part) for part in ("total", "core", "embedding", "readout", "buffers")}
    return {**parts, "state_bytes": state_bytes(network)}


def _points(attempt: Attempt) -> list[CurvePoint]:
    return [
        CurvePoint(**point | {"value": point["value"] if math.isfinite(point["value"]) else None})
        for point in attempt.curves.points
    ]
