"""Messages that can't be written: closed, their reader went away, their disk is full. A run ends as it would have."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

import pytest

import bench.catalog.suites
from bench.__main__ import main
from db.store import Store
from tests.bench.training.test_suite_runs import TINY
from tests.conftest import QUICK, ROOT, Bench
from tests.support.processes import ended, start
from tests.support.trials import trials_of

Writer = Callable[[str, str], Path]
STDOUT, STDERR = 1, 2
PLACES = ("closed", "read-only", "no reader", "full disk")


def lose(number: int, place: str) -> TextIO | None:
    """Make a file descriptor one that can't be written. Return the stream that Python makes for such a one."""
    if place == "closed":
        os.close(number)
        return None
    if place == "no reader":
        reader, file = os.pipe()
        os.close(reader)
    elif place == "read-only":  # as a script gets it whose shell opened the script in place of a closed stderr
        file = os.open(os.devnull, os.O_RDONLY)
    else:
        file = os.open("/dev/full", os.O_WRONLY)
    os.dup2(file, number)
    os.close(file)
    return open(number, "w", encoding="utf-8", closefd=False)


def run_without(numbers: tuple[int, ...], place: str, bench_: Bench, words: tuple[str, ...]) -> None:
    """`python -m bench …` in this process, which has lost some of its streams."""
    bench.catalog.suites.SUITES["tiny-v1"] = TINY
    os.chdir(bench_.folder)
    os.environ.update(bench_.env)
    sys.argv = ["bench", *words]
    if STDOUT in numbers:
        sys.stdout = sys.__stdout__ = lose(STDOUT, place)
    if STDERR in numbers:
        sys.stderr = sys.__stderr__ = lose(STDERR, place)
    main()


def code_without(numbers: tuple[int, ...], place: str, bench: Bench, *words: str) -> int:
    return ended(start(run_without, numbers, place, bench, words))


def endings(bench: Bench) -> list[tuple[str, str | None]]:
    return [(run.status, run.reason) for run in Store(str(bench.db), read_only=True).runs()]


@pytest.mark.parametrize("place", PLACES)
def test_a_run_without_stderr_finishes(bench: Bench, place: str) -> None:
    assert code_without((STDERR,), place, bench, "run", "--model", "gru", *QUICK) == 0
    assert endings(bench) == [("finished", None)]


@pytest.mark.parametrize("place", PLACES)
def test_a_run_without_stdout_finishes(bench: Bench, place: str) -> None:
    """Only a result that could not be written where it was sent is no success: a reader would find nothing."""
    code = code_without((STDOUT,), place, bench, "run", "--model", "gru", *QUICK)
    assert code == (2 if place in ("full disk", "read-only") else 0)
    assert endings(bench) == [("finished", None)]


TALKATIVE = """
        import sys, warnings
        print("x" * 10_000, flush=True)
        print(self.calls, file=sys.stderr, flush=True)
        warnings.warn(str(self.calls))
"""


@pytest.mark.parametrize("place", PLACES)
def test_a_model_that_prints_is_not_failed_for_it(bench: Bench, write_model: Writer, place: str) -> None:
    path = str(write_model("mine", TALKATIVE))
    code_without((STDOUT, STDERR), place, bench, "run", "--model", path, "--epochs", "1")
    assert endings(bench) == [("finished", None)]


@pytest.mark.parametrize("workers", ["1", pytest.param("2", marks=pytest.mark.slow)])
def test_a_suite_without_stderr_makes_all_its_runs(bench: Bench, workers: str) -> None:
    words = ("suite", "--suite", "tiny-v1", "--models", "gru", "--workers", workers)
    assert code_without((STDERR,), "no reader", bench, *words) == 0
    assert endings(bench) == [("finished", None)] * 2


@pytest.mark.parametrize("place", PLACES)
def test_tuning_without_stderr_loses_no_trial(bench: Bench, place: str) -> None:
    words = ("tune", "--model", "gru", "--set", "max_steps=20", "--set", "hidden_size=4", "--trials", "2")
    assert code_without((STDERR,), place, bench, *words, "--pruner", "none") == 0
    assert [trial.state.name for trial in trials_of(bench)] == ["COMPLETE"] * 2


@pytest.mark.slow
def test_tuning_on_workers_without_stderr_loses_no_trial(bench: Bench) -> None:
    words = ("tune", "--model", "gru", "--set", "max_steps=20", "--set", "hidden_size=4", "--trials", "2")
    assert code_without((STDERR,), "no reader", bench, *words, "--pruner", "none", "--workers", "2") == 0
    assert [trial.state.name for trial in trials_of(bench)] == ["COMPLETE"] * 2


def test_a_comparison_without_stderr_is_whole(bench: Bench) -> None:
    words = ("compare", "gru", "--suite", "tiny-v1", "--trials", "1", "--seeds", "1", "--record")
    assert code_without((STDERR,), "no reader", bench, *words) == 0
    assert endings(bench) == [("finished", None)]


def test_a_probe_without_stderr_is_recorded(bench: Bench) -> None:
    words = ("probe", "--model", "gru", "--task", "digits", "--set", "max_steps=5", "--probes", "gradient-flow")
    assert code_without((STDERR,), "no reader", bench, *words) == 0
    assert [event.kind for event in Store(str(bench.db), read_only=True).events()] == ["probe"]


def shell(bench: Bench, command: str, tail: str) -> "subprocess.CompletedProcess[str]":
    """A command as a user types it, with what the shell is told to do with its streams."""
    env: dict[str, Any] = os.environ | bench.env | {"PYTHONPATH": str(ROOT)}
    script = f"set -o pipefail; {sys.executable} -m bench {command} {tail}"
    return subprocess.run(["bash", "-c", script], env=env, cwd=bench.folder, capture_output=True, text=True)


@pytest.mark.slow
@pytest.mark.parametrize("tail", ["2>&-", ">&-", ">&- 2>&-", "2>/dev/full", "2>&1 | head -1", "2> >(true)", "<&- 2>&-"])
def test_a_shell_that_takes_the_streams_away(bench: Bench, write_model: Writer, tail: str) -> None:
    """The model says more than a pipe holds, so that `head` has gone long before training ends."""
    path = write_model("mine", TALKATIVE)
    done = shell(bench, f"run --model {path} --epochs 3", tail)
    assert done.returncode == 0, done
    assert endings(bench) == [("finished", None)]
