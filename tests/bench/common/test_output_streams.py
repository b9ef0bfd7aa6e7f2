"""A stream that can't be written decides nothing about a command; output that is lost is said."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import DIVERGING, QUICK, ROOT, Bench

FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full")


def start(*words: str, closed: int | None = None, cwd: Path | None = None, **streams: object) -> subprocess.Popen[str]:
    """`python -m bench …`, with a standard stream closed."""
    before: Callable[[], None] | None = None if closed is None else lambda: os.close(closed)
    command = [sys.executable, "-m", "bench", *words]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, env=environment, cwd=cwd, text=True, preexec_fn=before, **streams)  # type: ignore[call-overload]


@needs_full
@pytest.mark.parametrize("words", [("suites",), ("suites", "--json"), ("suites", "--csv"), ("--help",)])
def test_a_full_disk_behind_stdout(words: tuple[str, ...]) -> None:
    with FULL.open("w") as full:
        _, said = (process := start(*words, stdout=full, stderr=subprocess.PIPE)).communicate()
    assert said.startswith("bench: stdout can't be written: No space left on device.")
    assert "Traceback" not in said
    assert process.returncode == 2


@needs_full
def test_a_full_disk_behind_stderr() -> None:
    with FULL.open("w") as full:
        said, _ = (
            process := start("show", "none", "--db", "absent.sqlite", stdout=subprocess.PIPE, stderr=full)
        ).communicate()
    assert (process.returncode, said) == (2, "")


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_goes_away_changes_nothing(unbuffered: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    reader, writer = os.pipe()
    os.close(reader)
    _, said = (process := start("suites", stdout=writer, stderr=subprocess.PIPE)).communicate()
    os.close(writer)
    assert (process.returncode, said) == (0, "")


@pytest.mark.parametrize("closed", [0, 1, 2])
def test_a_closed_stream(closed: int, tmp_path: Path) -> None:
    """The next file that is opened would take its number, and then get what is printed."""
    process = start("db", "upgrade", "--db", "board.sqlite", closed=closed, cwd=tmp_path,
                    stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip
    printed, said = process.communicate()
    assert (process.returncode, printed) == (0, "")
    assert ("brought up to date" in said) == (closed != 2)


@pytest.mark.slow
@pytest.mark.parametrize(("words", "code"), [(("rnn", *QUICK), 0), (("fru", *DIVERGING), 1)])
def test_a_run_whose_reader_goes_away_keeps_its_exit_code(bench: Bench, words: tuple[str, ...], code: int) -> None:
    process = bench.start("run", "--model", *words)
    assert process.stdout is not None
    process.stdout.close()
    said = process.stderr.read() if process.stderr else ""
    assert process.wait() == code, said
    assert len(bench.json("runs")) == 1
