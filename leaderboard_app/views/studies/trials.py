"""A study's trials: the best ones, and all of them with their state, and the reason if they have no value."""

import shlex
from math import isfinite

import pandas as pd
import streamlit as st
from optuna import Study
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from bench.common.text import assignments, word
from bench.tuning.settled import STATES, best_trials, settled
from leaderboard_app.views.studies.trial_charts import Measured, Tried, rate_of
from leaderboard_app.widgets.figures import count_text
from leaderboard_app.widgets.tables import code, table
from leaderboard_app.widgets.text import plain


def show_best(study: Study) -> None:
    best = best_trials(study)
    if not best:
        st.info("No trial has finished yet.")
        return
    with st.container(horizontal=True):
        for trial in best[:4]:
            size = trial.user_attrs.get("params", {}).get("total")
            st.metric(f"trial {trial.number}, {count_text(size)} parameters", f"{trial.values[0]:.4g}", width="content")
    st.markdown("Settings of the best trial, as `--set` takes them:")
    chosen = best[0].user_attrs.get("chosen", best[0].params)
    st.code(" ".join(f"--set {shlex.quote(each)}" for each in assignments(chosen)), language="shell", wrap_lines=True)
    with st.expander(f"All settings of trial {best[0].number}, with its sizes"):
        table(_settings(best[0]), alt="All settings of the best trial")


def _settings(trial: FrozenTrial) -> list[dict[str, str]]:
    return [
        {"setting": code(name), "value": code(word(value)), "of the": plain(part)}
        for part, values in trial.user_attrs.get("config", {}).items()
        for name, value in values.items()
    ]


def show_all(study: Study) -> None:
    frame = pd.DataFrame([_row(trial) for trial in study.get_trials(deepcopy=False)])
    columns = {
        "value": st.column_config.NumberColumn(format="%.4g", help="On validation."),
        "steps": st.column_config.NumberColumn(format="localized"),
        "parameters": st.column_config.NumberColumn(format="localized"),
    }
    st.dataframe(frame, hide_index=True, column_config=columns, placeholder="", alt="Every trial of the study")


def tried(study: Study) -> tuple[list[Tried], Measured]:
    """Return the trials that have a value, and what they are compared by."""
    about = study.user_attrs.get("about", {})
    found = [
        Tried(trial.number, STATES[trial.state], trial.values[0], rate_of(trial.params))
        for trial in settled(study)
        if trial.values and isfinite(trial.values[0])
    ]
    higher = study.directions[0] == StudyDirection.MAXIMIZE
    return found, Measured(about.get("metric_name", "metric"), higher)


def _row(trial: FrozenTrial) -> dict[str, object]:
    return {
        "trial": trial.number,
        "state": _state(trial),
        "value": trial.values[0] if trial.values else None,
        "reason": str(trial.user_attrs.get("reason", "")),
        "parameters": trial.user_attrs.get("params", {}).get("total"),
        "steps": trial.user_attrs.get("steps"),
        **{name: str(value) if isinstance(value, str) else value for name, value in trial.params.items()},
    }


def _state(trial: FrozenTrial) -> str:
    return STATES.get(trial.state, "under way" if trial.state == TrialState.RUNNING else "waiting")
