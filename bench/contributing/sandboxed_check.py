"""Checking a model file that nobody trusts: `bench check MODEL.py --sandbox`.

The file is never imported here. A sandbox (`sandbox.py`) runs it on the training and validation samples of a task and
on its test inputs; what it predicts comes back as a file of numbers, and is graded here, where the answers are.
"""

import io
import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import sklearn
from torch import Tensor

from bench.catalog.registry import find_task
from bench.common.errors import RequestError
from bench.common.root import ROOT
from bench.contributing import inside_sandbox
from bench.contributing.rules import RULES, BrokenRule
from bench.contributing.sandbox import Limits, Outcome, check_available, confine, printable
from datamodules._base import SequenceDataModule
from datamodules._spec import TUNING_SPLITS

LARGEST_FILE = 2**20  # bytes of a model's file
LARGEST_ANSWER = 2**18  # bytes that are read of the report, and of the predictions
PACKAGES = ("bench", "models", "datamodules", "db")
HIDDEN = (Path(sklearn.__file__).parent / "datasets" / "data",)
"""Folders of installed packages that contain the task's answers."""
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1", "NUMBA_CACHE_DIR": "/tmp/numba",  # noqa: S108
               "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": "/project"}  # fmt: skip


@dataclass(frozen=True)
class CheckReport:
    """The result of checking a stranger's file."""

    findings: dict[str, BrokenRule | None]
    """The finding of each check, as the code under test itself reports it, in printable characters."""
    problem: str | None
    """Why the file can't be trusted or graded: a limit exceeded, a crash, checks left out, no predictions."""
    log: str
    """The end of what it printed."""
    metric: str
    value: float | None
    """The metric on the test split, computed here."""

    @property
    def passed(self) -> bool:
        return self.problem is None and not any(self.findings.values())


def check_stranger(path: Path, seconds: float) -> CheckReport:
    """Check a model file in the sandbox.

    Args:
        seconds: after which the check is ended.

    Raises:
        RequestError: there is no .py file of at most LARGEST_FILE bytes, or programs can't be confined here.
    """
    if path.suffix != ".py" or not path.is_file() or path.stat().st_size > LARGEST_FILE:
        raise RequestError(f"{str(path)!r} is not a .py file of at most {LARGEST_FILE // 2**20} MiB.")
    check_available()
    task = find_task(inside_sandbox.TASK).build()
    with TemporaryDirectory(prefix="bench-") as folder:
        outcome, report, predictions = _run(path, task, Path(folder), Limits(seconds=seconds))
    findings, value, problem = read_report(report), None, outcome.problem
    if problem is None:
        try:
            if findings.keys() != {*RULES, inside_sandbox.TRAINING}:
                raise ValueError("it did not go through all checks")
            value = grade(predictions, task.split("test").y)
        except ValueError as error:
            problem = str(error)
    return CheckReport(findings, problem, outcome.log, task.spec.metric, value)


def _run(path: Path, task: SequenceDataModule, folder: Path, limits: Limits) -> tuple[Outcome, bytes, bytes]:
    """Run the file in the sandbox. Return how that ended, the report and the predictions."""
    project, model, data = folder / "project", folder / path.name, folder / inside_sandbox.DATA.name
    report, predictions = folder / inside_sandbox.REPORT.name, folder / inside_sandbox.PREDICTIONS.name
    for package in PACKAGES:
        shutil.copytree(ROOT / package, project / package, ignore=_all_but_code)
    shutil.copy(path, model)
    np.savez(data, **_arrays(task))
    report.touch()
    predictions.touch()
    outcome = confine(
        [sys.executable, "-m", "bench.contributing.inside_sandbox", f"/model/{path.name}"],
        readable={"/project": project, f"/model/{path.name}": model, str(inside_sandbox.DATA): data},
        writable={str(inside_sandbox.REPORT): report, str(inside_sandbox.PREDICTIONS): predictions},
        hidden=HIDDEN, environment=ENVIRONMENT, limits=limits,
    )  # fmt: skip
    return outcome, _head(report), _head(predictions)


def _all_but_code(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if not name.endswith(".py") and not (Path(folder, name) / "__init__.py").exists()]


def _arrays(task: SequenceDataModule) -> dict[str, Any]:
    """Training and validation samples, and the inputs of the test split without its answers."""
    arrays = {f"{split}_{part}": getattr(task.split(split), part) for split in TUNING_SPLITS for part in "xy"}
    return {name: tensor.numpy() for name, tensor in (arrays | {"test_x": task.split("test").x}).items()}


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(LARGEST_ANSWER)


def read_report(report: bytes) -> dict[str, BrokenRule | None]:
    """Read the finding of each check. Skip lines that are no findings."""
    findings: dict[str, BrokenRule | None] = {}
    for line in report.splitlines():
        try:
            name, problem, mend = json.loads(line)
        except (ValueError, TypeError, RecursionError):
            continue
        if name in (*RULES, inside_sandbox.TRAINING):
            findings[name] = (
                None if problem is None else BrokenRule(name, *(printable(str(text)) for text in (problem, mend)))
            )
    return findings


def grade(predictions: bytes, answers: Tensor) -> float:
    """Compute the accuracy of predicted classes.

    Args:
        predictions: a file in NumPy's format, of the shape and the integer type of `answers`.

    Raises:
        ValueError: `predictions` is no such file.
    """
    expected = io.BytesIO()
    np.save(expected, answers.numpy())
    header = expected.getvalue()[: -answers.nbytes]  # compared, not parsed: nothing in it can mislead a reader
    if len(predictions) != len(header) + answers.nbytes or not predictions.startswith(header):
        raise ValueError(f"it left no predictions: {len(answers)} whole numbers in NumPy's format are expected")
    given = np.load(io.BytesIO(predictions), allow_pickle=False)
    return float((given == answers.numpy()).mean())
