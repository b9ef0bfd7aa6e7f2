"""Contributing an architecture or a task: `bench new-model`, `bench new-task` and `bench check`."""

from dataclasses import asdict
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli.options import Json, seconds
from bench.cli.output import Cells, field, number, print_json, print_table, stderr
from bench.common.errors import RequestError
from bench.common.text import metric_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bench.contributing.rules import BrokenRule
    from datamodules._base import SequenceDataModule

NEW_MODEL_EPILOG = """Example:

  python -m bench new-model my-rnn
"""
NEW_TASK_EPILOG = """Example:

  python -m bench new-task my-task
"""
CHECK_EPILOG = """Examples:

  python -m bench check models/my_rnn.py

  python -m bench check datamodules/my_task.py

  python -m bench check --task adding-200

  python -m bench check --task my_task.py:my-task-256

  python -m bench check stranger.py --sandbox --time-limit 5m
"""


def new_model(name: Annotated[str, typer.Argument(help="The model's name, such as my-rnn.")]) -> None:
    """Write a commented, working model file to start from."""
    from bench.contributing.drafts import write_model

    _say_next(write_model(name), "check", "run --model")


def new_task(name: Annotated[str, typer.Argument(help="The task's name, such as my-task.")]) -> None:
    """Write a commented, working task file to start from: a synthetic memory task."""
    from bench.contributing.drafts import write_task

    _say_next(write_task(name), "check", "check --task", "run --model gru --task")


def _say_next(path: Path, *commands: str) -> None:
    stderr.print(f"Wrote {path}. Next:", markup=False)
    for command in commands:
        stderr.print(f"  python -m bench {command} {quote(str(path))}", markup=False)


def check(
    file: Annotated[str | None, typer.Argument(help="A path to a .py file, or a model's name.")] = None,
    task: Annotated[
        str | None,
        typer.Option(help="A task's name or FILE.py: also show what predictors without a memory of order reach."),
    ] = None,
    sandbox: Annotated[
        bool, typer.Option("--sandbox", help="Run a stranger's file in a sandbox (bubblewrap).")
    ] = False,
    time_limit: Annotated[str, typer.Option(help="With --sandbox: kill it after this long: 90s, 30m.")] = "10m",
    as_json: Json = False,
) -> int:
    """Check a model or a task against the contract, and say how to mend what fails. Exit code 1 if anything fails.

    A task is checked on its tiny variants, and the hash of each split is printed. With --task NAME or --task
    FILE.py[:VARIANT], predictors that remember no order are fitted to a generated task. None may beat the task's 0
    points, unless the task says so.

    With --sandbox the file has no network, no files and no test labels. A model also trains for a moment, and its
    predictions are graded outside.
    """
    if (file is None) == (task is None):
        raise RequestError("give either a file (or a model's name) or --task with a task's name or FILE.py")
    if task is not None:
        return _check_task(task, as_json=as_json)
    assert file is not None
    if sandbox:
        return _check_stranger(file, time_limit, as_json=as_json)
    from bench.catalog.registry import FoundModel, find_contribution
    from bench.contributing.rules import check_model
    from bench.contributing.task_rules import check_task, split_hashes

    found = find_contribution(file)
    if isinstance(found, FoundModel):
        failed, hashes = _broken(check_model(found.cls)), {}
        document = {"model": file, "passed": not failed, "findings": failed}
    else:
        failed = _broken(check_task(found))
        hashes = {} if failed else split_hashes(found)
        document = {"task": file, "passed": not failed, "findings": failed, "splits": hashes}
    if as_json:
        print_json(document)
    elif not failed:
        _print_splits(hashes)
        print(f"{file} keeps {'the contract' if isinstance(found, FoundModel) else 'the rules of a task'}.")
    return 1 if failed else 0


SHORTCUTS: Cells = {
    "predictor": field("name"),
    "value": lambda row: f"{row['value']:.4g}",
    "±": number("error", ".2g"),
    "score": number("score", ".1f"),
    "declared": number("declared"),
    "": lambda row: "TOO GOOD" if row["too_good"] else "",
}


def _check_task(name: str, *, as_json: bool) -> int:
    from bench.catalog.registry import find_task_or_file
    from bench.contributing.task_rules import check_task

    found = find_task_or_file(name)
    failed = _broken(check_task(found.cls))
    reached = [] if failed else _shortcuts(found.build())
    too_good = [each["name"] for each in reached if each["too_good"]]
    passed = not failed and not too_good
    if as_json:
        print_json({"task": found.name, "passed": passed, "findings": failed, "shortcuts": reached})
    elif reached:
        print_table(reached, SHORTCUTS)
    if too_good:
        stderr.print(
            f"{found.name} has 0 points at what remembers no order, but {', '.join(too_good)} reaches more. Raise "
            "`chance`, change the task, or state the score in its `shortcuts`.",
            markup=False,
        )
    elif passed and not as_json:
        print(f"{found.name} keeps the rules of a task.")
    return 0 if passed else 1


def _shortcuts(task: "SequenceDataModule") -> "list[dict[str, Any]]":
    """Return what each predictor reaches; nothing for a task that is not generated."""
    from bench.contributing.shortcuts import shortcuts
    from datamodules._generated import GeneratedTask

    return [each.row() for each in shortcuts(task)] if isinstance(task, GeneratedTask) else []


def _broken(findings: "Iterable[tuple[str, BrokenRule | None]]") -> "list[dict[str, str]]":
    """Tell each finding as soon as it is there, and return those that failed."""
    failed = []
    for name, finding in findings:
        _tell(name, finding)
        if finding:
            failed.append(asdict(finding))
    return failed


def _check_stranger(file: str, time_limit: str, *, as_json: bool) -> int:
    from bench.contributing.sandboxed_check import check_stranger

    report = check_stranger(Path(file), seconds(time_limit))
    for name, finding in report.findings.items():
        _tell(name, finding)
    if report.problem and report.log:
        stderr.print(f"  The end of its output:\n{report.log}", markup=False)
    if as_json:
        failed = [asdict(finding) for finding in report.findings.values() if finding]
        document = {report.kind: file, "passed": report.passed, "findings": failed, "problem": report.problem}
        graded = {"metric": {"name": report.metric, "value": report.value}}
        print_json(document | (graded if report.kind == "model" else {"splits": report.splits}))
    elif report.passed and report.kind == "model":
        value = metric_text(report.metric, report.value)
        print(f"{file} says that it keeps the contract. Graded outside: test {report.metric} {value}.")
    elif report.passed:
        _print_splits(report.splits)
        print(f"{file} says that it is a task and keeps the rules of one.")
    if not report.passed:
        stderr.print(f"{file} did not pass: {report.verdict}", markup=False, soft_wrap=True)
    return 0 if report.passed else 1


def _print_splits(splits: "Mapping[str, str]") -> None:
    for name, found in splits.items():
        print(f"  {name}  {found}")


def _tell(name: str, finding: "BrokenRule | None") -> None:
    stderr.print(f"  {'ok    ' if finding is None else 'FAILED'}  {name}", markup=False)
    for line in filter(None, (finding.problem, finding.mend) if finding else ()):
        stderr.print(f"          {line}", markup=False)
