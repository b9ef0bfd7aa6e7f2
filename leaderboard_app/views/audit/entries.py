"""The entries of an audit: which flags there are, a table of all entries, and what was looked at in one."""

from collections import Counter
from collections.abc import Mapping, Sequence

import streamlit as st

from bench.audit.audited import AuditedCell, AuditedEntry
from bench.audit.flags import MEANINGS
from bench.catalog.names import display_name
from bench.common.text import NONE, counted, short_word
from leaderboard_app.widgets import grid
from leaderboard_app.widgets.grid import Column, Line, Link, Word, Words
from leaderboard_app.widgets.links import page_url
from leaderboard_app.widgets.tables import code, link, table
from leaderboard_app.widgets.text import plain

COLUMNS = [
    Column("architecture", heads_row=True),
    Column("block"),
    Column("tuning"),
    Column("score", "Mean over the tasks that it has runs of.", numeric=True),
    Column("flags", "Opens what was looked at.", numeric=True),
    Column("of these kinds"),
]


def summary(audited: Sequence[AuditedEntry]) -> str:
    flagged = sum(bool(entry.flags) for entry in audited)
    return f"**{counted(len(audited), 'entry')}**, {flagged} of them with flags."


def kinds(audited: Sequence[AuditedEntry]) -> list[dict[str, str]]:
    """Return a row for each kind of flag, the most frequent first."""
    counts = Counter(name for entry in audited for name in {flag.name for flag in entry.flags})
    return [
        {"flag": plain(name), "entries": str(count), "raised where": plain(MEANINGS.get(name, ""))}
        for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]


def line(entry: AuditedEntry) -> Line:
    """Return an entry's cells for COLUMNS."""
    names = list(dict.fromkeys(flag.name for flag in entry.flags))
    words = [Word(f"{each},") for each in names[:-1]] + [Word(each) for each in names[-1:] or [NONE]]
    here = page_url("audit", suite=entry.suite, tier=entry.budget, entry=entry_id(entry))
    return Line([
        Link(display_name(entry.model), page_url("architecture", name=entry.model)),
        entry.wrapper,
        " ".join(filter(None, (entry.tuning, entry.settings))),
        grid.number(sum(cell.score for cell in entry.cells) / len(entry.cells)),
        Link(str(len(entry.flags)), here),
        Words(words),
    ])  # fmt: skip


def entry_id(entry: AuditedEntry) -> str:
    """Return an entry's name in an address, as on the board."""
    return " ".join((entry.model, entry.wrapper, entry.budget, entry.tuning, entry.settings)).strip()


def name(entry: AuditedEntry) -> str:
    """Return how an entry is called on its page: its tier is that of the page."""
    return " ".join(filter(None, (display_name(entry.model), entry.wrapper, entry.tuning, entry.settings)))


def show(entry: AuditedEntry) -> None:
    """Draw what was looked at in an entry."""
    if entry.flags:
        table(flags(entry), alt="Its flags")
    else:
        st.markdown("No flags.")
    table(looked_at(entry.cells), alt="What was looked at")
    for note in notes(entry):
        st.caption(note)


def flags(entry: AuditedEntry) -> list[dict[str, str]]:
    return [{"flag": plain(flag.name), "what": plain(flag.what)} for flag in entry.flags]


def notes(entry: AuditedEntry) -> list[str]:
    """Say what the entry has to do with its authors' code."""
    golden = [f"Held against numbers from its authors' code: {', '.join(map(code, entry.golden))}"]
    differences = [f"{plain(what)}: {plain(why)}" for what, why in entry.deviations.items()]
    return golden * bool(entry.golden) + [f"Differs from its authors' code: {each}" for each in differences]


def looked_at(cells: Sequence[AuditedCell]) -> list[dict[str, str]]:
    """Return a row for each task, without the columns in which no task has anything."""
    rows = [_looked_at(cell) for cell in cells]
    told = [head for head in rows[0] if any(row[head] != NONE for row in rows)]
    return [{head: row[head] for head in told} for row in rows]


def _looked_at(cell: AuditedCell) -> dict[str, str]:
    return {
        "task": link(cell.task, "run", id=cell.run_id),
        "score": f"{cell.score:.1f}",
        "learned": f"{round(cell.learned * cell.seeds)} of {cell.seeds}",
        "over none": _number(cell.over_none, "+.1f"),
        "depth": _number(cell.depth, "d"),
        "sizes": _words(cell.units),
        "of the tier": f"{cell.fill:.0%}",
        "mixers": _number(cell.mixer_share, ".0%"),
        "dead at the start": _number(cell.dead, ".0%"),
        "lost at another rate": _number(cell.rate_sensitivity, ".0f"),
        "tuning chose": "the defaults" if cell.defaults_won else _words(cell.chosen),
    }


def _words(settings: Mapping[str, object]) -> str:
    return ", ".join(code(f"{name}={short_word(value)}") for name, value in settings.items()) or NONE


def _number(value: float | None, form: str) -> str:
    return NONE if value is None else format(value, form)
