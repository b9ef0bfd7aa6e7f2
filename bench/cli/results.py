"""`bench results`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.database import open_store
from bench.cli.options import Db
from bench.cli.output import stderr

if TYPE_CHECKING:
    from db.store import Store

EPILOG = """Examples:

  python -m bench results --figures     (`make results` does this with the published results alone)

  python -m bench results --check
"""


def results(
    files: Annotated[
        list[Path] | None, typer.Argument(help="Markdown files.", show_default="README.md and docs/*.md")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit code 1 if a file would change.")] = False,
    figures: Annotated[
        bool, typer.Option("--figures", help="Draw the figures too; board.png needs a browser.")
    ] = False,
    db: Db = None,
) -> int:
    """Write the tables of the documentation again, from the database: everything between its markers."""
    from bench.common.root import ROOT
    from bench.publishing.doc_tables import FIGURE, render
    from bench.publishing.markers import documents, filled

    store, drawn = open_store(db), list[list[str]]()

    def content(words: list[str]) -> str:
        drawn.extend([words[1:]] * (words[0] == FIGURE))
        return render(store, words)

    texts = {path: filled(path, content) for path in files or documents(ROOT)}
    changed = [path for path, text in texts.items() if text != path.read_text(encoding="utf-8")]
    for path in changed:
        stderr.print(f"{path}: {'would change' if check else 'written'}", markup=False)
        if not check:
            path.write_text(texts[path], encoding="utf-8")
    if figures and not check:
        _draw(store, drawn, ROOT / "docs")
    return 1 if check and changed else 0


def _draw(store: "Store", wanted: list[list[str]], folder: Path) -> None:
    from bench.publishing.doc_figures import draw
    from bench.publishing.screenshot import take

    for words in wanted:
        draw(store, words, folder)
    take(store, folder / "board.png")
