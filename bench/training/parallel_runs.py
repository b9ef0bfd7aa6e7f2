"""Training the runs of a suite on several processes of this machine, which share its GPUs.

Each process takes the next run that no other has begun, and has its own process group, so that Ctrl-C reaches only the
process that waits for them all. That process ends the others by SIGTERM, and their runs are recorded as interrupted.
"""

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass, replace
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from threading import Thread

import torch

from bench.catalog.suites import Suite
from bench.common.errors import RequestError
from bench.common.exit_codes import EXIT_INTERRUPTED, exit_codes
from bench.runs.request import Execution, RunRequest
from bench.training.process_settings import one_thread
from bench.training.suite_runs import Impossible, RunListener, find_models, first_requests, run_missing, with_seeds
from db.store import Store


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The requested runs of a suite, in a form that can be sent to another process."""

    suite: Suite
    models: str
    """As `find_models` takes them."""
    budget: str
    wrapper: str
    preset: bool
    seeds: int

    def requests(self, skip: Callable[[str], None]) -> tuple[list[RunRequest], list[Impossible]]:
        """Return the runs, cheapest first, and the pairs of model and task that can't run.

        Args:
            skip: as `find_models` takes it.
        """
        models = find_models(self.models, skip)
        firsts, impossible = first_requests(self.suite, models, self.budget, self.wrapper, preset=self.preset)
        return with_seeds(firsts, self.seeds), impossible


@dataclass(frozen=True)
class Crew:
    """Processes that train a plan's runs, each on one thread and, where there are GPUs, on one of them.

    Args:
        db: the database, as `Store` takes it.
        time_limit, listener, unavailable: as in `run_missing`.
    """

    workers: int
    plan: Plan
    db: str | None
    execution: Execution
    _: KW_ONLY
    time_limit: float
    listener: RunListener
    unavailable: dict[str, str]

    def run(self) -> bool:
        """Train the runs.

        Returns:
            Whether a run was interrupted.

        Raises:
            RequestError: a process reported why it can't train a run, or died.
        """
        context = multiprocessing.get_context("spawn")  # CUDA and OpenMP do not survive a fork
        gpus = visible_gpus() or [None]
        pipes = [context.Pipe(duplex=False) for _ in range(self.workers)]
        processes = [
            context.Process(target=self._work, args=(gpus[i % len(gpus)], writer))
            for i, (_, writer) in enumerate(pipes)
        ]
        with _sigterm_as_ctrl_c():
            try:
                for process in processes:
                    process.start()
                for process in processes:
                    process.join()
            except KeyboardInterrupt:
                _end(processes)
                return True
        for reader, _ in pipes:
            if reader.poll():
                self.unavailable.update(reader.recv())
        return _was_interrupted(processes)

    def _work(self, gpu: str | None, found: "Connection[dict[str, str]]") -> None:
        os.setpgrp()
        Thread(target=_end_with_parent, daemon=True).start()
        if gpu is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = gpu
        with exit_codes(), one_thread():
            interrupted = self._run_here()
            found.send(self.unavailable)
            sys.exit(EXIT_INTERRUPTED if interrupted else 0)

    def _run_here(self) -> bool:
        requests, _ = self.plan.requests(skip=lambda reason: None)
        execution = replace(self.execution, beside=self.workers - 1)
        return run_missing(
            requests, Store(self.db), execution, time_limit=self.time_limit, listener=self.listener, watchers=[],
            unavailable=self.unavailable,
        )  # fmt: skip


def visible_gpus() -> list[str | None]:
    """Return, for each GPU that this process may use, the value of CUDA_VISIBLE_DEVICES that selects it alone."""
    names = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return [names[i] if i < len(names) else str(i) for i in range(torch.cuda.device_count())]


def _end_with_parent() -> None:
    """Interrupt this process when the process that waits for it is killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


@contextmanager
def _sigterm_as_ctrl_c() -> Iterator[None]:
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _end(processes: Iterable[BaseProcess]) -> None:
    """Interrupt the processes, and wait until their runs are recorded."""
    started = [process for process in processes if process.pid is not None]
    for process in started:
        process.terminate()
    for process in started:
        process.join()


def _was_interrupted(processes: Iterable[BaseProcess]) -> bool:
    codes = [process.exitcode or 0 for process in processes]
    for code in codes:
        if code < 0:
            name = signal.Signals(-code).name
            raise RequestError(f"a worker was ended by {name}; its run is open. The same command goes on from here.")
        if code not in (0, EXIT_INTERRUPTED):
            raise RequestError("a worker failed; its message is above.")
    return EXIT_INTERRUPTED in codes
