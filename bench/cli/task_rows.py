"""How the rows of a task are shown. In a terminal, no two rows of one model look the same."""

from collections.abc import Sequence
from typing import Any

from bench.cli.output import Cells, field, number
from bench.common.text import assignments, metric_text

COLUMNS: Cells = {
    "task": field("task"),
    "model": field("model"),
    "score": number("score", ".1f"),
    "±": number("score_std", ".1f"),
    "learned": number("learned", ".0%"),
    "metric": field("metric_name"),
    "value": lambda row: metric_text(row["metric_name"], row["metric_value"]),
    "params": number("params"),
    "budget": field("budget"),
    "steps": lambda row: row["length"].removesuffix(" steps"),
    "tuning": field("tuning"),
    "seeds": lambda row: str(len(row["seeds"])),
    "failed": field("failures"),
    "verified": field("verification"),
    "settings": lambda row: " ".join(assignments(row["settings"])),
}
"""Heading → a cell of a `bench.ranking.by_task.Row`."""
KEPT = ("task", "model", "score", "budget", "steps", "tuning", "settings")
"""Columns that distinguish two rows of one model, and the score. However narrow the terminal, they are shown."""


def in_terminal(rows: Sequence[dict[str, Any]]) -> Cells:
    """Return the columns. "settings" shows only what distinguishes a row from others that look the same without it."""
    words: dict[tuple[Any, ...], list[list[str]]] = {}
    for row in rows:
        words.setdefault(_told(row), []).append(_words(row))
    shared = {told: set.intersection(*map(set, each)) for told, each in words.items()}
    return {**COLUMNS, "settings": lambda row: " ".join(w for w in _words(row) if w not in shared[_told(row)])}


def _told(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in ("task", "model", "budget", "length", "tuning"))


def _words(row: dict[str, Any]) -> list[str]:
    return assignments({"wrapper": row["wrapper"], **row["settings"]})
