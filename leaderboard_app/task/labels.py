"""What the rows of a task are called: short, and no two alike."""

from collections import Counter
from collections.abc import Callable, Sequence

from bench.ranking import Row
from bench.request import word


def labels(rows: Sequence[Row]) -> list[str]:
    """The architecture, and what tells a row apart from the others: tier, wrapper, settings that not all rows share."""
    common = set.intersection(*(_settings(row) for row in rows)) if rows else set()
    parts: list[Callable[[Row], str]] = [lambda row: row.budget or "no tier", lambda row: row.wrapper]
    told = [part for part in parts if _tells_apart(rows, part)]
    names = [
        " · ".join(filter(None, [row.model, *(part(row) for part in told), " ".join(sorted(_settings(row) - common))]))
        for row in rows
    ]
    return _numbered(names)


def _settings(row: Row) -> set[str]:
    return {f"{name}={word(value)}" for name, value in row.settings.items()}


def _tells_apart(rows: Sequence[Row], part: Callable[[Row], str]) -> bool:
    """Whether an architecture has rows that differ in it."""
    return len({(row.model, part(row)) for row in rows}) > len({row.model for row in rows})


def _numbered(names: Sequence[str]) -> list[str]:
    """Rows may still differ in what has no word, such as the protocol."""
    seen: Counter[str] = Counter()
    numbered = []
    for name in names:
        seen[name] += 1
        numbered.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return numbered
