"""The architectures that the page can show: those in this copy of the code and those in the database."""

from collections import Counter
from collections.abc import Sequence

import streamlit as st

from bench.catalog.names import display_name
from bench.catalog.registry import model_names
from bench.reports.listings import model_facts
from db.schema import Run
from leaderboard_app.widgets.figures import count_text
from leaderboard_app.widgets.tables import link, outside_link, table
from leaderboard_app.widgets.text import plain


def known(runs: Sequence[Run]) -> list[str]:
    return sorted({*model_names(), *(run.model for run in runs)})


def show(runs: Sequence[Run]) -> None:
    """Draw the table of all architectures, those with results first."""
    counts = Counter(run.model for run in runs)
    names = sorted(known(runs), key=lambda name: (counts[name] == 0, name))
    st.caption(f"{len(names)} architectures, {len(counts)} of them with results.")
    table([row(name, counts[name]) for name in names], alt="Every architecture")


def row(name: str, runs: int) -> dict[str, str]:
    facts = model_facts().get(name)
    paper = "not in this copy of the code, or its file is broken"
    if facts is not None:
        paper = f"{outside_link(facts.paper.title, facts.paper.url)}, {facts.paper.year}"
    return {
        "architecture": link(display_name(name), "architecture", name=name),
        "runs": count_text(runs),
        "family": plain(facts.family) if facts else "",
        "paper": paper,
    }
