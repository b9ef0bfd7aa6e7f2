"""Suites on several processes: each cell once, and nothing lost when one of them, or the one that waits, ends."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import torch

import bench.catalog.suites
from bench.training.parallel_runs import visible_gpus
from tests.bench.training.test_suite_runs import TINY
from tests.conftest import Bench
from tests.support.processes import alive, wait_until

Writer = Callable[[str, str], Path]
THREE = replace(TINY, seeds=3)
SUITE = ("suite", "--suite", "tiny-v1", "--workers", "2", "--models")
ONCE = "if not os.path.exists('{marker}'): open('{marker}', 'w'); {act}"


@pytest.fixture(autouse=True)
def tiny_suite(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(bench.catalog.suites.SUITES, "tiny-v1", THREE)


@pytest.mark.slow
def test_each_cell_is_run_once_by_whoever_comes_first_on_a_gpu_of_its_own(
    bench: Bench, write_model: Writer, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("bench.training.parallel_runs.visible_gpus", lambda: ["4", "6"])
    log = bench.folder / "log"
    path = str(write_model("mine", f"open('{log}', 'a').write(os.environ['CUDA_VISIBLE_DEVICES'] + '\\n')"))
    done = bench.json(*SUITE, f"{path},bag")
    assert sorted((run["model"].partition("@")[0], run["seed"], run["attempt"]) for run in done["runs"]) == [
        (model, seed, 1) for model in ("bag", "mine") for seed in range(3)
    ]
    announced = [line.partition(": ")[2] for line in capfd.readouterr().err.splitlines() if " of 6: " in line]
    assert sorted(announced) == sorted(f"{run['model']} on digits, seed {run['seed']}" for run in done["runs"])
    assert set(log.read_text().split()) <= {"4", "6"}
    environment = bench.json("show", done["runs"][0]["run_id"])["environment"]
    assert (environment["execution"]["beside"], environment["threads"]) == (1, 1)


@pytest.mark.slow
def test_a_worker_that_is_killed_costs_one_attempt(bench: Bench, write_model: Writer) -> None:
    """The other goes on, and takes up what is open too, if it comes there later."""
    kill = ONCE.format(marker=bench.folder / "marker", act="os.kill(os.getpid(), signal.SIGKILL)")
    path = str(write_model("mine", kill))
    assert "a worker was ended by SIGKILL; its run is open. The same command goes on" in bench.refused(*SUITE, path)
    assert len(bench.json("runs")) >= 2
    assert [run["status"] for run in bench.json(*SUITE, path)["runs"]] == ["finished"] * 3


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_the_runs_of_a_suite_that_is_stopped_are_interrupted(bench: Bench, write_model: Writer, name: str) -> None:
    """The signal reaches the process that waits; both of the others sleep in their second step."""
    marker = bench.folder / "marker"
    stop = ONCE.format(marker=marker, act=f"os.kill(os.getppid(), signal.{name})")
    path = str(
        write_model("mine", f"if self.calls == 2 and not os.path.exists('{marker}'): time.sleep(1)\n        {stop}")
    )
    stopped = bench(*SUITE, path, "--json", code=130)
    left = json.loads(stopped.stdout)["missing"]
    assert left
    assert {cell["stopped"] for cell in left} <= {None, "stopped by SIGTERM in epoch 0"}
    assert any(cell["stopped"] for cell in left)
    assert len(bench.json("suite", "--suite", "tiny-v1", "--models", path)["runs"]) == 3


@pytest.mark.slow
def test_workers_end_with_the_process_that_waits_for_them(bench: Bench, write_model: Writer) -> None:
    started = bench.folder / "started"
    path = str(write_model("mine", f"open('{started}', 'w'); time.sleep(0.2)"))
    process = bench.start("suite", "--workers", "2", "--models", path)
    wait_until(started.exists)
    workers = psutil.Process(process.pid).children()
    process.kill()
    process.communicate()
    wait_until(lambda: not any(alive(worker.pid) for worker in workers))


@pytest.mark.slow
def test_what_a_worker_can_not_carry_out_is_refused(bench: Bench, capfd: pytest.CaptureFixture[str]) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    assert "a worker failed; its message is above" in bench.refused(*SUITE, "bag", "--accelerator", "gpu")
    assert "bench: --accelerator gpu --devices 1: " in capfd.readouterr().err


@pytest.mark.parametrize(
    ("variable", "count", "gpus"), [("", 2, ["0", "1"]), ("3, GPU-ab", 2, ["3", "GPU-ab"]), ("", 0, [])]
)
def test_gpus_are_named_as_the_variable_names_them(
    monkeypatch: pytest.MonkeyPatch, variable: str, count: int, gpus: list[str]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", variable)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    assert visible_gpus() == gpus
