"""Writing files so that a process that is killed at any moment leaves whole ones."""

from pathlib import Path


def write_whole(path: Path, content: bytes | memoryview) -> None:
    """Write a file beside its place and move it there: what is read is the old one or the new one, whole.

    Raises:
        OSError: it can't be written; what was there before is as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    try:
        part.write_bytes(content)
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise
