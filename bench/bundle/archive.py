"""A strict zip, read in memory: members stored as they are, one after the other, and nothing else in the file.

`zipfile` reads the directory. What `zipfile` would forgive is refused here: bytes that no member owns, entries beyond
the stated number, and names that end at a NUL. The sizes that it allocates for are bounded before it sees the file.
"""

import hashlib
import stat
import struct
import zipfile
from collections.abc import Callable, Iterable, Mapping
from io import BytesIO

from bench.bundle.errors import BundleError

END = struct.Struct("<4s4H2LH")  # the end record: signature, two disks, two counts, directory's size and start, comment
LOCAL_HEADER, ENTRY = 30, 46  # bytes before the name, in front of a member and in the directory
ZIP64_LOCATOR = b"PK\x06\x07"
LONGEST_NAME = 64
EPOCH = (1980, 1, 1, 0, 0, 0)  # the time of every member, so that equal content is an equal file

SizeLimit = Callable[[str], int | None]


def read_members(data: bytes, *, most: int, size_limit: SizeLimit) -> dict[str, bytes]:
    """Return the members of a zip: name → content.

    Args:
        most: the most members that it may have.
        size_limit: name → the most bytes of a member of that name; None where no such member is legal.

    Raises:
        BundleError: it is not a zip, is damaged, or uses a feature that a bundle does not need.
    """
    directory_start = _check_end(data, most)
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            infos = archive.infolist()
            for info in infos:
                _check_member(info, size_limit)
            _check_layout(data, infos, directory_start)
            return {info.filename: archive.read(info) for info in infos}
    except (zipfile.BadZipFile, struct.error, ValueError, RuntimeError, EOFError, OSError) as error:
        raise BundleError(f"not a readable zip: {error}") from error


def _check_end(data: bytes, most: int) -> int:
    """Return where the directory starts. Check that a plain end record with legal numbers ends the file."""
    if data[-END.size : -END.size + 4] != b"PK\x05\x06":
        raise BundleError("not a zip: its last 22 bytes are not an end record; it was cut off, or something follows it")
    _, disk, first_disk, here, count, size, start, comment = END.unpack(data[-END.size :])
    if data[-END.size - 20 :].startswith(ZIP64_LOCATOR):
        raise BundleError("a zip64 archive; a bundle must be a plain zip")
    if disk or first_disk or comment:
        raise BundleError("the zip has several parts or a comment")
    if here != count or not 0 < count <= most:
        raise BundleError(f"the zip has {count:,} members; from 1 to {most:,} are legal")
    if size > most * (ENTRY + LONGEST_NAME) or start + size + END.size != len(data):
        raise BundleError(f"the zip's directory of {size:,} bytes does not fit its {count:,} members or its place")
    return start


def _check_member(info: zipfile.ZipInfo, size_limit: SizeLimit) -> None:
    name, kind = info.orig_filename, stat.S_IFMT(info.external_attr >> 16)
    limit = size_limit(name)
    if limit is None:
        raise BundleError(f"there is no member {name!r} in a bundle")
    if kind not in (0, stat.S_IFREG):
        raise BundleError(f"member {name} is not a plain file")
    if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
        raise BundleError(f"member {name} is compressed; members are stored as they are")
    if info.flag_bits or info.extra or info.comment or info.volume:
        raise BundleError(f"member {name} is encrypted, or has flags, extra fields or a comment")
    if info.file_size > limit:
        raise BundleError(f"member {name} has {info.file_size:,} bytes; {limit:,} are legal")


def _check_layout(data: bytes, infos: list[zipfile.ZipInfo], directory_start: int) -> None:
    """Check that members follow one another from the first byte to the directory, each under its own name."""
    names = [info.filename for info in infos]
    if len(set(names)) < len(names):
        raise BundleError(f"two members are named {next(name for name in names if names.count(name) > 1)}")
    end = 0
    for info in sorted(infos, key=lambda each: each.header_offset):
        if info.header_offset != end:
            raise BundleError(f"member {info.filename} overlaps another, or bytes before it belong to no member")
        name, extra = struct.unpack_from("<2H", data, end + LOCAL_HEADER - 4)
        end += LOCAL_HEADER + name + extra + info.file_size
    if end != directory_start:
        raise BundleError("bytes between the last member and the directory belong to no member")


def write_members(members: Mapping[str, bytes]) -> bytes:
    """Return a zip that `read_members` accepts. Equal members make equal bytes."""
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name, EPOCH)
            info.external_attr = (stat.S_IFREG | 0o644) << 16
            archive.writestr(info, content)
    return buffer.getvalue()


def identity(members: Iterable[bytes]) -> str:
    """Return the SHA-256 of the members' sorted SHA-256 (hexadecimal, one after the other)."""
    return hashlib.sha256("".join(sorted(hashlib.sha256(each).hexdigest() for each in members)).encode()).hexdigest()
