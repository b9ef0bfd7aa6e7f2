"""What other launchers left in the environment makes no process a share of a run, and changes no training."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

from bench.common.launchers import PARENT, TOKEN
from bench.runs.request import Execution
from bench.training.helper_processes import is_helper_process
from tests.bench.training.test_run import INTERRUPT, gru, results
from tests.conftest import QUICK, Bench

Writer = Callable[[str, str], Path]
LAUNCHERS = {
    "one variable": {"LOCAL_RANK": "1"},
    "nonsense": {"LOCAL_RANK": "a", "RANK": "", "WORLD_SIZE": "two"},
    "torchrun": {
        "LOCAL_RANK": "1", "RANK": "1", "GROUP_RANK": "1", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2",
        "MASTER_ADDR": "192.0.2.1", "MASTER_PORT": "29500", "TORCHELASTIC_RUN_ID": "none",
    },
    "SLURM": {"SLURM_PROCID": "1", "SLURM_LOCALID": "1", "SLURM_NTASKS": "2", "SLURM_NODEID": "1", "SLURM_JOB_ID": "7"},
    "Lightning": {"NODE_RANK": "1", "PL_TRAINER_LIMIT_TRAIN_BATCHES": "1", "PL_TRAINER_FAST_DEV_RUN": "1"},
}  # fmt: skip
every_launcher = pytest.mark.parametrize("left", LAUNCHERS.values(), ids=LAUNCHERS.keys())
RUN = ("run", "--model", "gru", *QUICK)


def leave(monkeypatch: pytest.MonkeyPatch, left: dict[str, str]) -> None:
    for name, value in left.items():
        monkeypatch.setenv(name, value)


@every_launcher
def test_a_run_is_what_it_is_without_them(
    bench: Bench, shared_bench: Bench, monkeypatch: pytest.MonkeyPatch, left: dict[str, str]
) -> None:
    leave(monkeypatch, left)
    done = bench(*RUN)
    assert "gru on digits, seed 0: test accuracy" in done.stdout
    with monkeypatch.context() as patch:
        for name in left:
            patch.delenv(name)
        (whole,) = [run for run in shared_bench.json("runs") if (run["model"], run["seed"]) == ("gru", 0)]
        theirs = shared_bench.json("show", whole["run_id"])
        ours = results(bench)
    assert {name: theirs[name] for name in ("run_id", "metrics", "curves", "steps")} == {
        name: ours[name] for name in ("run_id", "metrics", "curves", "steps")
    }
    assert {name: os.environ[name] for name in left} == left


@every_launcher
def test_a_stopped_run_can_only_be_resumed(
    bench: Bench, write_model: Writer, monkeypatch: pytest.MonkeyPatch, left: dict[str, str]
) -> None:
    path = write_model("mine", INTERRUPT.format(marker=bench.folder / "marker", name="SIGTERM"))
    words = ("run", "--model", str(path), "--epochs", "4")
    bench(*words, code=130)
    leave(monkeypatch, left)
    assert "It can only be resumed" in bench.refused(*words)
    assert bench.json(*words, "--resume")["attempt"] == 2


@every_launcher
def test_a_run_in_progress_is_left_alone(bench: Bench, monkeypatch: pytest.MonkeyPatch, left: dict[str, str]) -> None:
    leave(monkeypatch, left)
    folder = bench.folder / "board-artifacts"
    folder.mkdir()
    run_id = gru(epochs=2, assignments=["hidden_size=8"]).run_id
    with FileLock(folder / f"{run_id}.lock"):
        assert "is in progress in another process" in bench.refused(*RUN)


@pytest.mark.parametrize(
    ("devices", "token", "expected"),
    [("2", str(PARENT), True), ("1", str(PARENT), False), ("2", str(os.getpid()), False), ("2", "1", False)],
    ids=["its parent", "its parent, one device", "itself", "another"],
)
def test_a_helper_carries_the_id_of_its_parent(
    monkeypatch: pytest.MonkeyPatch, devices: str, token: str, expected: bool
) -> None:
    monkeypatch.setenv(TOKEN, token)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert is_helper_process(Execution(devices=devices)) is expected


def test_nothing_is_left_for_the_next_command(bench: Bench) -> None:
    before = dict(os.environ)
    bench(*RUN)
    assert {name for name in os.environ.keys() ^ before.keys() if name != "CUBLAS_WORKSPACE_CONFIG"} == set()


@pytest.mark.slow
@every_launcher
@pytest.mark.parametrize("devices", ["1", "2"])
def test_a_command_of_its_own(bench: Bench, left: dict[str, str], devices: str) -> None:
    """Lightning reads ranks when it is imported, and logs in the first process only."""
    bench.env |= left
    words = (*RUN, "--devices", devices, "--accelerator", "cpu", "--logger", "csv", "--json")
    assert json.loads(bench.fresh(*words).stdout)["status"] == "finished"
    assert list(bench.folder.glob("board-artifacts/*/csv/metrics.csv"))


SLOW = "time.sleep(0.05); open({log!r}, 'a').write('.')"


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_on_two_devices(bench: Bench, write_model: Writer, number: signal.Signals) -> None:
    log = bench.folder / "log"
    path = str(write_model("mine", SLOW.format(log=str(log))))
    process = bench.start("run", "--model", path, "--devices", "2", "--accelerator", "cpu", "--json")
    while process.poll() is None and not (log.exists() and log.stat().st_size > 20):
        pass
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 130, stderr
    assert json.loads(stdout)["reason"].startswith(f"stopped by {number.name} in epoch")
