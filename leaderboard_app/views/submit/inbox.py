"""The inbox, where uploads wait for a maintainer: a folder next to the database, separate from the results."""

import os
import tempfile
from pathlib import Path

from bench.bundle.read import Bundle
from db.store import Store

MOST_FILES = 200
MOST_BYTES = 4 << 30


class InboxError(Exception):
    """An upload can't be kept."""


def keep(data: bytes, bundle: Bundle, store: Store) -> Path:
    """Store a bundle whose structure was checked, named by its identity. A bundle sent again is not stored twice.

    Raises:
        InboxError: the inbox is full, or the folder can't be written.
    """
    folder = store.beside("inbox")
    path = folder / f"{bundle.identity}.zip"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        if not path.exists():
            _check_room(folder, len(data))
            _write(path, data)
    except OSError as error:
        raise InboxError(f"uploads can't be kept on this server: {error.strerror}") from error
    return path


def _check_room(folder: Path, size: int) -> None:
    sizes = [entry.stat().st_size for entry in os.scandir(folder)]
    if len(sizes) >= MOST_FILES or sum(sizes) + size > MOST_BYTES:
        raise InboxError("the inbox is full; please try again after the maintainers have emptied it")


def _write(path: Path, data: bytes) -> None:
    """Write to a temporary file and move it into place, so that no reader finds half a bundle."""
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as part:  # readable by its owner only
        part.write(data)
    Path(part.name).replace(path)
