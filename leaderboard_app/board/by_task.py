"""Every run, task by task: also those that no suite ranks."""

from collections.abc import Sequence
from dataclasses import asdict

import pandas as pd
import streamlit as st

from bench.ranking import Row, leaderboard
from db.schema import Run
from leaderboard_app import charts
from leaderboard_app.board import controls
from leaderboard_app.links import page_url

NO_TIER = "no tier"
EVERY = "all"
RECENT = 200
CHART = "Score against parameters; the table above has the numbers"
ARCHITECTURE = st.column_config.LinkColumn(display_text="name=(.*)$", pinned=True, alignment="left")


def show(runs: Sequence[Run], withdrawn: frozenset[str]) -> None:
    """A task's configurations, best first, and its runs, newest first."""
    counted = [run for run in runs if run.run_id not in withdrawn]
    if not counted:
        st.info("Every run was retracted or superseded.")
        return
    chosen = _chosen(counted)
    rows = leaderboard(chosen)
    if rows:
        _configurations(rows)
        st.altair_chart(charts.score_against_params(pd.DataFrame(map(asdict, rows))), alt=CHART)
    else:
        st.info("Every run of this task is still open: it was interrupted. `--resume` goes on with it.")
    st.subheader("Its runs, newest first")
    _runs(chosen[: -RECENT - 1 : -1])
    if len(chosen) > RECENT:
        st.caption(f"The newest {RECENT} of {len(chosen):,}; `python -m bench runs --task …` lists all.")


def _chosen(runs: Sequence[Run]) -> list[Run]:
    """The runs of a task and tier; at first, of the task that was run last."""
    with st.container(horizontal=True):
        names = sorted({run.task for run in runs})
        controls.start("task", runs[-1].task, names)
        task = st.selectbox("Task", names, index=None, key="task", bind="query-params", width=300) or runs[-1].task
        of_task = [run for run in runs if run.task == task]
        tiers = [EVERY, *sorted({run.budget or NO_TIER for run in of_task})]
        tier = st.segmented_control("Parameters", tiers, default=EVERY, required=True, key="size", bind="query-params")
    return [run for run in of_task if tier in (EVERY, run.budget or NO_TIER)]


def _configurations(rows: Sequence[Row]) -> None:
    table = pd.DataFrame([
        {
            "architecture": page_url("architecture", name=row.model),
            "score": row.score,
            "±": row.score_std,
            row.metric_name: row.metric_value,
            "parameters": row.params,
            "seeds": len(row.seeds),
            "status": ", ".join(f"{count} {status}" for status, count in row.statuses.items()),
            "tier": row.budget or NO_TIER,
            "settings": " ".join(f"{name}={value}" for name, value in row.settings.items()) or "defaults",
        }
        for row in rows
    ])  # fmt: skip
    columns = {
        "architecture": ARCHITECTURE,
        "score": st.column_config.ProgressColumn(format="%.1f", min_value=0, max_value=100, color="primary"),
        "±": st.column_config.NumberColumn(format="%.1f", help="Standard deviation over seeds."),
        rows[0].metric_name: st.column_config.NumberColumn(format="%.4f", help="On the test split, mean over seeds."),
        "parameters": st.column_config.NumberColumn(format="localized"),
    }
    st.dataframe(table, hide_index=True, column_config=columns, placeholder="", alt="Configurations of this task")


def _runs(newest: Sequence[Run]) -> None:
    table = pd.DataFrame([
        {
            "run": page_url("run", id=run.run_id),
            "architecture": page_url("architecture", name=run.model),
            "seed": run.seed,
            "status": f"{run.status}: {run.reason}" if run.reason else run.status,
            run.metric_name: run.metric_value,
            "parameters": run.params_total,
            "tier": run.budget or NO_TIER,
            "train s": run.train_seconds,
            "finished": run.finished_at,
        }
        for run in newest
    ])  # fmt: skip
    columns = {
        "architecture": ARCHITECTURE,
        "run": st.column_config.LinkColumn(display_text="id=(.{8})", pinned=True, alignment="left"),
        newest[0].metric_name: st.column_config.NumberColumn(format="%.4f", help="On the test split."),
        "parameters": st.column_config.NumberColumn(format="localized"),
        "train s": st.column_config.NumberColumn(format="%.1f"),
        "finished": st.column_config.DatetimeColumn(format="YYYY-MM-DD HH:mm", timezone="UTC", help="UTC"),
    }
    st.dataframe(table, hide_index=True, column_config=columns, placeholder="", alt="Runs of this task")
