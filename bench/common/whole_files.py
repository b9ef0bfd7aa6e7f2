"""Write files so that a process that is killed at any moment leaves only whole ones."""

import os
from pathlib import Path


def write_whole(path: Path, content: bytes | memoryview) -> None:
    """Write a file next to its place and move it there, so that a reader gets the whole old file or the whole new one.

    Processes may write the same file at once: the last one to finish wins.

    Raises:
        OSError: it can't be written; the old file is unchanged.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(content)
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise
