"""Options that several commands share."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.catalog.tiers import TIERS
from bench.common.errors import RequestError

if TYPE_CHECKING:
    from bench.catalog.suites import Suite

UNITS = {"s": 1, "m": 60, "h": 3600}

Db = Annotated[
    str | None,
    typer.Option(
        "--db", envvar="BENCH_DB", help="Database: a path or a SQLAlchemy URL.", show_default="db/leaderboard.sqlite"
    ),
]
DataDir = Annotated[
    str | None, typer.Option(envvar="BENCH_DATA_DIR", help="Where files of data sets are looked for first.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Csv = Annotated[bool, typer.Option("--csv", help="Print CSV on stdout.")]
Latex = Annotated[bool, typer.Option("--latex", help="Print a LaTeX table on stdout.")]
A_SUITE = "A name that `bench suites` lists, or a path to a .toml file."
Model = Annotated[str, typer.Option("--model", "-m", help="A name that `bench models` lists, or a path to a .py file.")]
TaskFilter = Annotated[str | None, typer.Option("--task", "-t", help="Only this task.")]
ModelFilter = Annotated[str | None, typer.Option("--model", "-m", help="Only this model.")]
TIER_NAMES = " or ".join([", ".join([*TIERS][:-1]), [*TIERS][-1]])
Budget = Annotated[str | None, typer.Option(help=f"Fit the model to {TIER_NAMES} parameters.")]
OwnWrapper = Annotated[str | None, typer.Option("--wrapper", help="plain or residual.", show_default="the paper's")]
Block = Annotated[str, typer.Option("--wrapper", help="residual, the same block for all; or plain.")]


def given_suite(text: str) -> "Suite":
    """Return the suite of that name, or the one that a path to a `.toml` file describes.

    Raises:
        RequestError: there is none, or the file says something that is not legal.
    """
    if text.endswith(".toml"):
        from bench.catalog.suite_file import read_suite  # this imports torch

        return read_suite(Path(text))
    from bench.catalog.suites import find_suite

    return find_suite(text)


def seconds(text: str | None) -> float:
    """Return a length of time such as 90s, 30m or 2h in seconds; infinity for None.

    Raises:
        RequestError: it has another form, is negative or is infinite.
    """
    if text is None:
        return math.inf
    try:
        length = float(text[:-1]) * UNITS[text[-1:]]
    except (KeyError, ValueError):
        length = math.nan
    if not 0 <= length < math.inf:
        raise RequestError(
            f"{text!r} is not a length of time: give a number, zero or more, and s, m or h, such as 90s or 2h."
        )
    return length
