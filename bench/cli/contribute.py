"""Contributing an architecture: `bench new-model` and `bench check`."""

from typing import Annotated

import typer

from bench.cli.options import Json
from bench.cli.output import print_json, stderr


def new_model(name: Annotated[str, typer.Argument(help="The model's name, such as my-rnn.")]) -> None:
    """Write a commented, working model file to start from."""
    from bench.scaffold import write_model

    path = write_model(name)
    stderr.print(f"Wrote {path}. Next:", markup=False)
    for command in ("check", "run --model"):
        stderr.print(f"  python -m bench {command} {path}", markup=False)


def check(
    model: Annotated[str, typer.Argument(help="A path to a .py file, or a model's name.")], as_json: Json = False
) -> int:
    """Check a model against the contract, and say how to mend what fails. Exit code 1 if anything does."""
    from dataclasses import asdict

    from bench.contract import check_model
    from bench.registry import find_model_or_file

    findings = []
    for name, finding in check_model(find_model_or_file(model).cls):
        stderr.print(f"  {'ok    ' if finding is None else 'FAILED'}  {name}", markup=False)
        if finding is not None:
            findings.append(asdict(finding))
            stderr.print(f"          {finding.problem}\n          {finding.mend}", markup=False)
    if as_json:
        print_json({"model": model, "passed": not findings, "findings": findings})
    elif not findings:
        print(f"{model} keeps the contract.")
    return 1 if findings else 0
