"""Options that several commands share."""

import math
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.catalog.names import model_file
from bench.catalog.task_names import check_task
from bench.catalog.tiers import TIERS
from bench.common.errors import RequestError

if TYPE_CHECKING:
    from bench.catalog.suites import Suite

DEFAULT_SUITE = "quick-v2"  # and its first tier, 10k
UNITS = {"s": 1, "m": 60, "h": 3600}


def known_model(text: str | None) -> str | None:
    """Refuse the name of an architecture that does not exist, before a command imports torch."""
    if text is not None and not text.endswith(".py"):
        model_file(text)
    return text


def known_models(text: str | None) -> str | None:
    """Refuse names, with commas between them, of architectures that do not exist. "all" is no name."""
    if text not in (None, "all"):
        for name in text.split(","):
            known_model(name.strip())
    return text


def known_task(text: str | None) -> str | None:
    """Refuse the name of a task that does not exist."""
    if text is not None and ".py" not in text:
        check_task(text)
    return text


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
SomeModels = Annotated[
    str, typer.Option("--models", help="Names or paths to .py files, with commas; or all.", callback=known_models)
]
A_SUITE = "A name that `bench suites` lists, or a path to a .toml file."
A_MODEL = typer.Option(
    "--model", "-m", help="A name that `bench models` lists, or a path to a .py file.", callback=known_model
)
A_TASK = typer.Option("--task", "-t", help="A task's name, or a path to a .py file.", callback=known_task)
Model = Annotated[str, A_MODEL]
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


def moment(text: str | None) -> datetime | None:
    """Return the moment that a date names, such as 2026-01-31 or 2026-01-31T12:00, in UTC unless it says otherwise.

    Raises:
        RequestError: it has another form.
    """
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise RequestError(f"{text!r} is not a date: give one such as 2026-01-31 or 2026-01-31T12:00.") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


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
