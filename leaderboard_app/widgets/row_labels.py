"""Short and unique labels for the rows of a task."""

from collections import Counter
from collections.abc import Callable, Sequence

from bench.catalog.names import display_name
from bench.common.text import assignments
from bench.ranking.by_task import Row


def labels(rows: Sequence[Row]) -> list[str]:
    """Label each row by its architecture and by what differs among its rows: tier, wrapper, settings."""
    parts: list[Callable[[Row], str]] = [lambda row: row.budget or "no tier", lambda row: row.wrapper]
    told = [part for part in parts if _tells_apart(rows, part)]
    heads = [" · ".join([display_name(row.model), *(part(row) for part in told)]) for row in rows]
    names = [" · ".join(filter(None, [head, " ".join(own)])) for head, own in zip(heads, differing(rows), strict=True)]
    return _numbered(names)


def differing(rows: Sequence[Row]) -> list[list[str]]:
    """Return, for each row, its settings that not all rows with the same task, architecture, tier and wrapper share."""
    groups = [(row.task, row.model, row.budget, row.wrapper) for row in rows]
    settings = [set(assignments(row.settings)) for row in rows]
    shared: dict[tuple[str | None, ...], set[str]] = {}
    for group, own in zip(groups, settings, strict=True):
        shared[group] = shared.get(group, own) & own
    return [sorted(own - shared[group]) for group, own in zip(groups, settings, strict=True)]


def _tells_apart(rows: Sequence[Row], part: Callable[[Row], str]) -> bool:
    """Whether any architecture has rows that differ in this part."""
    return len({(row.model, part(row)) for row in rows}) > len({row.model for row in rows})


def _numbered(names: Sequence[str]) -> list[str]:
    """Number equal names: their rows may differ in something that no label shows, such as the protocol."""
    seen: Counter[str] = Counter()
    numbered = []
    for name in names:
        seen[name] += 1
        numbered.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return numbered
