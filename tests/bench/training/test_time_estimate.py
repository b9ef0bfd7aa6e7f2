"""What commands say beforehand about their time."""

from dataclasses import asdict, replace
from pathlib import Path

import pytest

import bench.catalog.suites
from bench.catalog.registry import family_names, find_family, find_model, find_task
from bench.catalog.suites import Suite
from bench.ranking.hardware import hardware
from bench.runs.provenance import environment
from bench.runs.request import Execution, RunRequest, SettingFlags, build_request
from bench.training import time_estimate
from bench.training.time_estimate import estimated_seconds, noise, planned
from datamodules._files import DataError
from db.store import Store
from tests.conftest import Bench
from tests.support.runs import make_run

HERE = environment() | {"gpu": None, "execution": asdict(Execution())}
SUITE = Suite(
    name="tiny-v1", summary="for tests", tasks={"digits": {"max_steps": 5}}, tiers=("10k",), trials=2, seeds=2,
)  # fmt: skip


@pytest.fixture
def minute_a_step(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Each step that is tried takes a minute. The tasks that are tried."""
    tried: list[str] = []

    def seconds(request: RunRequest, *_: object) -> float:
        tried.append(f"{request.model.name} on {request.spec.name}")
        return 60.0

    monkeypatch.setattr(time_estimate, "QUICK", 0)
    monkeypatch.setattr(time_estimate, "environment", lambda: HERE)
    monkeypatch.setattr(time_estimate, "_tried_step_seconds", seconds)
    monkeypatch.setitem(bench.catalog.suites.SUITES, "tiny-v1", SUITE)
    return tried


def requested(model: str, task: str = "digits", **flags: object) -> RunRequest:
    settings = {"assignments": ["max_steps=100"], "budget": "10k", "wrapper": "residual"} | flags
    return build_request(find_model(model), find_task(task), SettingFlags(**settings), seed=0)  # type: ignore[arg-type]


def recorded(seconds_a_step: float, **changes: object) -> dict[str, object]:
    return {
        "model": "gru", "wrapper": "residual", "budget": "10k", "steps": 50, "wall_seconds": 50 * seconds_a_step,
        "environment": HERE,
    } | changes  # fmt: skip


def test_commands_say_it_beforehand(bench: Bench, minute_a_step: list[str]) -> None:
    """Two runs, two trials, and both, of five steps each."""
    words = ("--suite", "tiny-v1", "--budget", "10k")
    said = "{} to train: about {} min here, less where training ends early.\n"
    suite = ("suite", *words, "--models", "gru")
    assert said.format("2 runs", 10) in bench(*suite, "--seeds", "2").stderr
    assert "to train" not in bench(*suite, "--seeds", "2").stderr
    assert said.format("2 trials", 10) in bench("tune", *words, "--models", "gru").stderr
    assert "to train" not in bench("tune", *words, "--models", "gru", "--resume").stderr
    assert said.format("All", 20) in bench("compare", "rnn", *words).stderr
    assert "to train" not in bench(*suite, "--seeds", "3", "--time-limit", "60s").stderr


def test_workers_share_it(minute_a_step: list[str]) -> None:
    work = planned([(requested("gru"), 3)], None)
    assert estimated_seconds(work, Execution()) == 3 * 100 * 60
    assert estimated_seconds(work, Execution(), workers=4) == 3 * 100 * 60 / 4


def test_recorded_runs_of_the_same_hardware_say_it(tmp_path: Path, minute_a_step: list[str]) -> None:
    store, work = Store(str(tmp_path / "board.sqlite")), planned([(requested("gru"), 2)], None)
    elsewhere = HERE | {"cpu": "another", "gpu": None}
    for number, row in enumerate((recorded(9.0, environment=elsewhere), recorded(9.0, status="failed"))):
        store.record(make_run(f"{number:016}", **row))
    assert estimated_seconds(work, Execution(), store) == 2 * 100 * 60
    for number, seconds in enumerate((1.0, 2.0, 5.0), start=10):
        store.record(make_run(f"{number:016}", **recorded(seconds)))
    assert estimated_seconds(work, Execution(), store) == pytest.approx(2 * 100 * 2.0)
    assert minute_a_step == ["gru on digits"]
    assert hardware(HERE) != hardware(elsewhere)


def test_on_a_gpu_no_step_is_tried(monkeypatch: pytest.MonkeyPatch, minute_a_step: list[str]) -> None:
    """The command would keep a part of the GPU that its workers need."""
    monkeypatch.setattr(time_estimate, "environment", lambda: HERE | {"gpu": "H100"})
    work = planned([(requested("gru"), 3)], None)
    assert estimated_seconds(work, Execution()) is None
    assert minute_a_step == []
    assert estimated_seconds(work, Execution(accelerator="cpu")) == pytest.approx(3 * 100 * 60)


def test_what_is_not_tried_is_judged_by_its_size(monkeypatch: pytest.MonkeyPatch, minute_a_step: list[str]) -> None:
    """The time is over after the first. A batch twice as large takes twice as long."""
    monkeypatch.setattr(time_estimate, "MOST_SECONDS", 0.0)
    first, second = requested("gru"), requested("gru", "copy-50")
    larger = replace(second, spec=replace(second.spec, seq_len=2 * first.spec.seq_len))
    scale = time_estimate.step_cost(larger) / time_estimate.step_cost(first)
    work = planned([(first, 1), (larger, 1)], None)
    assert estimated_seconds(work, Execution()) == pytest.approx(100 * 60 * (1 + scale))
    assert minute_a_step == ["gru on digits"]


def test_each_model_is_tried_before_any_is_tried_twice(minute_a_step: list[str]) -> None:
    requests = [requested(model, task) for model in ("gru", "rnn") for task in ("digits", "copy-50")]
    estimated_seconds(planned([(request, 1) for request in requests], None), Execution())
    assert minute_a_step == ["gru on digits", "rnn on digits", "gru on copy-50", "rnn on copy-50"]


def test_short_work_and_work_that_fails_have_no_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is tried for ten steps of digits; the failure is recorded when it is trained."""
    monkeypatch.setattr(time_estimate, "build", lambda *_: 1 / 0)
    request = requested("gru")
    assert estimated_seconds(planned([(request, 1)], None), Execution()) is None
    assert estimated_seconds(planned([(request, 1000)], None), Execution()) is None


def test_steps_are_counted_where_training_counts_epochs() -> None:
    (work,) = planned([(requested("gru", assignments=["epochs=3"]), 2)], None)
    assert (work.count, work.steps) == (2, 3 * 17)  # 1,077 images in batches of 64


@pytest.mark.parametrize("family", family_names())
def test_noise_has_the_form_of_a_batch(family: str) -> None:
    data = find_family(family)(tiny=True, batch_size=2)
    try:
        batch = next(iter(data.train_dataloader()))
    except DataError as error:
        pytest.skip(str(error))
    made = noise(data.spec, 2)
    for ours, theirs in zip(made, batch, strict=True):
        assert (ours is None) == (theirs is None)
        assert ours is None or (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)


@pytest.mark.parametrize("task", ["digits", "copy-50", "adding-200", "fitzhugh-nagumo"])
def test_a_step_can_be_tried_on_any_output(task: str) -> None:
    request = requested("gru", task)
    assert time_estimate._tried_step_seconds(request) > 0
