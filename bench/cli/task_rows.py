"""How the rows of a task are shown: in a terminal, no two of one model alike."""

from collections.abc import Sequence
from typing import Any

from bench.cli.output import Cells, field, number
from bench.common.text import assignments, metric_text

COLUMNS: Cells = {
    "task": field("task"),
    "model": field("model"),
    "score": number("score", ".1f"),
    "±": number("score_std", ".1f"),
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
"""Of a `bench.ranking.Row`."""
KEPT = ("task", "model", "score", "budget", "steps", "tuning", "settings")
"""What tells two rows of one model apart, and what they are listed for: no terminal is too narrow for these."""


def in_terminal(rows: Sequence[dict[str, Any]]) -> Cells:
    """The columns, of all settings only those that tell a row from others that the columns before do not."""
    words: dict[tuple[Any, ...], list[list[str]]] = {}
    for row in rows:
        words.setdefault(_told(row), []).append(_words(row))
    shared = {told: set.intersection(*map(set, each)) for told, each in words.items()}
    return {**COLUMNS, "settings": lambda row: " ".join(w for w in _words(row) if w not in shared[_told(row)])}


def _told(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in ("task", "model", "budget", "length", "tuning"))


def _words(row: dict[str, Any]) -> list[str]:
    return assignments({"wrapper": row["wrapper"], **row["settings"]})
