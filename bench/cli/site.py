"""`bench site`."""

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.database import open_as_far_as_allowed
from bench.cli.options import Db
from bench.cli.output import stderr
from bench.common.text import counted

EPILOG = """Examples:

  python -m bench site out

  python -m http.server --directory out
"""


def site(
    folder: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write to; other files there stay.")],
    db: Db = None,
) -> None:
    """Write the leaderboard as static pages, for any web host: no server and no Python is needed to read them."""
    from bench.common.errors import require

    for package in ("streamlit", "altair", "vl_convert"):
        require(package, "app")
    from leaderboard_app.site.build import build

    with stderr.status("Reading the results …") as status:
        count = build(open_as_far_as_allowed(db), folder, lambda path: status.update(f"Writing {path}"))
    print(f"{counted(count, 'file')} in {folder}. To look at them: python -m http.server --directory {folder}")
