"""A worker without Ray, and how tuning is shown: what is said across the wire, and what a user sees of it."""

import io
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console

import bench.cli.watch as bench_watch
from bench.catalog.registry import find_model_or_file, find_task
from bench.common.errors import RequestError
from bench.runs.request import TUNING_SEEDS, Execution, SettingFlags, TrialRequest, build_request
from bench.training.process_settings import one_thread
from bench.tuning.trial import Outcome, Progress, run_trial
from bench.tuning.worker import Event, Job, Refusal, Worker
from tests.conftest import Bench

Writer = Callable[[str, str], Path]
CPU = Execution(accelerator="cpu")


def trial(model: str, *assignments: str) -> TrialRequest:
    base = build_request(
        find_model_or_file(model), find_task("digits"), SettingFlags(assignments=["max_steps=20", *assignments]), seed=0
    )
    return TrialRequest(**vars(base) | {"seed": TUNING_SEEDS})


def converse(worker: Worker, job: Job, stop: bool = False) -> list[Event]:
    """All that the worker tells of a trial."""
    events = [worker.begin(job)]
    while isinstance(events[-1], Progress):
        events.append(worker.go_on(stop))
    return events


@pytest.mark.parametrize("model", ["gru", "fru"])
def test_a_job_says_all_of_a_request(model: str) -> None:
    request = trial(model, "lr=0.1", "clip_norm=none")
    job = pickle.loads(pickle.dumps(Job.of(request, CPU)))
    assert job.request() == replace(request, sources={})


def test_a_file_travels_and_is_named_after_what_it_said_when_the_command_began(write_model: Writer) -> None:
    path = write_model("my_own", "pass")
    request = trial(str(path))
    path.write_text("this is edited while tuning goes on")
    job = Job.of(request, CPU)
    there = job.request()
    assert there.model.name == request.model.name
    assert there.model.source_hash == request.model.source_hash
    assert there.model.path != path
    assert job.request().model is there.model, "imported once"


def test_a_worker_tells_what_a_trial_in_this_process_tells(tmp_path: Path) -> None:
    told: list[Progress] = []
    outcome = run_trial(
        trial("gru", "hidden_size=4"), CPU, tmp_path / "here", lambda progress: bool(told.append(progress))
    )
    events = converse(Worker(), Job.of(trial("gru", "hidden_size=4"), CPU))
    assert [event for event in events if isinstance(event, Progress) and event.evaluation] == [
        progress for progress in told if progress.evaluation
    ]
    assert events[-1] == outcome
    assert outcome.value == max(progress.value for progress in told if progress.value is not None)
    assert not (tmp_path / "here").exists()


def test_a_trial_stops_when_it_is_told_to() -> None:
    *_, last = converse(Worker(), Job.of(trial("gru", "hidden_size=4"), CPU), stop=True)
    assert isinstance(last, Outcome)
    assert last.was_stopped
    assert last.steps <= 17


def test_what_a_worker_cannot_carry_out_is_refused_and_the_next_trial_is_not() -> None:
    worker = Worker()
    (refusal,) = converse(worker, Job.of(trial("gru", "hidden_size=4"), Execution(accelerator="abacus")))
    assert isinstance(refusal, Refusal)
    assert refusal.reason.startswith("--accelerator abacus --devices 1: ")
    assert isinstance(converse(worker, Job.of(trial("gru", "hidden_size=4"), CPU))[-1], Outcome)


def test_a_trial_that_breaks_the_gpu_ends_the_search_in_place_of_the_next_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise RequestError("without its GPU")

    monkeypatch.setattr("bench.tuning.worker.release", broken)
    *_, last = converse(Worker(), Job.of(trial("gru", "hidden_size=4"), CPU))
    assert last == Refusal("without its GPU")


def test_a_trial_uses_one_thread_unless_a_user_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(2)
    try:
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        with one_thread():
            assert torch.get_num_threads() == 1
        monkeypatch.setenv("OMP_NUM_THREADS", "2")
        with one_thread():
            assert torch.get_num_threads() == 2
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


# What a user sees

TUNE = (
    "tune",
    "--model",
    "gru",
    "--set",
    "max_steps=34",
    "--set",
    "hidden_size=4",
    "--pruner",
    "none",
    "--trials",
    "2",
)


def test_without_a_terminal_a_line_tells_of_each_trial_and_now_and_then_of_those_under_way(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.cli.watch.SECONDS_BETWEEN_LINES", 0)
    monkeypatch.setattr("bench.tuning.trial.SECONDS_BETWEEN_SIGNS", 0)
    done = bench(*TUNE, "--trials", "2")
    best = f"{bench.json(*TUNE, '--trials', '2', '--resume')['best']['value']:.4f}"
    told = done.stderr.splitlines()
    assert told[0] == ("0 of 2 trials ended, best accuracy –; running: gru · digits trial 0 at step 1 of 34")
    assert any("; running: gru · digits trial 1 at step 17 of 34, 0." in line for line in told)
    ended = [line for line in told if ": finished, accuracy 0." in line]
    assert [line.split(":")[0] for line in ended] == ["gru · digits, trial 0", "gru · digits, trial 1"]
    assert f"2 of 2 trials ended, best accuracy {best}, about 0 s left" in ended[1]


def test_on_a_terminal_a_table_shows_running_and_finished_trials(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=200, color_system=None)
    monkeypatch.setattr(bench_watch, "stderr", console)
    monkeypatch.setattr(bench_watch, "SECONDS_BETWEEN_DRAWINGS", 0)
    bench(*TUNE, "--trials", "2")
    pictures = screen.getvalue().split("study")
    assert any("running" in picture and " 17/34 " in picture for picture in pictures)
    last = pictures[-1].split()
    assert last.count("finished") == 2
    assert any(word.startswith("lr=") for word in last)
    assert "running" not in last
