"""Runs: what makes one, what ends one, what is recorded, and that the test split is read once."""

import errno
import json
import os
import shlex
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from safetensors.torch import load_model

import models
from bench.catalog.registry import FoundTask, find_model, find_model_or_file, find_task
from bench.runs.commands import run_command
from bench.runs.network import build
from bench.runs.request import RunRequest, SettingFlags, build_request
from bench.training import checkpoints
from bench.training.callbacks import EndWhenSolved
from datamodules._base import Samples
from datamodules.digits import Digits
from db.errors import StoreError
from db.store import Store
from models.shared.lightning_module import SequenceModule
from models.shared.training import Training, build_optimizer, lr_factor
from tests.conftest import QUICK, ROOT, Bench

SIZES = ("--set", "batch_size=128")
Writer = Callable[[str, str], Path]


def gru(seed: int = 0, task: FoundTask | None = None, **flags: Any) -> RunRequest:
    return build_request(find_model("gru"), task or find_task("digits"), SettingFlags(**flags), seed)


def results(bench: Bench, seed: int = 0) -> dict[str, Any]:
    """The one run's record, without what differs between two times or places."""
    (run,) = [run for run in bench.json("runs") if run["seed"] == seed]
    record = bench.json("show", run["run_id"])
    record["facts"].pop("step_seconds", None)
    dropped = {"attempt", "started_at", "finished_at", "train_seconds", "wall_seconds", "samples_per_second",
               "peak_memory_host", "environment", "events"}  # fmt: skip
    return {name: value for name, value in record.items() if name not in dropped}


# What makes a run


def test_equal_requests_are_one_run_and_different_ones_are_not() -> None:
    assert gru().run_id == gru().run_id == gru(assignments=["lr=0.003"]).run_id
    lstm = build_request(find_model("lstm"), find_task("digits"), SettingFlags(), 0)
    changes: list[dict[str, Any]] = [{"seed": 1}, {"epochs": 3}, {"budget": "10k"}, {"wrapper": "residual"}]
    others = [lstm, *(gru(**change) for change in [*changes, {"precision": "64"}, {"assignments": ["hidden_size=9"]}])]
    assert len({gru().run_id, *(other.run_id for other in others)}) == 1 + len(others)


def test_a_setting_that_came_later_leaves_recorded_runs_what_they_are() -> None:
    """The plain wrapper's `dropout`: runs were recorded before it existed."""
    before = gru(budget="10k")
    assert "dropout" not in before.settings.to_dict()["wrapper"]
    given = gru(budget="10k", assignments=["dropout=0"])
    assert (given.run_id, given.sources, run_command(given)) == (before.run_id, before.sources, run_command(before))
    other = gru(budget="10k", assignments=["dropout=0.1"])
    assert other.run_id != before.run_id
    assert other.settings.to_dict()["wrapper"]["dropout"] == 0.1
    assert run_command(other).endswith("--set dropout=0.1")


def test_a_setting_whose_default_is_new_is_always_recorded() -> None:
    """Records from before `warmup` mean that there was none. A new one says so, else it would not follow again."""
    assert gru().settings.to_dict()["training"]["warmup"] == 0.05
    as_before = gru(assignments=["warmup=0", "end_when_solved=false", "start_at_constant=false"])
    later = {"warmup": 0.0, "end_when_solved": False, "start_at_constant": False}
    assert later.items() <= as_before.config["training"].items()
    assert not later.keys() & as_before.settings.of_protocol_1()["training"].keys()
    assert run_command(as_before).endswith("--set warmup=0.0 --set end_when_solved=false --set start_at_constant=false")


def test_an_edited_file_is_another_model(write_model: Writer) -> None:
    path = write_model("mine", "pass")
    before = find_model_or_file(str(path))
    write_model("mine", "x_BTD = x_BTD * 2")
    after = find_model_or_file(str(path))
    assert before.name.partition("@")[0] == after.name.partition("@")[0] == "mine"
    assert before.name != after.name


