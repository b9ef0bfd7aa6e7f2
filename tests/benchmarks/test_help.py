"""Every benchmark explains itself after the README's installation, in whichever folder it is called."""

import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT

BENCHMARKS = sorted((ROOT / "benchmarks").glob("[!_]*.py"))
NOT_INSTALLED = ("playwright", "triton", "optuna", "ray", "pytest")  # by `pip install -e ".[app]"`
CALL_EACH = """
import runpy, sys
from pathlib import Path
root, hidden, *paths = sys.argv[1:]
sys.path.append(root)
for name in hidden.split():
    sys.modules[name] = None
for path in paths:
    sys.path[0], sys.argv = str(Path(path).parent), [path, "--help"]
    print(">>>", path, flush=True)
    try:
        runpy.run_path(path, run_name="__main__")
    except SystemExit as end:
        assert not end.code, end
    else:
        raise AssertionError(f"{path} --help set to work")
"""


def test_each_says_how_to_use_it(tmp_path: Path) -> None:
    """One process calls them all: importing torch takes longer than all else."""
    paths = list(map(str, BENCHMARKS))
    call = [sys.executable, "-c", CALL_EACH, str(ROOT), " ".join(NOT_INSTALLED), *paths]
    done = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    parts = done.stdout.split(">>> ")[1:]
    assert [part.partition("\n")[0] for part in parts] == paths
    for path, part in zip(BENCHMARKS, parts, strict=True):
        assert part.partition("\n")[2].startswith(f"usage: {path.name}"), part


def test_there_are_benchmarks() -> None:
    assert len(BENCHMARKS) >= 9
