"""The settings in which the compared entries differ on one task."""

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from bench.common.text import NONE, word
from db.schema import Run
from leaderboard_app.widgets.tables import code, table
from leaderboard_app.widgets.text import plain

MISSING = object()


def show(runs: Mapping[str, Sequence[Run]]) -> None:
    """Draw a row for each setting in which the entries differ and, on demand, for those in which they agree."""
    configs = {name: flat(group[0]) for name, group in runs.items() if group}
    every = st.toggle("Also show equal settings", key="alike", bind="query-params")
    rows = [_row(setting, configs) for setting in settings(configs) if every or differs(setting, configs)]
    if rows:
        table(rows, alt="Settings of the compared entries")
    else:
        st.caption("The entries differ in no setting.")


def flat(run: Run) -> dict[str, Any]:
    """Return setting → value. A model's settings are prefixed with its name: two models' settings never match."""
    return {
        (f"{run.model}: {name}" if part == "model" else name): value
        for part, values in run.config.items()
        for name, value in values.items()
    }


def settings(configs: Mapping[str, Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for config in configs.values() for name in config))


def differs(setting: str, configs: Mapping[str, Mapping[str, Any]]) -> bool:
    values = [config.get(setting, MISSING) for config in configs.values()]
    return any(value != values[0] for value in values)


def _row(setting: str, configs: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    shown = {
        plain(name): code(word(config[setting])) if setting in config else NONE for name, config in configs.items()
    }
    return {"setting": code(setting), **shown}
