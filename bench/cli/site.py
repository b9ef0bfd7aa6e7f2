"""`bench site`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from bench.cli.database import open_as_far_as_allowed
from bench.cli.options import Db
from bench.cli.output import stderr
from bench.common.text import counted

if TYPE_CHECKING:
    from db.store import Store

EPILOG = """Examples:

  python -m bench site out

  python -m http.server --directory out

  python -m bench site --against main
"""


def site(
    folder: Annotated[
        Path | None, typer.Argument(metavar="[OUT]", help="Folder to write to; other files there stay.")
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            help="Print as Markdown which rows and ranks move compared with a commit's published rankings, or with a "
            "saved leaderboard.json."
        ),
    ] = None,
    db: Db = None,
) -> None:
    """Write the leaderboard as static pages, for any web host: no server and no Python is needed to read them."""
    from bench.common.errors import RequestError

    if folder is None and against is None:
        raise RequestError("give OUT, a folder to write the pages to, or --against, a commit or a leaderboard.json.")
    store = open_as_far_as_allowed(db)
    if folder is not None:
        _write(store, folder)
    if against is not None:
        _print_changes(store, against)


def _write(store: "Store", folder: Path) -> None:
    from bench.common.errors import require

    for package in ("streamlit", "altair", "vl_convert"):
        require(package, "app")
    from leaderboard_app.site.build import build

    with stderr.status("Reading the results …") as status:
        count = build(store, folder, lambda path: status.update(f"Writing {escape(path)}"))
    told = f"{counted(count, 'file')} in {folder}. To look at them: python -m http.server --directory {folder}"
    stderr.print(told, markup=False)


def _print_changes(store: "Store", against: str) -> None:
    from bench.publishing.board_changes import boards_before, changes
    from bench.reports.leaderboard_document import leaderboard_document

    after = leaderboard_document(store.runs(), store.standing())["boards"]
    print(changes(boards_before(against), after, against), end="")
