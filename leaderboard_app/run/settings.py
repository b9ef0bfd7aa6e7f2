"""A run's settings, and where each came from."""

import streamlit as st

from bench.request import word
from bench.suites import SUITES
from db.schema import Run
from leaderboard_app.tables import code, table
from leaderboard_app.text import plain

SOURCES = {
    "flag": "given by hand",
    "suite": "fixed by a suite",
    "budget": "follows from the parameter tier",
    "preset": "found by tuning",
    "default": "default",
}


def show(run: Run) -> None:
    rows = settings_of(run)
    chosen = [row for row in rows if row["from"] != SOURCES["default"]]
    if chosen:
        table(chosen, alt="Settings that are not defaults")
    else:
        st.caption("Every setting has its default.")
    with st.expander(f"All {len(rows)} settings"):
        table(rows, alt="All settings")


def settings_of(run: Run) -> list[dict[str, str]]:
    """A row for each setting, as Markdown."""
    return [
        {
            "setting": code(name),
            "value": code(word(value)),
            "of the": plain(part),
            "from": plain(SOURCES.get(source, source)),
        }
        for part, values in run.config.items()
        for name, value in values.items()
        for source in [_source(run, name)]
    ]


def _source(run: Run, setting: str) -> str:
    """As recorded, but for what a suite asks of every run: `bench suite` gives that as flags."""
    fixed = {name for suite in SUITES.values() if suite.includes(run) for name in suite.tasks[run.task]}
    source = run.config_source.get(setting, "default")
    return "suite" if source == "flag" and setting in fixed else source
