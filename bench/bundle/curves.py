"""`curves.csv`: a line for each value of each learning curve. A value that was not finite is left empty."""

import re
from collections.abc import Iterable
from math import isfinite
from typing import NamedTuple

from bench.bundle.errors import BundleError

HEADING = "name,epoch,step,value"
LINE = re.compile(r"([a-z]{1,32}(?:/[a-z]{1,32})?),(\d{1,9}),(\d{1,9}),(-?\d{1,20}(?:\.\d{1,20})?(?:e[+-]\d{1,3})?)?")
MOST_POINTS = 100_000


class Point(NamedTuple):
    name: str
    epoch: int
    step: int
    value: float | None


def write_curves(points: Iterable[Point]) -> bytes:
    lines = [f"{p.name},{p.epoch},{p.step},{'' if p.value is None else repr(p.value)}" for p in points]
    return "\n".join([HEADING, *lines, ""]).encode()


def read_curves(content: bytes, where: str) -> list[Point]:
    """Return the points of a `curves.csv`.

    Args:
        where: what messages call the file.

    Raises:
        BundleError: a line of another form, two values of a curve at one step, or too many lines.
    """
    lines = content.decode("ascii", "replace").split("\n")
    if lines[0] != HEADING or lines[-1] or len(lines) - 2 > MOST_POINTS:
        raise BundleError(f"{where} must be {HEADING!r}, at most {MOST_POINTS:,} lines, and an end of line")
    points = [_point(line, number, where) for number, line in enumerate(lines[1:-1], start=2)]
    if len({(point.name, point.step) for point in points}) < len(points):
        raise BundleError(f"{where}: a curve has two values at one step")
    return points


def _point(line: str, number: int, where: str) -> Point:
    found = LINE.fullmatch(line)
    if not found or not isfinite(float(found[4] or 0)):
        raise BundleError(f"{where}: line {number} is not name,epoch,step,value: {line[:80]!r}")
    name, epoch, step, value = found.groups()
    return Point(name, int(epoch), int(step), None if value is None else float(value))
