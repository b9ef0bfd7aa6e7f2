"""`benchmarks/gpu_session.py`: parts with limits of their own, one that fails, going on, and a rehearsal of it all."""

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from bench.catalog.registry import model_names
from tests.conftest import ROOT

SCRIPT = ROOT / "benchmarks" / "gpu_session.py"
FOREVER = "import time; time.sleep(600)"


@pytest.fixture(scope="module")
def modules() -> Iterator[tuple[Any, Any]]:
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(ROOT / "benchmarks")
        yield importlib.import_module("_parts"), importlib.import_module("gpu_session")


@pytest.fixture
def parts_module(modules: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(modules[0], "GRACE", 0.5)
    monkeypatch.setattr(modules[0], "LEAST", 0.1)
    return modules[0]


def part(module: Any, name: str, code: str, *, share: float = 1.0, **given: Any) -> Any:
    return module.Part(name=name, command=("-c", code), share=share, **given)


def session(module: Any, folder: Path, seconds: float = 60, kept: float = 0.0, kind: str = "test") -> Any:
    return module.Session(folder=folder / "out", seconds=seconds, kept=kept, kind=kind, cwd=folder)


def statuses(endings: dict[str, Any]) -> dict[str, str]:
    return {name: ending.status for name, ending in endings.items()}


def test_one_part_fails_and_the_others_run(parts_module: Any, tmp_path: Path) -> None:
    here = session(parts_module, tmp_path)
    bad = part(parts_module, "bad", "import sys; print('half'); sys.exit('broken kernel')", suffix=".txt")
    good = part(parts_module, "good", "print(1)")
    endings = here.run([bad, good])
    assert statuses(endings) == {"bad": "failed", "good": "done"}
    assert endings["bad"].exit_code == 1
    assert (here.printed(bad), here.messages(bad)) == ("half\n", "broken kernel\n")
    assert here.printed(good) == "1\n"


def test_a_part_over_its_limit_is_ended_with_all_its_processes(parts_module: Any, tmp_path: Path) -> None:
    """Also one that is deaf to SIGTERM, and one in a process group of its own, as the workers of a suite are."""
    code = f"""
import os, signal, subprocess, sys, time
worker = subprocess.Popen([sys.executable, "-c", {FOREVER!r}], process_group=0)
print(worker.pid, flush=True)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
time.sleep(600)
"""
    here = session(parts_module, tmp_path)
    slow, next_one = part(parts_module, "slow", code, share=0.05), part(parts_module, "next", "print(1)")
    assert statuses(here.run([slow, next_one])) == {"slow": "out of time", "next": "done"}
    worker = int(here.printed(slow))
    assert not psutil.pid_exists(worker) or psutil.Process(worker).status() == psutil.STATUS_ZOMBIE


def test_a_part_that_ends_leaves_no_process(parts_module: Any, tmp_path: Path) -> None:
    code = f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', {FOREVER!r}]).pid)"
    here = session(parts_module, tmp_path)
    quick = part(parts_module, "quick", code)
    here.run([quick])
    left = int(here.printed(quick))
    wait_for(lambda: not psutil.pid_exists(left) or psutil.Process(left).status() == psutil.STATUS_ZOMBIE)


def test_the_session_stops_in_time(parts_module: Any, tmp_path: Path) -> None:
    """Its last part gets what is kept for it, and no part begins afterwards."""
    began = time.monotonic()
    here = session(parts_module, tmp_path, seconds=6, kept=0.5)
    fill = "import sys, time; print(sys.argv[1:]); sys.stdout.flush(); time.sleep(600)"
    parts = [part(parts_module, "long", FOREVER), part(parts_module, "late", "print(1)"),
             part(parts_module, "suite", fill, fills=True), part(parts_module, "last", "print(1)")]  # fmt: skip
    assert list(statuses(here.run(parts)).values()) == ["out of time", "no time left", "out of time", "no time left"]
    assert time.monotonic() - began < 6 + 3
    option, limit = json.loads(here.printed(parts[2]).replace("'", '"'))
    assert option == "--time-limit"
    assert 0 < float(limit.removesuffix("s")) <= 0.8 * 3


def test_a_second_session_goes_on(parts_module: Any, tmp_path: Path) -> None:
    note = "import pathlib; pathlib.Path('ran').open('a').write({!r})"
    mended = (
        "import pathlib, sys; pathlib.Path('ran').open('a').write('b'); sys.exit(not pathlib.Path('mend').exists())"
    )
    parts = [part(parts_module, "needed", note.format("n"), needed=True), part(parts_module, "a", note.format("a")),
             part(parts_module, "b", mended), part(parts_module, "suite", note.format("s"), fills=True)]  # fmt: skip
    assert statuses(session(parts_module, tmp_path).run(parts))["b"] == "failed"
    (tmp_path / "mend").touch()
    assert set(statuses(session(parts_module, tmp_path).run(parts)).values()) == {"done"}
    assert (tmp_path / "ran").read_text() == "nabs" + "nbs"


def test_nothing_runs_without_what_is_needed(parts_module: Any, tmp_path: Path) -> None:
    parts = [part(parts_module, "machine", "import sys; sys.exit('no GPU')", needed=True),
             part(parts_module, "a", "print(1)")]  # fmt: skip
    assert statuses(session(parts_module, tmp_path).run(parts)) == {"machine": "failed"}


def test_a_rehearsal_and_a_session_have_folders_of_their_own(parts_module: Any, tmp_path: Path) -> None:
    session(parts_module, tmp_path, kind="rehearsal").run([part(parts_module, "a", "print(1)")])
    with pytest.raises(ValueError, match="holds a rehearsal"):
        session(parts_module, tmp_path, kind="session on a GPU")


def test_what_a_part_found(modules: tuple[Any, Any]) -> None:
    result = modules[1].result
    speed = {"model": "fru", "measured": {"fru": {"train_step": {"median": 1.234}}}, "busy": [],
             "ratios": {"lstm": {"train_step": 2.5}}}  # fmt: skip
    suite = {"runs": [{}, {}], "missing": [{}], "unavailable": {"fashion": "no connection"}}
    assert result(json.dumps(speed), "") == "a train step of fru takes 1.23 ms; lstm × 2.5"
    assert result(json.dumps(suite), "") == "2 of 3 runs; no data of fashion"
    assert result(json.dumps({"gpu": "H200", "cpu": "EPYC"}), "") == "H200"
    assert result("x\n=== 1 failed in 2 s ===\n", "") == "1 failed in 2 s"
    assert result("", "Traceback\nRuntimeError: out of memory\n") == "RuntimeError: out of memory"


def test_the_parts_of_a_session(modules: tuple[Any, Any]) -> None:
    """The rehearsal has the same ones, but fewer; every architecture is measured once."""
    script = modules[1]
    full, tiny = script.parts(script.full()), script.parts(script.tiny())
    names = [each.name for each in full]
    assert names[0] == "machine"
    assert names[-1] == "suite"
    assert len(set(names)) == len(names)
    assert {each.name for each in tiny} <= set(names) | {"profile-mingru"}
    tables = [each.command for each in full if each.name.startswith("speed-1024")]
    measured = [name for words in tables for name in words[words.index("--against") + 1].split(",")]
    assert sorted([*measured, "gru"]) == sorted(model_names())


@pytest.mark.parametrize("name", ["kernel_tests", "contract_tests"])
@pytest.mark.parametrize("scale", ["full", "tiny"])
def test_its_tests_exist(modules: tuple[Any, Any], scale: str, name: str) -> None:
    paths = [word for word in getattr(getattr(modules[1], scale)(), name) if word.startswith("tests/")]
    assert paths
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_it_names_missing_packages(modules: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    assert modules[1].missing_packages() == []
    monkeypatch.setattr(modules[1], "_is_installed", lambda name: name not in ("sqlalchemy", "triton"))
    assert modules[1].missing_packages() == ["sqlalchemy", "triton"]


def test_ctrl_c_ends_the_part_under_way(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    call = [sys.executable, str(SCRIPT), "--out", str(folder), "--rehearse"]
    process = subprocess.Popen(call, stderr=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    wait_for(lambda: (folder / "machine.log").exists())
    wait_for(lambda: bool(psutil.Process(process.pid).children()))
    family = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    assert "The same command goes on" in process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert [each for each in family if each.is_running() and each.status() != psutil.STATUS_ZOMBIE] == []


@pytest.mark.slow
def test_rehearsal(tmp_path: Path) -> None:
    """Every part works in its tiny form; a second call trains what is missing and repeats nothing else."""
    folder, env = tmp_path / "out", os.environ | {"OMP_NUM_THREADS": "1"}
    call = [sys.executable, str(SCRIPT), "--out", str(folder), "--rehearse", "--minutes", "30"]
    done = subprocess.run(call, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 of 2 runs" in done.stdout
    assert done.stdout.rstrip() == (folder / "report.md").read_text("utf-8").rstrip()
    first = {path.name: path.stat().st_mtime_ns for path in folder.glob("*-*.*")}
    again = subprocess.run(call, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert again.returncode == 0, again.stdout + again.stderr
    assert {path.name: path.stat().st_mtime_ns for path in folder.glob("*-*.*")} == first


def wait_for(condition: Any, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
