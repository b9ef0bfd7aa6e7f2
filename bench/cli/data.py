"""`bench data`."""

from typing import Annotated

import typer

from bench.cli.options import Csv, DataDir, Json
from bench.cli.output import field, number, print_rows, stderr

app = typer.Typer(help="The data of the tasks.", no_args_is_help=True)

FETCH_EPILOG = """Example:

  python -m bench data fetch fashion adding-200
"""
CHECK_EPILOG = """Examples:

  python -m bench data check

  python -m bench data check fashion adding-200
"""

Names = Annotated[list[str], typer.Argument(help="Tasks that `bench tasks` lists.")]
AnyNames = Annotated[list[str] | None, typer.Argument(help="Tasks that `bench tasks` lists; all unless given.")]


@app.command(epilog=FETCH_EPILOG)
def fetch(names: Names, data_dir: DataDir = None, as_json: Json = False, as_csv: Csv = False) -> None:
    """Download, verify and generate the data of tasks in advance, for machines without a network."""
    from bench.catalog import prefetch

    rows = []
    for row in prefetch.fetch(names, data_dir):
        stderr.print(f"{row['name']}: ready after {row['seconds']} s", markup=False)
        rows.append(row)
    columns = {"task": field("name"), "seconds": number("seconds"), "test split": lambda row: row["splits"]["test"]}
    print_rows(rows, columns, as_json=as_json, as_csv=as_csv, empty="Nothing asked for.")


@app.command(epilog=CHECK_EPILOG)
def check(names: AnyNames = None, data_dir: DataDir = None, as_json: Json = False, as_csv: Csv = False) -> int:
    """Compare the data on this machine with its hashes. Exit code 2 if any is damaged."""
    from bench.catalog import prefetch

    rows = list(prefetch.check(names or [], data_dir))
    columns = {"task": field("name"), "data": field("status"), "problem": field("problem")}
    print_rows(rows, columns, as_json=as_json, as_csv=as_csv, empty="No tasks.")
    return 2 if any(row["status"] == "damaged" for row in rows) else 0
