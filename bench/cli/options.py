"""Options that several commands share."""

from typing import Annotated

import typer

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
Model = Annotated[str, typer.Option("--model", "-m", help="A name that `bench models` lists, or a path to a .py file.")]
TaskFilter = Annotated[str | None, typer.Option("--task", "-t", help="Only this task.")]
ModelFilter = Annotated[str | None, typer.Option("--model", "-m", help="Only this model.")]
