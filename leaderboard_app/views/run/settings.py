"""A run's settings, the model's own first, and the source of each. Those that tuning chose are in bold."""

import streamlit as st

from bench.catalog.setting_sources import is_preset
from bench.catalog.suites import SUITES
from bench.common.text import short_word
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
        _row(name, value, part, sources.get(name, "default"))
        for part, values in run.config.items()
        for name, value in values.items()
    ]


def _row(name: str, value: object, part: str, source: str) -> dict[str, str]:
    own = {"setting": code(name), "value": code(short_word(value)), "from": plain(_in_words(source))}
    if is_preset(source):
        own = {head: f"**{text}**" for head, text in own.items()}
    return {"setting": own["setting"], "value": own["value"], "of the": plain(part), "from": own["from"]}


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
