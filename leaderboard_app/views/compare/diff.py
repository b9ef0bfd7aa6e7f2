"""The settings in which the compared entries differ on one task. Those that tuning chose are in bold."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import streamlit as st

from bench.catalog.names import display_name
from bench.catalog.setting_sources import is_preset
from bench.common.text import NONE, short_word
from db.schema import Run
from leaderboard_app.widgets.tables import code, table
from leaderboard_app.widgets.text import plain

NOTE = "In bold: found by tuning. Fractions have three significant digits."


class Setting(NamedTuple):
    value: Any
    own: bool
    """Whether it is the architecture's own."""
    tuned: bool


Settings = Mapping[str, Setting]


def show(runs: Mapping[str, Sequence[Run]]) -> None:
    """Draw a row for each setting in which the entries differ and, on demand, for those in which they agree."""
    configs = {name: flat(group[0]) for name, group in runs.items() if group}
    every = st.toggle("Also show equal settings", key="alike", bind="query-params")
    rows = [_row(name, configs) for name in names(configs) if every or differs(name, configs)]
    if rows:
        table(rows, alt="Settings of the compared entries")
        st.caption(NOTE)
    else:
        st.caption("The entries differ in no setting.")


def flat(run: Run) -> dict[str, Setting]:
    """Return a run's settings by name. An architecture's own begin with its name: those of two are never the same."""
    return {
        (f"{display_name(run.model)}: {name}" if part == "model" else name): Setting(
            value, part == "model", is_preset(run.config_source.get(name, ""))
        )
        for part, values in run.config.items()
        for name, value in values.items()
    }


def names(configs: Mapping[str, Settings]) -> list[str]:
    """Return the names of all settings, the architectures' own first."""
    is_own = {name: setting.own for config in configs.values() for name, setting in config.items()}
    return sorted(is_own, key=lambda name: not is_own[name])


def differs(name: str, configs: Mapping[str, Settings]) -> bool:
    held = [config[name].value for config in configs.values() if name in config]
    return len(held) < len(configs) or any(value != held[0] for value in held)


def _row(name: str, configs: Mapping[str, Settings]) -> dict[str, str]:
    return {"setting": code(name)} | {plain(entry): _cell(config.get(name)) for entry, config in configs.items()}


def _cell(setting: Setting | None) -> str:
    if setting is None:
        return NONE
    text = code(short_word(setting.value))
    return f"**{text}**" if setting.tuned and text else text
