"""`bench results`."""

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.options import Db
from bench.cli.output import stderr

EPILOG = """Examples:

  python -m bench results --picture     (`make results` does this with the published results alone)

  python -m bench results --check
"""


def results(
    files: Annotated[
        list[Path] | None, typer.Argument(help="Markdown files.", show_default="README.md and docs/*.md")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit code 1 where a file would change.")
    ] = False,
    picture: Annotated[bool, typer.Option("--picture", help="Take docs/board.png too, in a browser.")] = False,
    db: Db = None,
) -> int:
    """Write the tables of the documentation again, from the database: what stands between its markers."""
    from bench import ROOT
    from bench.results.markers import documents, filled
    from bench.results.picture import take
    from bench.results.tables import render
    from db.store import Store

    store = Store(db)
    texts = {path: filled(path, lambda words: render(store, words)) for path in files or documents(ROOT)}
    changed = [path for path, text in texts.items() if text != path.read_text()]
    for path in changed:
        stderr.print(f"{path}: {'would change' if check else 'written'}", markup=False)
        if not check:
            path.write_text(texts[path])
    if picture and not check:
        take(store, ROOT / "docs" / "board.png")
    return 1 if check and changed else 0
