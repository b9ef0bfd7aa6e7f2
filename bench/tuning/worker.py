"""A worker: runs trials for an owner of studies in another process."""

import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any, Self

from bench.catalog.registry import FoundModel, FoundTask, find_model, find_model_or_file, find_task_or_file
from bench.common.errors import RequestError
from bench.runs.request import Execution, RunRequest, TrialRequest
from bench.runs.settings import Settings
from bench.speed.memory import release
from bench.tuning.trial import Outcome, Progress, run_trial
from models.shared.wrappers import WRAPPERS


@dataclass(frozen=True, kw_only=True)
class Job:
    """A trial in a form that another process can read: names, plain settings, the source of a model given by path."""

    model: str
    source: bytes | None
    wrapper: str
    task: str
    settings: dict[str, Any]
    seed: int
    budget: str | None
    execution: Execution

    @classmethod
    def of(cls, request: RunRequest, execution: Execution) -> Self:
        settings, model = request.settings, request.model
        return cls(
            model=model.name,
            source=model.source if "@" in model.name else None,
            wrapper=request.wrapper.name,
            task=request.task.reference,
            settings={name: getattr(getattr(settings, part), name) for name, part in settings.owners().items()},
            seed=request.seed,
            budget=request.budget,
            execution=execution,
        )

    def request(self) -> TrialRequest:
        """Return the request, with this process's own classes.

        Raises:
            RequestError: the model or the task is unavailable here.
        """
        model = find_model(self.model) if self.source is None else _written(self.model, self.source)
        wrapper, task = WRAPPERS[self.wrapper], _found_task(self.task, self.execution.data_dir)
        settings = Settings.defaults(model.cls, wrapper).updated(self.settings)
        return TrialRequest(
            model=model, wrapper=wrapper, task=task, spec=task.build().spec, settings=settings, sources={},
            seed=self.seed, budget=self.budget,
        )  # fmt: skip


@cache  # a file is imported once, not for each trial
def _written(name: str, source: bytes) -> FoundModel:
    path = Path(tempfile.mkdtemp(prefix="bench-model-")) / f"{name.partition('@')[0]}.py"
    path.write_bytes(source)
    return find_model_or_file(str(path))


@cache  # the data of a task given by path are made and checked once, not for each trial
def _found_task(task: str, data_dir: str | None) -> FoundTask:
    return find_task_or_file(task, data_dir)


@dataclass(frozen=True)
class Refusal:
    """The trial can't run here, nor can any other like it."""

    reason: str


@dataclass(frozen=True)
class Lost:
    """The worker is gone, and with it the trial."""

    reason: str


Event = Progress | Outcome | Refusal | Lost


class Worker:
    """Runs one trial at a time, as a dialogue: each call returns the trial's next event.

    Training runs in its own thread. After each `Progress` it waits for the owner's answer. The last event is an
    `Outcome` or a `Refusal`.
    """

    def __init__(self) -> None:
        self._events: SimpleQueue[Event] = SimpleQueue()
        self._answers: SimpleQueue[bool] = SimpleQueue()

    def begin(self, job: Job) -> Event:
        Thread(target=self._train, args=(job,), daemon=True).start()
        return self._events.get()

    def go_on(self, stop: bool) -> Event:
        """Answer a `Progress` by whether training should stop."""
        self._answers.put(stop)
        return self._events.get()

    def _train(self, job: Job) -> None:
        try:
            with tempfile.TemporaryDirectory(prefix="bench-trial-", ignore_cleanup_errors=True) as folder:
                event: Event = run_trial(job.request(), job.execution, Path(folder) / "trial", self._tell)
        except Exception as error:
            event = Refusal(str(error) if hasattr(error, "exit_code") else f"{type(error).__name__}: {error}")
        try:
            release()
        except RequestError as error:
            event = Refusal(str(error))
        self._events.put(event)

    def _tell(self, progress: Progress) -> bool:
        self._events.put(progress)
        return self._answers.get()
