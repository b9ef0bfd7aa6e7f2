"""The audit of a suite's entries: what a sceptic would point at. The address is `audit?suite=…&tier=…&entry=…`."""

import streamlit as st

from bench.audit.audited import AuditedEntry
from db.store import Store
from leaderboard_app.data import load_audit, load_tiers, open_store
from leaderboard_app.views.audit import entries
from leaderboard_app.widgets import grid
from leaderboard_app.widgets.address import choose, filtered
from leaderboard_app.widgets.tables import table

INTRO = """
What a sceptic would ask of each entry. A flag is no verdict: it names something that its owner should explain.
`bench audit --model NAME` prints the same, `--json` all that was looked at.
"""


def render(store: Store) -> None:
    st.title("Audit", anchor=False)
    st.markdown(INTRO)
    tiers = load_tiers(store)
    if not tiers:
        st.info("**No entries yet.** A suite's runs in a parameter tier make some: `python -m bench suite --help`.")
        return
    with st.container(horizontal=True):
        suite = filtered("Suite", list(tiers), "suite", what="suite")
        tier = filtered("Tier", tiers[suite], "tier", what="tier")
    with st.spinner("Looking at the entries …"):
        audited = [entry for entry in load_audit(store, suite) if entry.budget == tier]
    st.markdown(entries.summary(audited))
    table(entries.kinds(audited), alt="Kinds of flags")
    st.subheader("Entries", anchor=False)
    grid.show(entries.COLUMNS, [entries.line(entry) for entry in audited], caption="Entries and their flags")
    st.subheader("What was looked at", anchor=False)
    _one({entries.entry_id(entry): entry for entry in audited})


def _one(audited: dict[str, AuditedEntry]) -> None:
    """Draw what was looked at in the entry that the reader chooses."""
    chosen = choose(
        "Entry", list(audited), "entry", what="entry", placeholder="Choose an entry",
        shown=lambda entry: entries.name(audited[entry]),
    )  # fmt: skip
    if chosen is not None:
        entries.show(audited[chosen])


render(open_store())
