"""What lies in the working directory is never run, neither by a command nor by a process that it starts."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.common.import_path import leave_out_working_directory
from bench.submissions.limited_process import run_limited
from tests.conftest import ROOT, Bench
from tests.support.foreign_folder import ForeignFolder, careless_path

SCRIPT = "import sys\nfrom bench.__main__ import main\nsys.exit(main())\n"


@pytest.fixture
def foreign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ForeignFolder:
    folder = ForeignFolder(tmp_path / "foreign")
    monkeypatch.chdir(folder.path)
    return folder


@pytest.mark.parametrize("path", [str(ROOT), f"{ROOT}:", f"{ROOT}:."])
@pytest.mark.parametrize("way", ["module", "script"])
def test_a_command_started_in_a_foreign_folder(foreign: ForeignFolder, tmp_path: Path, way: str, path: str) -> None:
    script = tmp_path / "bench-script"
    script.write_text(SCRIPT)
    command = [sys.executable, "-m", "bench"] if way == "module" else [sys.executable, str(script)]
    done = subprocess.run([*command, "suites", "--json"], env={"PYTHONPATH": path}, capture_output=True, text=True)
    assert foreign.ran() == []
    assert (done.returncode, done.stderr) == (0, "")
    assert "quick-v1" in done.stdout


@pytest.mark.parametrize("path", ["", ".", careless_path()])
def test_a_child_with_limits(foreign: ForeignFolder, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setenv("PYTHONPATH", path)
    assert run_limited("json.tool", b"[1]", seconds=60).split() == [b"[", b"1", b"]"]
    assert foreign.ran() == []


def test_any_python_that_a_command_starts(foreign: ForeignFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers are spawned by `python -c`, and Lightning's helpers by `python -m`."""
    monkeypatch.setenv("PYTHONPATH", careless_path())
    monkeypatch.setattr(sys, "path", sys.path[:])
    leave_out_working_directory()
    for words in (["-c", "import multiprocessing.spawn"], ["-m", "json.tool", "--help"]):
        subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)
    found = subprocess.check_output([sys.executable, "-c", "import models; print(models.__file__)"], text=True)
    assert found.strip() == str(ROOT / "models" / "__init__.py")
    assert foreign.ran() == []


def test_what_pythonpath_names_in_full_stays(
    foreign: ForeignFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "mine_alone.py").write_text("")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "own"))
    assert run_limited("mine_alone", b"", seconds=60) == b""


def test_the_app(shared_bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The server's Python, started as the command starts it, finds nothing in the folder that it starts in."""
    foreign, started = ForeignFolder(tmp_path / "foreign"), list[tuple[list[str], dict[str, str]]]()

    def execve(path: str, command: list[str], environment: dict[str, str]) -> Any:
        started.append((command, environment))
        sys.exit(0)

    monkeypatch.setattr("os.execve", execve)
    shared_bench("app", "--port", "8599")
    ((command, environment),) = started
    options = command[1 : command.index("-m")]
    code = "import importlib.util; print(importlib.util.find_spec('uvicorn').origin)"
    origin = subprocess.check_output(
        [sys.executable, *options, "-c", code], env=environment | {"PYTHONSAFEPATH": ""}, cwd=foreign.path, text=True
    )
    assert "site-packages" in origin
