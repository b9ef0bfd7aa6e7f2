"""Read tar archives of data sets in memory. Nothing is unpacked to disk, nothing is unpickled."""

import gzip
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from datamodules._files import DataError


def members(path: Path, wanted: Callable[[str], bool], max_bytes: int) -> Iterator[tuple[str, bytes]]:
    """Yield the name and content of each wanted file, in the archive's order.

    Args:
        wanted: says by a file's name whether to yield it.
        max_bytes: the largest size that a wanted file may have.

    Raises:
        DataError: the archive is damaged, or has a member that no archive of data has: a link, a device, a name
            that leads outside the archive, a wanted file that is too large.
    """
    try:
        with tarfile.open(path, "r|gz") as archive:
            for member in archive:
                name = _safe_name(path, member)
                if member.isfile() and wanted(name):
                    if member.size > max_bytes:
                        raise DataError(
                            f"{path}: {name} has {member.size:,} bytes; at most {max_bytes:,} were expected"
                        )
                    stream = archive.extractfile(member)
                    assert stream is not None
                    yield name, stream.read()
    except (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path} is damaged: {error}") from error


def _safe_name(path: Path, member: tarfile.TarInfo) -> str:
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts or not (member.isfile() or member.isdir()):
        raise DataError(f"{path} has a member that an archive of data should not have: {member.name!r}")
    return str(name)
