"""Making probes: train the runs that they need and that are missing, and record the findings as events."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from bench.catalog.registry import FoundModel, FoundTask, find_task
from bench.catalog.suites import Suite
from bench.common.errors import RequestError
from bench.common.text import assignments
from bench.probe import dependency, training
from bench.probe.events import DEPENDENCY_LENGTH, GRADIENT_FLOW, LENGTH_EXTRAPOLATION, TRAINING_LENGTH
from bench.probe.extrapolation import extrapolate
from bench.probe.gradient_flow import measure
from bench.probe.networks import AGAIN, train_again, trained_network, untrained_network, weights_of
from bench.probe.rungs import THRESHOLD
from bench.runs.presets import load
from bench.runs.request import Execution, RunRequest, SettingFlags, build_request
from bench.training.suite_runs import RunListener, run_missing
from datamodules._base import Samples, SequenceDataModule
from datamodules._generated import GeneratedTask
from datamodules._spec import TaskSpec
from db.schema import Run
from db.store import Store

LENGTHS = (128, 256, 512, 1024, 2048, 4096, 8192)
FLOW_SAMPLES = 4
EXTRAPOLATED_SAMPLES = 500
REASONS = {
    GRADIENT_FLOW: "gradients over time",
    DEPENDENCY_LENGTH: "the longest variant that is solved",
    LENGTH_EXTRAPOLATION: "longer sequences than trained on",
    TRAINING_LENGTH: "the training after which it is solved",
}

Teller = Callable[[str], None]


class LeftOutError(Exception):
    """A probe does not apply to this model and task, or can't be made here. The message says why."""


@dataclass(frozen=True, kw_only=True)
class Probing:
    """What is probed: a model's run of seed 0 on a task, and runs like it on the family's other variants."""

    model: FoundModel
    task: FoundTask
    flags: SettingFlags
    use_preset: bool
    seeds: int
    lengths: tuple[int, ...] | None
    """Lengths for gradient flow. None means LENGTHS or, if the task has one length only, that length."""

    @property
    def run(self) -> RunRequest:
        return self.request(self.task)

    def request(self, task: FoundTask) -> RunRequest:
        """Build the run of seed 0 on a variant. With a preset, all variants have the preset of the probed task.

        Raises:
            RequestError: the settings are not legal, the model does not fit, or has no preset.
        """
        flags = self.flags
        if self.use_preset:
            flags = load(build_request(self.model, self.task, flags, seed=0)).applied_to(flags)
        return build_request(self.model, task, flags, seed=0)

    def with_seeds(self, request: RunRequest) -> list[RunRequest]:
        return [replace(request, seed=seed) for seed in range(self.seeds)]


def as_in(suite: Suite, task: FoundTask, flags: SettingFlags) -> SettingFlags:
    """Return the flags on top of the training that a suite sets for a task of the same family, if it has one."""
    trained = [training for name, training in suite.tasks.items() if find_task(name).cls is task.cls]
    words = [each for training in trained[:1] for each in assignments(training)]
    return replace(flags, assignments=[*words, *flags.assignments])


class Prober:
    """Makes probes. Each has a method that returns the event's data.

    A probe that was recorded already is not measured again. Runs that it needs are trained if they are missing.

    Args:
        on_run: as `listener` in `run_missing`.
        tell: called with a sentence on what is being measured.
    """

    def __init__(self, probing: Probing, store: Store, execution: Execution, on_run: RunListener, tell: Teller) -> None:
        self.probing, self.store, self.execution = probing, store, execution
        self.on_run, self.tell = on_run, tell

    def make(self, probe: str) -> dict[str, Any]:
        """Make a probe, given its name, and return its event's data.

        Raises:
            LeftOutError: the probe does not apply.
            RequestError: the request is wrong.
            KeyboardInterrupt: a run was interrupted.
        """
        find = {
            GRADIENT_FLOW: self.gradient_flow,
            DEPENDENCY_LENGTH: self.dependency_length,
            LENGTH_EXTRAPOLATION: self.length_extrapolation,
            TRAINING_LENGTH: self.training_length,
        }[probe]
        return find()

    def recorded(self, requests: Sequence[RunRequest]) -> list[Run]:
        """Return the results of runs. Train those that are missing."""
        if run_missing(list(requests), self.store, self.execution, time_limit=float("inf"), listener=self.on_run):
            raise KeyboardInterrupt
        runs = [self.store.result(request.run_id) for request in requests]
        if None in runs:
            raise LeftOutError("a run is in progress in another process; wait for it to end")
        return [run for run in runs if run is not None]

    def gradient_flow(self) -> dict[str, Any]:
        request = self.probing.run
        task = request.task.build(data_dir=self.execution.data_dir, with_tests=False)
        lengths = self._lengths(task)
        (run,) = self.recorded([request])
        states = ["initialisation"] + ["trained"] * (run.status == "finished")
        question = {
            "probe": GRADIENT_FLOW, "task": request.spec.name, "trained_at": request.spec.seq_len,
            "samples": FLOW_SAMPLES, "lengths": lengths, "states": states,
        }  # fmt: skip
        if known := self._known(run, question):
            return known
        if "trained" in states:
            self._need_weights(request)
        measured = []
        for state in states:
            for length in lengths:
                self.tell(f"gradient flow of {run.model} on {run.task}, {state}, T = {length:,}")
                spec, samples = _drawn(task, FLOW_SAMPLES, length)
                is_trained = state == "trained"
                network = trained_network(request, self.store) if is_trained else untrained_network(request, spec)
                measured.append({"when": state, **measure(network, spec, samples)})
        return self._keep(run, question | {"measured": measured} | self._origin(run))

    def length_extrapolation(self) -> dict[str, Any]:
        request = self.probing.run
        task = _resizable(request.task.build(with_tests=False))
        (run,) = self.recorded([request])
        if run.status != "finished":
            raise LeftOutError(f"run {run.run_id} has no trained network: {run.status}, {run.reason}")
        question = {
            "probe": LENGTH_EXTRAPOLATION, "task": run.task, "trained_at": request.spec.seq_len,
            "samples": EXTRAPOLATED_SAMPLES, "metric": request.spec.metric,
        }  # fmt: skip
        if known := self._known(run, question):
            return known
        self._need_weights(request)
        self.tell(f"length extrapolation of {run.model} on {run.task}")
        lengths = extrapolate(trained_network(request, self.store), task, EXTRAPOLATED_SAMPLES)
        return self._keep(run, question | {"lengths": lengths} | self._origin(run))

    def dependency_length(self) -> dict[str, Any]:
        probing = self.probing
        _resizable(probing.task.build(with_tests=False))
        rungs: list[dict[str, Any]] = []
        for variant in dependency.ladder(probing.task):
            requests = probing.with_seeds(probing.request(variant))
            rungs.append(dependency.rung(requests, self.recorded(requests)))
            if not rungs[-1]["solved"]:
                break
        (run,) = self.recorded([probing.run])
        question = {
            "probe": DEPENDENCY_LENGTH, "family": probing.task.family, "threshold": THRESHOLD,
            "seeds": list(range(probing.seeds)), "training": probing.run.settings.training.length, "rungs": rungs,
        }  # fmt: skip
        return self._known(run, question) or self._keep(run, question | dependency.ends(rungs))

    def training_length(self) -> dict[str, Any]:
        probing, rungs = self.probing, list[dict[str, Any]]()
        own = probing.run
        for factor in training.FACTORS:
            flags = training.longer(probing.flags, own.settings.training, factor)
            requests = probing.with_seeds(replace(probing, flags=flags).run)
            rungs.append(training.rung(factor, requests[0].settings.training, self.recorded(requests)))
            if rungs[-1]["solved"]:
                break
        (run,) = self.recorded([own])
        question = {
            "probe": TRAINING_LENGTH, "task": run.task, "threshold": THRESHOLD, "seeds": list(range(probing.seeds)),
            "rungs": rungs,
        }  # fmt: skip
        return self._known(run, question) or self._keep(run, question | training.ends(rungs))

    def _lengths(self, task: SequenceDataModule) -> list[int]:
        """Return the lengths for gradient flow.

        Raises:
            RequestError: the task can't be drawn at a length that was asked for.
        """
        given = self.probing.lengths
        if not _is_resizable(task):
            if given not in (None, (task.spec.seq_len,)):
                raise RequestError(f"{task.spec.name} has {task.spec.seq_len} steps, no others: leave --lengths out.")
            return [task.spec.seq_len]
        for length in given or ():
            try:
                _resizable(task).resized(length)
            except ValueError as error:
                raise RequestError(f"--lengths for {task.spec.name}: {error}.") from error
        return list(given or LENGTHS)

    def _need_weights(self, request: RunRequest) -> None:
        if weights_of(request.run_id, self.store) is None:
            self.tell(f"{request.model.name} on {request.spec.name} was run elsewhere: its network is trained again")
            train_again(request, self.store, self.execution)

    def _origin(self, run: Run) -> dict[str, bool]:
        """Whether the trained network is the run's own, or one of the same settings and seed."""
        path = weights_of(run.run_id, self.store)
        return {"trained_again": path is not None and path.name == AGAIN}

    def _known(self, run: Run, question: dict[str, Any]) -> dict[str, Any] | None:
        """Return the latest recorded answer to the same question about the run, or None."""
        answers = [event.data for event in self.store.events(run.run_id) if event.kind == "probe"]
        return next((data for data in reversed(answers) if question.items() <= data.items()), None)

    def _keep(self, run: Run, data: dict[str, Any]) -> dict[str, Any]:
        return self.store.add_event(run, "probe", REASONS[data["probe"]], data).data


def _is_resizable(task: SequenceDataModule) -> bool:
    return isinstance(task, GeneratedTask) and task.resized(task.spec.seq_len) is not None


def _resizable(task: SequenceDataModule) -> GeneratedTask:
    """Return the task as one whose length can be chosen.

    Raises:
        LeftOutError: it can't.
    """
    if not _is_resizable(task):
        raise LeftOutError(f"{task.spec.name} has sequences of {task.spec.seq_len} steps only")
    assert isinstance(task, GeneratedTask)
    return task


def _drawn(task: SequenceDataModule, count: int, length: int) -> tuple[TaskSpec, Samples]:
    """Draw fresh samples. For a task whose length can't be chosen, return its first validation samples."""
    if _is_resizable(task):
        return _resizable(task).fresh(count, length)
    return task.spec, task.decode(task.split("validation").gather(torch.arange(count)))
