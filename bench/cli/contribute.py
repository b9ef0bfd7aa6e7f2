"""Contributing an architecture: `bench new-model` and `bench check`."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.options import Json, seconds
from bench.cli.output import print_json, stderr
from bench.common.text import metric_text

if TYPE_CHECKING:
    from bench.contributing.rules import BrokenRule

NEW_MODEL_EPILOG = """Example:

  python -m bench new-model my-rnn
"""
CHECK_EPILOG = """Examples:

  python -m bench check models/my_rnn.py

  python -m bench check stranger.py --sandbox --time-limit 5m
"""


def new_model(name: Annotated[str, typer.Argument(help="The model's name, such as my-rnn.")]) -> None:
    """Write a commented, working model file to start from."""
    from bench.contributing.template import write_model

    path = write_model(name)
    stderr.print(f"Wrote {path}. Next:", markup=False)
    for command in ("check", "run --model"):
        stderr.print(f"  python -m bench {command} {path}", markup=False)


def check(
    model: Annotated[str, typer.Argument(help="A path to a .py file, or a model's name.")],
    sandbox: Annotated[
        bool, typer.Option("--sandbox", help="Run a stranger's file in a sandbox (bubblewrap).")
    ] = False,
    time_limit: Annotated[str, typer.Option(help="With --sandbox: kill it after this long: 90s, 30m.")] = "10m",
    as_json: Json = False,
) -> int:
    """Check a model against the contract, and say how to mend what fails. Exit code 1 if anything fails.

    With --sandbox the file has no network, no files and no test labels. It also trains for a moment, and its
    predictions are graded outside.
    """
    if sandbox:
        return _check_stranger(model, time_limit, as_json=as_json)
    from bench.catalog.registry import find_model_or_file
    from bench.contributing.rules import check_model

    findings: dict[str, BrokenRule | None] = {}
    for name, finding in check_model(find_model_or_file(model).cls):
        findings[name] = finding
        _tell(name, finding)
    failed = [asdict(finding) for finding in findings.values() if finding]
    if as_json:
        print_json({"model": model, "passed": not failed, "findings": failed})
    elif not failed:
        print(f"{model} keeps the contract.")
    return 1 if failed else 0


def _check_stranger(model: str, time_limit: str, *, as_json: bool) -> int:
    from bench.contributing.sandboxed_check import check_stranger

    report = check_stranger(Path(model), seconds(time_limit))
    for name, finding in report.findings.items():
        _tell(name, finding)
    if report.problem:
        stderr.print(f"  {report.problem}. The end of its output:\n{report.log}", markup=False)
    if as_json:
        failed = [asdict(finding) for finding in report.findings.values() if finding]
        print_json({"model": model, "passed": report.passed, "findings": failed, "problem": report.problem,
                    "metric": {"name": report.metric, "value": report.value}})  # fmt: skip
    elif report.passed:
        value = metric_text(report.metric, report.value)
        print(f"{model} says that it keeps the contract. Graded outside: test {report.metric} {value}.")
    return 0 if report.passed else 1


def _tell(name: str, finding: "BrokenRule | None") -> None:
    stderr.print(f"  {'ok    ' if finding is None else 'FAILED'}  {name}", markup=False)
    if finding is not None:
        stderr.print(f"          {finding.problem}\n          {finding.mend}", markup=False)
