"""Checking a model's or a task's file that nobody trusts: `bench check FILE.py --sandbox`.

The file is never imported here. A sandbox (`sandbox.py`) runs it on the training and validation samples of a task and
on its test inputs; what a model predicts comes back as a file of numbers, and is graded here, where the answers are.
Whether the file defines a model or a task is known inside only: the names in the report tell.
"""

import io
import json
import re
import shutil
import site
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import sklearn
from torch import Tensor

from bench.catalog.registry import find_task
from bench.common.errors import RequestError
from bench.common.root import ROOT
from bench.common.text import one_line
from bench.contributing import inside_sandbox
from bench.contributing.inside_sandbox import IMPORT, TRAINING
from bench.contributing.rules import RULES, BrokenRule
from bench.contributing.sandbox import Limits, Outcome, check_available, confine, printable
from bench.contributing.task_rules import TASK_RULES
from datamodules._base import SequenceDataModule
from datamodules._spec import TUNING_SPLITS

LARGEST_FILE = 2**20  # bytes of the file
LARGEST_ANSWER = 2**18  # bytes that are read of the report, and of the predictions
PACKAGES = ("bench", "models", "datamodules", "db")
HIDDEN = (Path(sklearn.__file__).parent / "datasets" / "data",)
"""Folders of installed packages that contain the task's answers."""
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1", "NUMBA_CACHE_DIR": "/tmp/numba",  # noqa: S108
               "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": "/project", "PYTHONSAFEPATH": "1",
               "PYTHONUSERBASE": site.getuserbase()}  # fmt: skip
MODEL_REPORT, TASK_REPORT = {IMPORT, *RULES, TRAINING}, {IMPORT, *TASK_RULES}
"""The names in a whole report."""
SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class CheckReport:
    """The result of checking a stranger's file."""

    kind: Literal["model", "task"]
    """What the file says that it defines; "model" where it says nothing."""

    findings: dict[str, BrokenRule | None]
    """The finding of each check, as the code under test itself reports it, in printable characters."""
    problem: str | None
    """Why the file can't be trusted or graded: a limit exceeded, a crash, checks left out, no predictions."""
    log: str
    """The end of what it printed."""
    metric: str
    value: float | None
    """A model's metric on the test split, computed here."""
    splits: dict[str, str]
    """A task's splits and their hashes, as the file reports them."""

    @property
    def passed(self) -> bool:
        return self.problem is None and not any(self.findings.values())

    @property
    def verdict(self) -> str:
        """Say in one line why the file did not pass."""
        broken = [name for name, finding in self.findings.items() if finding]
        return one_line(self.problem or f"it breaks {', '.join(broken)}", 400)


def check_stranger(path: Path, seconds: float) -> CheckReport:
    """Check a model's or a task's file in the sandbox.

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
    kind: Literal["model", "task"] = "task" if findings.keys() == TASK_REPORT else "model"
    if problem is None:
        try:
            _check_whole(findings)
            value = grade(predictions, task.split("test").y) if kind == "model" else None
        except ValueError as error:
            problem = str(error)
    return CheckReport(kind, findings, problem, outcome.log, task.spec.metric, value, read_splits(report))


def _check_whole(findings: Mapping[str, BrokenRule | None]) -> None:
    """Check that every rule is in the report.

    Raises:
        ValueError: some are not.
    """
    for last in (IMPORT, TRAINING):  # the steps after which nothing follows if they fail
        if finding := findings.get(last):
            raise ValueError(finding.problem)
    if findings.keys() not in (MODEL_REPORT, TASK_REPORT):
        raise ValueError("it did not go through all checks")


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
        [sys.executable, "-P", "-m", "bench.contributing.inside_sandbox", f"/model/{path.name}"],
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
        if name in (*MODEL_REPORT, *TASK_REPORT):
            findings[name] = (
                None if problem is None else BrokenRule(name, *(printable(str(text)) for text in (problem, mend)))
            )
    return findings


def read_splits(report: bytes) -> dict[str, str]:
    """Read the hashes of a task's splits: the first line that is an object with "splits". Skip what is no SHA-256."""
    for line in report.splitlines():
        try:
            hashes = json.loads(line)["splits"].items()
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
            continue
        return {one_line(name): found for name, found in hashes if isinstance(found, str) and SHA256.fullmatch(found)}
    return {}


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
