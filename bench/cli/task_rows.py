"""The rows of a task, and how they are shown. In a terminal, no two rows of one model look the same."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from bench.cli.database import state_of
from bench.cli.output import Cells, Number, field, number
from bench.common.kept_answers import kept
from bench.common.text import assignments, metric_text

if TYPE_CHECKING:
    from db.store import Store

COLUMNS: Cells = {
    "task": field("task"),
    "model": field("model"),
    "score": number("score", ".1f"),
    "±": number("score_std", ".1f"),
    "learned": number("learned", ".0%"),
    "metric": field("metric_name"),
    "value": Number(lambda row: row["metric_value"], lambda row: metric_text(row["metric_name"], row["metric_value"])),
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


def ranked(store: "Store", task: str | None, wrapper: str | None = None) -> list[dict[str, Any]]:
    """Return the rows of a task, or of all tasks, best first within each; kept for what the store holds.

    Args:
        wrapper: refused if there is no such wrapper.

    Raises:
        RequestError: there is no such wrapper.
    """

    def rank() -> list[dict[str, Any]]:
        from bench.reports.board import check_wrapper, task_rows

        if wrapper is not None:
            check_wrapper(wrapper)
        return [asdict(row) for row in task_rows(store, task)]

    return kept(rank, "rows of a task", str(store), task, wrapper, state=state_of(store))


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