def test_settings_say_where_they_came_from() -> None:
    request = gru(budget="10k", assignments=["lr=0.01"], epochs=4)
    assert request.sources == {"hidden_size": "budget", "lr": "flag", "epochs": "flag"}
    assert run_command(request).endswith("--seed 0 --budget 10k --set lr=0.01 --set epochs=4")


def test_data_do_not_depend_on_the_runs_seed() -> None:
    one, two = Digits(order_seed=0), Digits(order_seed=1)
    for split in ("train", "validation", "test"):
        assert one.split_hash(split) == two.split_hash(split)
    assert not torch.equal(next(iter(one.train_dataloader())).y, next(iter(two.train_dataloader())).y)


def test_each_epoch_sees_every_sample_once_in_an_order_of_its_own() -> None:
    loader = Digits(order_seed=3).train_dataloader()
    epochs = []
    for epoch in (0, 1, 0):
        loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
        epochs.append(torch.cat(list(loader.sampler.index().split(64))))
    assert torch.equal(epochs[0], epochs[2])
    assert not torch.equal(epochs[0], epochs[1])
    assert torch.equal(epochs[1].sort().values, torch.arange(1077))


# What a run does


class Watched(Samples):
    """A split that notes each time that a batch of it is gathered."""

    log: list[str]

    def gather(self, index: torch.Tensor) -> Samples:
        Watched.log.append("gathered")
        return super().gather(index)


