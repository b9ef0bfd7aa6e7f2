"""Where uploads wait for a maintainer: a folder beside the database and apart from the results."""

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
    """Keep a bundle whose structure is right, under its identity; sent again, it is not kept twice.

    Raises:
        InboxError: there is no room, or the folder can't be written.
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
        raise InboxError("the inbox is full; please try again when the maintainers have looked through it")


def _write(path: Path, data: bytes) -> None:
    """Beside its place and then moved there, so that what is found is whole."""
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as part:  # its owner's alone
        part.write(data)
    Path(part.name).replace(path)
