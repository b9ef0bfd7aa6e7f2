"""`bench db`."""

import typer

from bench.cli.options import Db
from bench.cli.output import stderr

app = typer.Typer(help="The results database.", no_args_is_help=True)


@app.callback()
def commands() -> None:
    """The results database."""


@app.command()
def upgrade(db: Db = None) -> None:
    """Create the database or bring its schema up to date. Other commands that write do this by themselves."""
    from db.store import Store

    store = Store(db)
    stderr.print(f"{store}: {'brought up to date' if store.was_upgraded else 'is up to date'}.")
