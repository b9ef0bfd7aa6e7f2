"""Numbers, formatted for readers."""

from collections.abc import Mapping

from bench.common.text import NONE

DURATIONS = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))
BYTES = ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"), (1, "B"))


def score_text(value: float | None) -> str:
    return NONE if value is None else f"{value:.1f}"


def interval_text(low: float | None, high: float | None) -> str:
    return NONE if low is None or high is None else f"{low:.1f} to {high:.1f}"


def count_text(value: float | None) -> str:
    return NONE if value is None else f"{value:,.0f}"


def duration_text(seconds: float | None) -> str:
    """Three digits and a unit: 1.25 ms, 45.0 s, 3.50 h."""
    return _with_unit(seconds, DURATIONS)


def bytes_text(value: float | None) -> str:
    return _with_unit(value, BYTES)


def _with_unit(value: float | None, units: tuple[tuple[float, str], ...]) -> str:
    if value is None:
        return NONE
    size, unit = next(((size, unit) for size, unit in units if value >= size), units[-1])
    scaled = value / size
    digits = 0 if scaled >= 100 or scaled == int(scaled) else 1 if scaled >= 10 else 2
    return f"{scaled:,.{digits}f} {unit}"


def counted(number: int, one: str, many: str | None = None) -> str:
    """`3 seeds`, `1 seed`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def statuses_text(statuses: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {status}" for status, count in statuses.items())
