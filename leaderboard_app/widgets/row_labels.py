"""Short and unique labels for the rows of a task."""

from collections import Counter
from collections.abc import Callable, Sequence

from bench.catalog.names import display_name
from bench.common.text import short_word
from bench.ranking.by_task import Row


def labels(rows: Sequence[Row]) -> list[str]:
    """Label each row by its architecture and by what differs among its rows: tier, wrapper, tuning.

    Settings are added to rows that still have the same label.
    """
    parts: list[Callable[[Row], str]] = [
        lambda row: row.budget or "no tier",
        lambda row: row.wrapper,
        lambda row: row.tuning,
    ]
    told = [part for part in parts if _tells_apart(rows, part)]
    heads = [" · ".join([display_name(row.model), *(part(row) for part in told)]) for row in rows]
    differing = _differing(rows, heads)
    names = [" · ".join(filter(None, [head, " ".join(own)])) for head, own in zip(heads, differing, strict=True)]
    return _numbered(names)


def _differing(rows: Sequence[Row], heads: Sequence[str]) -> list[list[str]]:
    """Return, for each row, its settings that not all rows under the same head share."""
    settings = [[f"{name}={short_word(value)}" for name, value in row.settings.items()] for row in rows]
    shared: dict[str, set[str]] = {}
    for head, own in zip(heads, settings, strict=True):
        shared[head] = shared.get(head, set(own)) & set(own)
    return [[each for each in own if each not in shared[head]] for head, own in zip(heads, settings, strict=True)]


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