def test_the_test_split_is_read_once_after_training(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    make, train_step = Digits.make, SequenceModule.training_step
    Watched.log = []

    def note(self: SequenceModule, batch: Samples) -> torch.Tensor:
        Watched.log.append("trained")
        return train_step(self, batch)

    monkeypatch.setattr(
        Digits, "make", lambda self, split: Watched(*make(self, split)) if split == "test" else make(self, split)
    )
    monkeypatch.setattr(SequenceModule, "training_step", note)
    bench("run", "--model", "gru", *QUICK, *SIZES)
    assert Watched.log == ["trained"] * 2 * 9 + ["gathered"] * 3  # 1,077 and 360 samples in batches of 128


def test_a_second_reading_of_the_test_split_is_refused() -> None:
    task = Digits()
    task.test_dataloader()
    with pytest.raises(AssertionError, match="read once"):
        task.test_dataloader()
    with pytest.raises(AssertionError, match="loaders of their own"):
        task.evaluation_dataloader("test")


def test_one_seed_gives_one_result(tmp_path: Path, write_model: Writer) -> None:
    path = str(write_model("mine", "pass"))  # it has dropout
    records = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        bench = Bench(tmp_path / name)
        bench("run", "--model", path, "--epochs", "3")
        records.append(results(bench))
    assert records[0] == records[1]


def test_the_chosen_checkpoint_is_the_best_on_validation(bench: Bench) -> None:
    bench("run", "--model", "gru", "--set", "hidden_size=8", "--set", "lr=0.03", "--epochs", "8")
    record = results(bench)
    accuracies = {p["epoch"]: p["value"] for p in record["curves"] if p["name"] == "validation/accuracy"}
    assert record["metrics"]["validation"]["accuracy"] == pytest.approx(max(accuracies.values()))
    assert accuracies[record["best_epoch"]] == max(accuracies.values())


def test_the_kept_weights_are_the_evaluated_ones(bench: Bench) -> None:
    bench("run", "--model", "gru", *QUICK)
    record = results(bench)
    request = gru(epochs=2, assignments=["hidden_size=8"])
    network = build(request.model.cls, request.wrapper, request.settings, request.spec)
    (weights,) = bench.folder.glob("board-artifacts/*/weights.safetensors")
    assert weights.parent.name == request.run_id == record["run_id"]
    load_model(network, str(weights))
    data = Digits().split("test")
    with torch.inference_mode():
        accuracy = (network(data.x).argmax(-1) == data.y).double().mean().item()
    assert accuracy == pytest.approx(record["metric"]["value"], abs=1e-6)


def kept_accuracy(bench: Bench) -> float:
    """Of the predictions that the one run left."""
    (path,) = bench.folder.glob("board-artifacts/*/predictions.npz")
    with np.load(path, allow_pickle=False) as predictions:
        return float((predictions["test"] == Digits().split("test").y.numpy()).mean())


def test_the_kept_predictions_are_those_that_were_scored(bench: Bench) -> None:
    bench("run", "--model", "gru", *QUICK)
    assert kept_accuracy(bench) == pytest.approx(results(bench)["metric"]["value"], abs=1e-6)


@pytest.mark.parametrize(("task", "splits"), [("parity-40", {"test", "test-2x", "test-4x"}), ("copy-100", {"test"})])
def test_every_test_split_leaves_its_predictions(bench: Bench, task: str, splits: set[str]) -> None:
    bench("run", "--model", "gru", "--task", task, *SIZES, "--set", "hidden_size=4", "--set", "max_steps=2")
    (path,) = bench.folder.glob("board-artifacts/*/predictions.npz")
    with np.load(path, allow_pickle=False) as predictions:
        assert set(predictions) == splits
        answers = {"parity-40": 10_000, "copy-100": 100_000}[task]  # of copy, the ten symbols of each sample
        assert {predictions[name].shape for name in splits} == {(answers,)}
        assert {predictions[name].dtype.name for name in splits} == {"uint8"}


def test_training_stops_at_max_steps_with_an_evaluation_there(bench: Bench) -> None:
    bench("run", "--model", "gru", "--set", "hidden_size=8", "--set", "max_steps=25")
    record = results(bench)
    assert record["steps"] == 25
    assert [p["step"] for p in record["curves"] if p["name"] == "validation/loss"] == [17, 25]


def test_patience_stops_training(bench: Bench) -> None:
    bench("run", "--model", "gru", "--set", "hidden_size=8", "--set", "lr=1e-9", "--set", "patience=2")
    assert results(bench)["epochs"] < 10


@pytest.mark.parametrize(("logger", "file"), [("csv", "csv/metrics.csv"), ("tensorboard", "tensorboard/events*")])
def test_lightnings_loggers(bench: Bench, logger: str, file: str) -> None:
    bench("run", "--model", "gru", *QUICK, "--logger", logger)
    assert list(bench.folder.glob(f"board-artifacts/*/{file}"))


def test_other_precisions(bench: Bench) -> None:
    values = {}
    for precision in ("32", "64", "bf16-mixed"):
        values[precision] = bench.json("run", "--model", "gru", *QUICK, "--precision", precision)["metric"]["value"]
    assert values["64"] == pytest.approx(values["32"], abs=0.05)


@pytest.mark.slow
def test_compilation(bench: Bench) -> None:
    whole, compiled = (
        bench.json("run", "--model", "gru", *QUICK, "--seed", seed, *words)["metric"]["value"]
        for seed, words in (("0", ()), ("1", ("--compile",)))
    )
    assert compiled == pytest.approx(whole, abs=0.2), "which another seed moves, too"


@pytest.mark.slow
def test_two_devices_share_the_batch(bench: Bench) -> None:
    process = bench.start("run", "--model", "gru", *QUICK, "--devices", "2", "--accelerator", "cpu", "--json")
    stdout, stderr = process.communicate(timeout=240)
    run = json.loads(stdout)
    assert (process.returncode, run["status"], run["steps"]) == (0, "finished", 2 * 17), stderr
    assert kept_accuracy(bench) == pytest.approx(run["metric"]["value"], abs=1e-6)
    assert len(bench.json("runs")) == 1
    wrong = ("run", "--model", "gru", *QUICK, "--devices", "2", "--accelerator", "cpu", "--set", "batch_size=3")
    assert "batch_size=3 can't be shared by 2 devices" in bench.refused(*wrong)


SLOW_TO_TELL = """
        class SlowToTellError(Exception):
            def __str__(self):
                time.sleep(15 * (os.environ.get("LOCAL_RANK", "0") == "0"))
                return "mine"
        raise SlowToTellError
"""


@pytest.mark.slow
def test_a_failure_on_two_devices_is_recorded_however_long_that_takes(
    bench: Bench, write_model: Callable[[str, str], Path]
) -> None:
    path = str(write_model("mine", SLOW_TO_TELL))
    done = bench.fresh("run", "--model", path, "--devices", "2", "--accelerator", "cpu", "--json", code=1)
    assert json.loads(done.stdout)["reason"] == "SlowToTellError: mine"


def test_a_share_of_a_slurm_job_is_no_share_of_a_run(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"NTASKS": "2", "NNODES": "2", "JOB_NAME": "tune", "PROCID": "1", "JOB_ID": "7"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    assert bench.json("run", "--model", "gru", *QUICK)["status"] == "finished"


# What ends a run


def test_float32_is_not_rounded_to_tf32(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    bench("run", "--model", "gru", *QUICK)
    assert not torch.backends.cudnn.allow_tf32


def test_divergence(shared_bench: Bench) -> None:
    (run,) = shared_bench.json("runs", "--model", "fru")
    assert (run["status"], run["metric"]["value"], run["score"]) == ("diverged", None, 0.0)
    assert run["reason"].startswith(("the training loss is nan at step", "train/loss is nan", "validation/loss is"))


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        ("torch.zeros(10**14)", "oom", "RuntimeError: "),
        ("raise MemoryError('no more')", "oom", "MemoryError: no more"),
        ("raise KeyError('mine')", "failed", "KeyError: 'mine'"),
    ],
)
def test_a_run_that_fails_is_recorded_with_its_reason(
    bench: Bench, write_model: Writer, body: str, status: str, reason: str
) -> None:
    path = str(write_model("mine", f"if self.calls == 20: {body}"))
    run = bench.json("run", "--model", path, "--epochs", "3", code=1)
    assert (run["status"], run["steps"]) == (status, 17)
    assert run["reason"].startswith(reason)
    again = bench("run", "--model", path, "--epochs", "3", code=1)
    assert f"{status}: {reason}" in again.stderr
    assert len(bench.json("runs")) == 1
    assert "calls == 20" in (bench.folder / "board-artifacts" / run["run_id"] / "error.txt").read_text()


INTERRUPT = (
    "if self.calls == 60 and not os.path.exists('{marker}'): open('{marker}', 'w'); os.kill(os.getpid(), signal.{name})"
)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_an_interrupted_run_resumes_as_if_it_had_not_been(
    tmp_path: Path, write_model: Writer, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN_CHECKPOINTS", 0)
    marker = tmp_path / "marker"
    words = ("run", "--model", str(write_model("mine", INTERRUPT.format(marker=marker, name=name))), "--epochs", "5")
    (tmp_path / "stopped").mkdir()
    (tmp_path / "whole").mkdir()
    stopped, whole = Bench(tmp_path / "stopped"), Bench(tmp_path / "whole")
    run = stopped.json(*words, code=130)
    assert (run["status"], run["metric"]["value"]) == ("interrupted", None)
    assert run["reason"].startswith(f"stopped by {name} in epoch")
    assert stopped.json("leaderboard") == []
    assert "It can only be resumed" in stopped.refused(*words)
    done = stopped.json(*words, "--resume")
    assert (done["status"], done["run_id"], done["attempt"]) == ("finished", run["run_id"], 2)
    whole(*words)
    assert results(stopped) == results(whole)


ENDS = {
    "patience": ("lr=0.1", "patience=2"),
    "max_steps": ("max_steps=25",),
    "epochs": ("epochs=3",),
}


@pytest.mark.parametrize("by", ["evaluate", pytest.param("save_model", marks=pytest.mark.slow)])
@pytest.mark.parametrize("end", ENDS)
def test_a_run_that_stops_after_training_is_not_trained_further(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str, by: str
) -> None:
    monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN_CHECKPOINTS", 0)
    words = ["run", "--model", "gru", *(word for each in ("hidden_size=8", *ENDS[end]) for word in ("--set", each))]
    (tmp_path / "stopped").mkdir()
    (tmp_path / "whole").mkdir()
    stopped, whole = Bench(tmp_path / "stopped"), Bench(tmp_path / "whole")

    def stop(*_: object) -> None:
        if by == "save_model":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(f"bench.training.attempt.{by}", stop)
        assert stopped.json(*words, code=130)["status"] == "interrupted"
    assert stopped.json(*words, "--resume")["status"] == "finished"
    whole(*words)
    assert results(stopped) == results(whole)


def test_a_run_is_resumed_where_its_database_was_moved_to(
    tmp_path: Path, write_model: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN_CHECKPOINTS", 0)
    body = INTERRUPT.format(marker=tmp_path / "marker", name="SIGINT")
    words = ("run", "--model", str(write_model("mine", body)), "--epochs", "4", "--set", "lr=20")
    (tmp_path / "stopped").mkdir()
    (tmp_path / "whole").mkdir()
    Bench(tmp_path / "stopped")(*words, code=130)
    (tmp_path / "stopped").rename(tmp_path / "moved")
    moved, whole = Bench(tmp_path / "moved"), Bench(tmp_path / "whole")
    moved(*words, "--resume")
    whole(*words)
    assert results(whole)["best_epoch"] <= 2, "it was found before the stop, in the third epoch"
    assert results(moved) == results(whole)


@pytest.fixture
def own_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder in the place of the project's models; `mine` in it is found by that name."""
    folder = tmp_path / "project" / "models"
    folder.mkdir(parents=True)
    (tmp_path / "project" / "datamodules").symlink_to(ROOT / "datamodules")
    monkeypatch.setattr("bench.catalog.names.ROOT", tmp_path / "project")
    monkeypatch.setattr("models.__path__", [*models.__path__, str(folder)])
    yield folder
    del sys.modules["models.mine"]


def test_a_run_is_of_one_version_of_its_models_file(
    bench: Bench, own_models: Path, write_model: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN_CHECKPOINTS", 0)
    source = write_model("mine", INTERRUPT.format(marker=tmp_path / "marker", name="SIGINT")).read_text()
    path, words = own_models / "mine.py", ("run", "--model", "mine", "--epochs", "4")
    path.write_text(source)
    bench(*words, code=130)
    path.write_text(source + "# edited\n")
    refusal = bench.refused(*words, "--resume")
    assert f"{path} has changed since" in refusal
    assert "Restore the file to resume" in refusal
    path.write_text(source)
    assert "has changed" not in bench(*words, "--resume").stderr
    assert "has changed" not in bench(*words).stderr
    path.write_text(source + "# edited\n")
    assert f"{path} has changed since: the result is of the file as it was." in bench(*words).stderr


def unable(store: Store, *_: object) -> None:
    raise StoreError(f"{store} can't take it.")


@pytest.mark.parametrize("told_by", ["the attempt", "a database that can't take it", "run", "bundle"])
def test_the_command_that_goes_on_does_so_in_the_same_database_and_way(
    bench: Bench, write_model: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told_by: str
) -> None:
    monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN_CHECKPOINTS", 0)
    path = write_model("mine", INTERRUPT.format(marker=tmp_path / "marker", name="SIGINT"))
    other = ("--db", str(tmp_path / "other one.sqlite"))
    words = ("run", "--model", str(path), "--epochs", "4", *other, "--accelerator", "cpu", "--logger", "csv")
    with monkeypatch.context() as patch:
        if "can't" in told_by:
            patch.setattr(Store, "record", unable)
        said = bench(*words, code=None).stderr
    if told_by == "run":
        said = bench.refused(*words)
    if told_by == "bundle":
        said = bench.refused("bundle", "", "-o", "x.zip", *other)
    command = shlex.split(said.split(":\n  python -m bench ")[1])
    assert command[-7:] == ["--resume", "--accelerator", "cpu", "--logger", "csv", *other]
    assert "nothing to resume" not in bench(*command).stderr
    assert not bench.db.exists()
    (run,) = bench.json("runs", *other)
    record = bench.json("show", run["run_id"], *other)
    assert (record["status"], record["environment"]["execution"]["logger"]) == ("finished", "csv")
    assert record["command"].endswith("--seed 0 --set epochs=4")


def test_the_command_that_goes_on_names_no_database_that_it_has_anyway(bench: Bench, write_model: Writer) -> None:
    path = write_model("mine", INTERRUPT.format(marker=bench.folder / "marker", name="SIGINT"))
    assert bench("run", "--model", str(path), "--epochs", "4", code=130).stderr.endswith("--set epochs=4 --resume\n")


def test_where_there_is_nothing_to_resume_a_run_begins_and_says_so(bench: Bench) -> None:
    words = ("run", "--model", "gru", *QUICK, "--resume")
    assert f"There is nothing to resume: {bench.db} has no stopped attempt at this run" in bench(*words).stderr
    assert "nothing to resume" not in bench(*words).stderr


def test_a_library_that_answers_sigterm_with_an_exit_is_not_taken_for_ctrl_c(
    bench: Bench, write_model: Writer, tmp_path: Path
) -> None:
    """Ray's handler leaves with code 1, as Lightning does after Ctrl-C."""
    path = str(write_model("mine", INTERRUPT.format(marker=tmp_path / "marker", name="SIGTERM")))
    before = signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))
    try:
        run = bench.json("run", "--model", path, "--epochs", "5", code=130)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert run["reason"].startswith("stopped by SIGTERM in epoch")


def test_a_checkpoint_holds_state_and_no_module(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network with parametrised weights, as the TCN's, can't be pickled: what was saved beside its state showed."""
    monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN_CHECKPOINTS", 0)
    bench("run", "--model", "tcn", *QUICK)


def start_slow_run(bench: Bench, write_model: Writer, epochs: int) -> tuple[subprocess.Popen[str], list[str]]:
    """A process that trains slowly and keeps a checkpoint of every epoch."""
    path = write_model("mine", "time.sleep(0.02)")
    often = "import bench.training.checkpoints; bench.training.checkpoints.SECONDS_BETWEEN_CHECKPOINTS = 0\n"
    path.write_text(often + path.read_text())
    words = ["run", "--model", str(path), "--epochs", str(epochs)]
    return bench.start(*words), words


def wait_for(condition: Callable[[], Any], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_control_c_from_outside(bench: Bench, write_model: Writer) -> None:
    process, _ = start_slow_run(bench, write_model, epochs=1000)
    wait_for(lambda: list(bench.folder.glob("board-artifacts/*/best.ckpt")))
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted: stopped by SIGINT" in stderr
    assert "--resume" in stderr
    assert "Traceback" not in stderr
    assert [run["status"] for run in bench.json("runs")] == ["interrupted"]


@pytest.mark.slow
def test_a_killed_run_leaves_the_database_whole_and_resumes(
    bench: Bench, write_model: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN_CHECKPOINTS", 0)
    process, words = start_slow_run(bench, write_model, epochs=6)
    wait_for(lambda: list(bench.folder.glob("board-artifacts/*/last.ckpt")))
    process.kill()
    process.communicate(timeout=60)
    assert sqlite3.connect(bench.db).execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert bench.json("runs") == []
    assert "It can only be resumed" in bench.refused(*words)
    assert bench.json(*words, "--resume")["epochs"] == 6


def test_two_processes_do_not_carry_out_the_same_run(bench: Bench, write_model: Writer) -> None:
    process, words = start_slow_run(bench, write_model, epochs=1000)
    try:
        wait_for(lambda: list(bench.folder.glob("board-artifacts/*/best.ckpt")))
        assert "is in progress in another process" in bench.refused(*words)
    finally:
        process.kill()
        process.communicate(timeout=60)


# Training


def test_schedules() -> None:
    cosine = lr_factor(Training(warmup=0), 100)
    assert [cosine(0), cosine(50), cosine(100)] == pytest.approx([1, 0.5, 0])
    stairs = lr_factor(Training(lr_schedule="staircase", lr_decay=0.5, warmup=0), 100)
    assert [stairs(0), stairs(999), stairs(1000), stairs(2500)] == [1, 1, 0.5, 0.25]
    assert lr_factor(Training(lr_schedule="constant", warmup=0), 100)(10**6) == 1


def test_warm_up_comes_before_the_schedule() -> None:
    """It is linear over 5% of the steps. What follows is the cosine over the other 95%."""
    factor = lr_factor(Training(), 200)
    assert [factor(step) for step in range(11)] == pytest.approx([step / 11 for step in range(1, 11)] + [1])
    assert [factor(105), factor(200)] == pytest.approx([0.5, 0])


def test_training_ends_once_solved_at_three_evaluations_in_a_row(bench: Bench, write_model: Writer) -> None:
    """Also where it was interrupted in between: the checkpoint holds the streak."""
    solved = replace(find_task("digits").build().spec, solved=0.2)
    done = bench.json("run", "--model", "gru", "--epochs", "9", "--set", "hidden_size=8")
    assert done["epochs"] == 9  # accuracy 1 is out of reach
    callback = EndWhenSolved(solved)
    streaks = [after(callback, value) for value in (0.3, 0.3, 0.1, 0.2, 0.2)]
    assert streaks == [(1, False), (2, False), (0, False), (1, False), (2, False)]
    resumed = EndWhenSolved(solved)
    resumed.load_state_dict(callback.state_dict())
    assert after(resumed, 0.25) == (3, True)


def after(callback: EndWhenSolved, accuracy: float) -> tuple[int, bool]:
    """Return the streak after an evaluation, and whether training ends there."""
    trainer = SimpleNamespace(
        state=SimpleNamespace(fn="fit"), should_stop=False, callback_metrics={"validation/accuracy": accuracy}
    )
    callback.on_validation_end(cast(Trainer, trainer), cast(LightningModule, None))
    return callback.streak, trainer.should_stop


@pytest.mark.parametrize(("ends", "steps"), [("true", 15), ("false", 40)])
def test_an_early_end_is_a_whole_run(bench: Bench, monkeypatch: pytest.MonkeyPatch, ends: str, steps: int) -> None:
    """Any accuracy counts as solved here, so that training ends at the third evaluation."""
    spec = Digits.describe
    monkeypatch.setattr(Digits, "describe", lambda self: replace(spec(self), chance=-1.0, solved=0.0))
    words = ("--set", "max_steps=40", "--set", "batch_size=269", "--set", "hidden_size=8")
    done = bench.json("run", "--model", "gru", *words, "--set", f"end_when_solved={ends}")
    assert (done["status"], done["steps"]) == ("finished", steps)


def test_optimizer_groups_keep_their_own_settings() -> None:
    network = torch.nn.Linear(2, 3)
    groups = [{"params": [network.bias], "lr_scale": 0.1, "weight_decay": 0.0}]
    optimizer, _ = build_optimizer(network, groups, Training(lr=1.0, weight_decay=0.5), 10)
    rest, own = optimizer.param_groups
    assert (rest["params"][0] is network.weight, rest["initial_lr"], rest["weight_decay"]) == (True, 1.0, 0.5)
    assert (own["params"][0] is network.bias, own["initial_lr"], own["weight_decay"]) == (True, 0.1, 0.0)
    assert "lr_scale" in groups[0]


@pytest.mark.parametrize(("lr", "state_lr"), [(1e-2, 1e-3), (1e-4, 1e-4)])
def test_s4d_trains_its_states_no_faster_than_the_rest(lr: float, state_lr: float) -> None:
    """min(0.001, lr), as in the authors' example.py."""
    cls = find_model("s4d").cls
    mixer = cls(cls.Config(), input_size=2, seq_len=8)
    optimizer, _ = build_optimizer(mixer, mixer.optimizer_groups(), Training(lr=lr), 10)
    assert [group["initial_lr"] for group in optimizer.param_groups] == [lr, state_lr]


def test_denormals_are_flushed_while_training(bench: Bench, write_model: Writer) -> None:
    body = "assert torch.tensor([1e-40]).mul(1.0).item() == 0.0"
    code = "import torch; print(torch.tensor([1e-40]).mul(1.0).item() > 0)"
    fresh = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert fresh.stdout == "True\n", "without the setting they are kept"
    assert bench.json("run", "--model", str(write_model("mine", body)), "--epochs", "1")["status"] == "finished"


def test_checkpoints_are_written_beside_what_they_replace(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file from the system's temporary folder would be copied from another disk, and half of one can be left."""
    monkeypatch.setattr(tempfile, "tempdir", str(bench.folder / "missing"))
    bench("run", "--model", "gru", *QUICK)
