"""The settings that tuning found for an architecture: its presets, and those that runs used."""

import shlex
from collections.abc import Iterable, Sequence
from typing import Any

import streamlit as st

from bench.errors import RequestError
from bench.presets import saved
from bench.registry import FoundModel
from bench.request import word
from db.schema import Run
from leaderboard_app.tables import link, table
from leaderboard_app.text import plain


def show(found: FoundModel | None, runs: Sequence[Run]) -> None:
    rows = [*(_presets(found) if found else ()), *_used(runs)]
    if rows:
        table(rows, alt="Tuned settings")
    else:
        st.caption("Nothing is tuned yet: its runs have the defaults, or settings given by hand.")


def _presets(found: FoundModel) -> Iterable[dict[str, str]]:
    try:
        presets = saved(found)
    except RequestError as error:
        st.warning(plain(error))
        return
    for preset in presets:
        yield {
            "task": link(preset.task, "task", name=preset.task),
            "tier": plain(preset.budget),
            "wrapper": plain(preset.wrapper),
            "settings": _words(preset.settings),
            "from": plain(f"preset of {preset.tuning}"),
        }


def _used(runs: Sequence[Run]) -> list[dict[str, str]]:
    """One row for each configuration in which a run used a preset."""
    rows: dict[tuple[str | None, ...], dict[str, str]] = {}
    for run in runs:
        config = {name: value for part in run.config.values() for name, value in part.items()}
        tuned = {name: value for name, value in config.items() if run.config_source.get(name) == "preset"}
        if tuned:
            row = {
                "task": link(run.task, "task", name=run.task),
                "tier": plain(run.budget or "none"),
                "wrapper": plain(run.wrapper),
                "settings": _words(tuned),
                "from": link("its runs", "run", id=run.run_id),
            }
            rows.setdefault((run.task, run.budget, run.wrapper, row["settings"]), row)
    return list(rows.values())


def _words(settings: dict[str, Any]) -> str:
    return plain(shlex.join(f"{name}={word(value)}" for name, value in sorted(settings.items())))
