"""A published study: its best trial and the table of all trials."""

import shlex
from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from bench.common.text import assignments
from leaderboard_app.views.studies import trial_charts
from leaderboard_app.views.studies.trial_charts import Measured, Tried, rate_of
from leaderboard_app.widgets.figures import count_text

COLUMNS = {
    "value": st.column_config.NumberColumn(format="%.4g", help="On validation."),
    "steps": st.column_config.NumberColumn(format="localized"),
    "parameters": st.column_config.NumberColumn(format="localized"),
}


def show(study: Mapping[str, Any]) -> None:
    """Draw a study.

    Args:
        study: as `published_studies` returns it.
    """
    best = next((row for row in study["table"] if row["state"] == "finished" and row["value"] == study["best"]), None)
    if best is None:
        st.info("No trial has finished.")
    else:
        st.metric(f"trial {best['trial']}, {count_text(best['params'])} parameters", f"{best['value']:.4g}")
        st.markdown("Settings of the best trial, as `--set` takes them:")
        words = " ".join(f"--set {shlex.quote(each)}" for each in assignments(best["settings"]))
        st.code(words, language="shell", wrap_lines=True)
    trial_charts.show(tried(study), Measured(study["metric"], study["higher_is_better"]))
    st.subheader("Trials", anchor=False)
    frame = pd.DataFrame([_row(row) for row in study["table"]])
    st.dataframe(frame, hide_index=True, column_config=COLUMNS, placeholder="", alt="Every trial of the study")


def tried(study: Mapping[str, Any]) -> list[Tried]:
    """Return the trials that have a value."""
    rows = [row for row in study["table"] if row["value"] is not None]
    return [Tried(row["trial"], row["state"], row["value"], rate_of(row["settings"])) for row in rows]


def _row(trial: Mapping[str, Any]) -> dict[str, object]:
    return {
        "trial": trial["trial"],
        "state": trial["state"],
        "value": trial["value"],
        "reason": trial["reason"] or "",
        "parameters": trial["params"],
        "steps": trial["steps"],
        **trial["settings"],
    }
