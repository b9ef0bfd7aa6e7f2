"""`bench db`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli.options import Db, Json, ModelFilter
from bench.cli.output import left_out, print_json, stderr
from bench.common.kept_answers import sqlite_stamps
from bench.common.text import counted

if TYPE_CHECKING:
    from bench.publishing.import_published import FileOutcome
    from db.store import Store

app = typer.Typer(help="The results database.", no_args_is_help=True)

UPGRADE_EPILOG = """Example:

  python -m bench db upgrade --db my.sqlite
"""
IMPORT_EPILOG = """Example:

  python -m bench db import out other.json
"""
EXPORT_EPILOG = """Examples:

  python -m bench db export

  python -m bench db export out --model fru
"""


def open_store(db: str | None) -> "Store":
    """Open the database for a command that writes: bring it up to date, add published results, name damaged files."""
    from bench.publishing import import_published

    store, outcomes = import_published.open_store(db)
    for outcome in outcomes:
        if outcome.problem:
            left_out(outcome.problem)
    if added := sum(outcome.added for outcome in outcomes):
        stderr.print(f"{counted(added, 'published run')} added to {store}.", markup=False)
    if trials := sum(outcome.trials for outcome in outcomes):
        stderr.print(f"{counted(trials, 'published trial')} added to {store}.", markup=False)
    return store


def open_to_show(db: str | None) -> "Store":
    """Open the database read-only, as it is. The project's own is made if it does not exist yet."""
    from db import engine
    from db.store import Store

    if db is None and not engine.DEFAULT_PATH.exists():
        open_store(None)
    return Store(db, read_only=True)


def state_of(store: "Store") -> list[Any]:
    """Return what changes with the content of a database, and where another takes the place of its file."""
    return [store.version(), store.path and sqlite_stamps(store.path)]


def open_as_far_as_allowed(db: str | None) -> "Store":
    """Open the database as `open_store` does, or as it is if it can't be written."""
    from db.errors import ReadOnlyError
    from db.store import Store

    try:
        return open_store(db)
    except ReadOnlyError:
        return Store(db, read_only=True)


@app.command(epilog=UPGRADE_EPILOG)
def upgrade(db: Db = None) -> None:
    """Create the database or bring schema and published results up to date. Commands that write do this themselves."""
    store = open_store(db)
    stderr.print(f"{store}: {'brought up to date' if store.was_upgraded else 'is up to date'}.", markup=False)


@app.command("import", epilog=IMPORT_EPILOG)
def import_(
    places: Annotated[list[Path], typer.Argument(help="Files that `bench db export` wrote, or folders of them.")],
    db: Db = None,
    as_json: Json = False,
) -> int:
    """Add the results of text files; existing results are left alone. Exit code 2 if a file is damaged."""
    from bench.publishing.import_published import import_files

    outcomes = []
    for outcome in import_files(open_store(db), places):
        outcomes.append(outcome)
        _tell(outcome)
    added, damaged = sum(outcome.added for outcome in outcomes), [each for each in outcomes if each.problem]
    trials = sum(outcome.trials for outcome in outcomes)
    if as_json:
        print_json({"files": len(outcomes), "added": added, "trials": trials,
                    "damaged": [{"file": str(each.path), "problem": each.problem} for each in damaged]})  # fmt: skip
    else:
        studied = f"{counted(trials, 'trial')} added, " if trials else ""
        print(
            f"{counted(len(outcomes), 'file')}: {counted(added, 'run')} added, {studied}"
            f"{counted(len(damaged), 'file')} damaged."
        )
    return 2 if damaged else 0


@app.command(epilog=EXPORT_EPILOG)
def export(
    folder: Annotated[Path | None, typer.Argument(help="Folder to write to.", show_default="db/published")] = None,
    model: ModelFilter = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Write the results of every suite as text, a file for each entry, and the rankings that follow from them."""
    from bench.publishing.export import export as write
    from bench.publishing.import_published import PUBLISHED

    folder = folder or PUBLISHED
    paths = [str(path) for path in write(open_store(db), folder, model=model)]
    if as_json:
        print_json(paths)
    else:
        print(f"{counted(len(paths), 'file')} in {folder}. `git diff` shows what is new.")


def _tell(outcome: "FileOutcome") -> None:
    if outcome.problem:
        left_out(outcome.problem)
    elif outcome.added:
        stderr.print(f"{outcome.path}: {counted(outcome.added, 'run')} added", markup=False)
    elif outcome.trials:
        stderr.print(f"{outcome.path}: {counted(outcome.trials, 'trial')} added", markup=False)
