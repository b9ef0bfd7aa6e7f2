"""What the tables share."""

from collections.abc import Callable

from bench.bundle.archive import write_members

Members = dict[str, bytes]
Case = tuple[Callable[[Members], bytes], str]
"""How to make a bundle from a good one's members, and a part of the message."""


def swapped(members: Members, name: str, content: bytes) -> bytes:
    """With one member replaced or added."""
    return write_members(members | {name: content})
