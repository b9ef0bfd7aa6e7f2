"""A row for each compared entry, as on the board of its contest."""

from collections.abc import Iterable

from bench.ranking.cells import EntryKey
from bench.ranking.rows import SuiteRow
from bench.reports.board_formats import rank_text, share_text
from db.store import Store
from leaderboard_app.data import load_rows
from leaderboard_app.views.compare.sides import Sides
from leaderboard_app.widgets.figures import bytes_text, count_text, interval_text, score_text
from leaderboard_app.widgets.links import entry_id
from leaderboard_app.widgets.tables import link, table
from leaderboard_app.widgets.text import plain


def show(store: Store, suite: str, sides: Sides) -> None:
    rows = [
        _row(entry, name, on_board(entry, load_rows(store, suite, entry.tier)))
        for entry, name in zip(sides.entries, sides.names, strict=True)
    ]
    table(rows, alt="The compared entries")


def on_board(entry: EntryKey, rows: Iterable[SuiteRow]) -> SuiteRow:
    return next(row for row in rows if entry_id(row) == " ".join(entry).strip())


def _row(entry: EntryKey, name: str, row: SuiteRow) -> dict[str, str]:
    return {"entry": link(name, "architecture", name=entry.model)} | {
        head: plain(text) for head, text in cells(row).items()
    }


def cells(row: SuiteRow) -> dict[str, str]:
    """Return an entry's numbers on the board of its tier, as plain text."""
    return {
        "tier": row.budget,
        "rank in its tier": rank_text(row),
        "score": score_text(row.score),
        "95% interval": interval_text(row.score_low, row.score_high),
        "learned": share_text(row.learned),
        "parameters": count_text(row.params),
        "state": bytes_text(row.state_bytes) if row.state_bytes is not None else "none",
        "tasks": f"{row.tasks_done} of {row.tasks_total}",
        "seeds": count_text(row.seeds),
        "failures": count_text(row.failures),
        "verified": row.verification,
    }
