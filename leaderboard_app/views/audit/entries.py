"""The entries of an audit: a table of all, and what was looked at in each."""

from collections import Counter
from collections.abc import Sequence

import streamlit as st

from bench.audit.audited import AuditedCell, AuditedEntry
from bench.catalog.names import display_name
from leaderboard_app.widgets.tables import code, link, table
from leaderboard_app.widgets.text import plain


def show(audited: Sequence[AuditedEntry]) -> None:
    st.markdown(summary(audited))
    table([row(entry) for entry in audited], alt="Entries and their flags")
    for entry in audited:
        with st.expander(f"{name(entry)}: {len(entry.flags)} flags"):
            _details(entry)


def summary(audited: Sequence[AuditedEntry]) -> str:
    counts = Counter(flag.name for entry in audited for flag in entry.flags)
    said = ", ".join(f"{plain(flag)} ({count})" for flag, count in counts.most_common())
    return f"**{len(audited)} entries**. Flags: {said or 'none'}."


def row(entry: AuditedEntry) -> dict[str, str]:
    names = dict.fromkeys(flag.name for flag in entry.flags)
    return {
        "architecture": link(display_name(entry.model), "architecture", name=entry.model),
        "block": plain(entry.wrapper),
        "tuning": f"{plain(entry.tuning)} {code(entry.settings)}".strip(),
        "flags": str(len(entry.flags)),
        "what": ", ".join(map(plain, names)) or "–",
    }


def name(entry: AuditedEntry) -> str:
    return plain(" ".join(filter(None, (display_name(entry.model), entry.wrapper, entry.tuning, entry.settings))))


def _details(entry: AuditedEntry) -> None:
    for flag in entry.flags:
        st.markdown(f"- **{plain(flag.name)}**: {plain(flag.what)}")
    table([looked_at(cell) for cell in entry.cells], alt="What was looked at")
    for note in notes(entry):
        st.caption(note)


def notes(entry: AuditedEntry) -> list[str]:
    """Say what the entry has to do with its authors' code."""
    golden = [f"Held against numbers from its authors' code: {', '.join(map(code, entry.golden))}"]
    differences = [f"{plain(what)}: {plain(why)}" for what, why in entry.deviations.items()]
    return golden * bool(entry.golden) + [f"Differs from its authors' code: {each}" for each in differences]


def looked_at(cell: AuditedCell) -> dict[str, str]:
    return {
        "task": link(cell.task, "run", id=cell.run_id),
        "score": f"{cell.score:.1f}",
        "learned": f"{cell.learned:.0%} of {cell.seeds}",
        "over none": _number(cell.over_none, "+.1f"),
        "sizes": plain(", ".join(f"{name} {number}" for name, number in cell.units.items())),
        "depth": str(cell.depth),
        "of the tier": f"{cell.fill:.0%}",
        "mixers": _number(cell.mixer_share, ".0%"),
        "dead at the start": _number(cell.dead, ".0%"),
        "lost at another rate": _number(cell.rate_sensitivity, ".0f"),
        "tuning chose": plain("the defaults" if cell.defaults_won else ", ".join(map(_word, cell.chosen.items()))),
    }


def _word(setting: tuple[str, object]) -> str:
    name, value = setting
    return f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)
