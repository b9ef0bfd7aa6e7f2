"""Write the site: every page, what the pages load, and the results for other programs."""

from collections.abc import Callable, Iterator
from pathlib import Path

from bench.common.errors import RequestError
from bench.common.whole_files import write_whole
from db.store import Store
from leaderboard_app.site import architectures, audits, board, comparisons, downloads, runs, tasks
from leaderboard_app.site.pages import HERE, File
from leaderboard_app.widgets.grid import SORTING

LISTING = "static/files.txt"
"""Names every file of the site, so that the next build removes those that it no longer writes, and only those."""


def build(store: Store, folder: Path, tell: Callable[[str], None] = lambda _: None) -> int:
    """Write the site into a folder. Files there that no build wrote are left alone.

    Args:
        tell: is told the path of each file.

    Returns:
        The number of files.

    Raises:
        RequestError: the folder can't be written to.
    """
    old = _listed(folder)
    written = [LISTING]
    try:
        for file in _files(store):
            tell(file.path)
            write_whole(folder / file.path, file.content)
            written.append(file.path)
        write_whole(folder / LISTING, "".join(f"{path}\n" for path in written).encode())
        for path in old - set(written):
            (folder / path).unlink(missing_ok=True)
    except OSError as error:
        raise RequestError(f"can't write the site to {folder}: {error.strerror}.") from error
    return len(written)


def _files(store: Store) -> Iterator[File]:
    yield from _static()
    for part in (downloads, board, tasks, architectures, runs, comparisons, audits):
        yield from part.files(store)


def _static() -> Iterator[File]:
    for path in [*sorted((HERE / "static").iterdir()), SORTING]:
        yield File(f"static/{path.name}", path.read_bytes())


def _listed(folder: Path) -> set[str]:
    """Return the files that the last build wrote into a folder. A path that leads out of the folder is left out."""
    listing = folder / LISTING
    lines = listing.read_text(encoding="utf-8").splitlines() if listing.exists() else []
    return {line for line in lines if (folder / line).resolve().is_relative_to(folder.resolve())}
