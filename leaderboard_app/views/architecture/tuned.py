"""The settings that tuning found for an architecture: its presets, and those of runs that no preset covers."""

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from bench.catalog.registry import FoundModel
from bench.catalog.setting_sources import FIXED_BY_SUITES, is_preset
from bench.common.errors import RequestError
from bench.common.text import assignments, short_word
from bench.reproduce.fru_paper import experiment_of
from bench.runs.presets import Preset, saved
from bench.runs.settings import OF_TRAINING
from db.schema import Run
from leaderboard_app.widgets.tables import code, link, table
from leaderboard_app.widgets.text import plain

NONE_YET = "Nothing is tuned yet: its runs use the defaults, or settings given by hand."


def show(found: FoundModel | None, runs: Sequence[Run]) -> None:
    try:
        presets = saved(found) if found else []
    except RequestError as error:
        st.warning(plain(error))
        presets = []
    if found_rows := rows(presets, runs):
        table(found_rows, alt="Tuned settings")
    else:
        st.caption(NONE_YET)


def rows(presets: Sequence[Preset], runs: Sequence[Run]) -> list[dict[str, str]]:
    """Return a row for each preset, and for each tuned configuration of a run that no preset of its task contains."""
    return [*map(_row, presets), *_used(runs, presets)]


def _row(preset: Preset) -> dict[str, str]:
    return {
        "task": link(preset.task, "task", name=preset.task),
        "tier": plain(preset.budget),
        "wrapper": plain(preset.wrapper),
        "settings": _words(preset.settings),
        "from": plain(f"preset of {preset.tuning}"),
    }


def _used(runs: Sequence[Run], presets: Sequence[Preset]) -> list[dict[str, str]]:
    """Return a row for each tuned configuration of a run that no preset of its task contains."""
    rows: dict[tuple[str | None, ...], dict[str, str]] = {}
    for run in runs:
        tuned = {name: value for name, value in run.flat_config.items() if is_preset(run.config_source.get(name, ""))}
        if tuned and not experiment_of(run) and not any(_has(preset, run, tuned) for preset in presets):
            row = {
                "task": link(run.task, "task", name=run.task),
                "tier": plain(run.budget or "none"),
                "wrapper": plain(run.wrapper),
                "settings": _words(tuned),
                "from": link("its runs", "run", id=run.run_id),
            }
            rows.setdefault((run.task, run.budget, run.wrapper, row["settings"]), row)
    return list(rows.values())


def _has(preset: Preset, run: Run, tuned: dict[str, Any]) -> bool:
    key = run.task, run.budget or "none", run.wrapper
    return key == (preset.task, preset.budget, preset.wrapper) and {*assignments(tuned)} <= {
        *assignments(preset.settings)
    }


def _words(settings: Mapping[str, Any]) -> str:
    """Write the settings that suites leave open, the model's own first, as Markdown."""
    names = sorted(settings.keys() - set(FIXED_BY_SUITES), key=lambda name: (name in OF_TRAINING, name))
    return ", ".join(code(f"{name}={short_word(settings[name])}") for name in names)
