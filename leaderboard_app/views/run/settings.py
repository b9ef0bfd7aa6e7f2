"""A run's settings, and the source of each."""

import streamlit as st

from bench.catalog.suites import SUITES
from bench.common.text import word
from bench.reproduce.fru_paper import experiment_of
from db.schema import Run
from leaderboard_app.widgets.tables import code, table
from leaderboard_app.widgets.text import plain

SOURCES = {
    "flag": "given by hand",
    "suite": "fixed by a suite",
    "budget": "follows from the parameter tier",
    "preset": "found by tuning",
    "paper": "from the FRU authors",
    "default": "default",
}


def show(run: Run) -> None:
    rows = settings_of(run)
    chosen = [row for row in rows if row["from"] != SOURCES["default"]]
    if chosen:
        table(chosen, alt="Settings that are not defaults")
    else:
        st.caption("Every setting has its default value.")
    with st.expander(f"All {len(rows)} settings"):
        table(rows, alt="All settings")


def settings_of(run: Run) -> list[dict[str, str]]:
    """Return a row for each setting, as Markdown."""
    sources = _sources(run)
    return [
        {
            "setting": code(name),
            "value": code(word(value)),
            "of the": plain(part),
            "from": plain(_in_words(source)),
        }
        for part, values in run.config.items()
        for name, value in values.items()
        for source in [sources.get(name, "default")]
    ]


def _in_words(source: str) -> str:
    kind, _, spent = source.partition(": ")
    return ", ".join(filter(None, [SOURCES.get(kind, kind), spent]))


def _sources(run: Run) -> dict[str, str]:
    """Return the recorded sources, corrected for settings fixed by a suite or the paper.

    `bench suite` records such settings as flags, and `reproduce` as a preset.
    """
    by_suite = [name for suite in SUITES.values() if suite.includes(run) for name in suite.tasks[run.task]]
    cell = experiment_of(run)
    fixed = {
        "flag": dict.fromkeys(by_suite, "suite"),
        "preset": dict.fromkeys(cell.settings if cell else (), "paper"),
    }
    return {name: fixed.get(source, {}).get(name, source) for name, source in run.config_source.items()}
