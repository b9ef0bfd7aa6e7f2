"""Every run, task by task: also those that no suite ranks."""

from collections.abc import Sequence
from dataclasses import asdict

import pandas as pd
import streamlit as st

from bench.ranking import Row, leaderboard
from db.schema import Run
from leaderboard_app import charts, grid
from leaderboard_app.board import controls
from leaderboard_app.board.words import duration
from leaderboard_app.grid import Column, Line, Link, Score
from leaderboard_app.links import page_url

NO_TIER = "no tier"
EVERY = "all"
RECENT = 200
CHART = "Score against parameters; the table above has the numbers"


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
    columns = [
        Column("architecture", heads_row=True),
        Column("score", "Mean over seeds, failures as 0; the line is ± their standard deviation.", numeric=True),
        Column("±", "Standard deviation over seeds.", numeric=True),
        Column(rows[0].metric_name, "On the test split, mean over seeds that finished.", numeric=True),
        Column("parameters", numeric=True),
        Column("seeds", numeric=True),
        Column("status"),
        Column("tier"),
        Column("settings"),
    ]
    grid.show(columns, [_configuration(row) for row in rows], caption="Configurations of this task", short=True)


def _configuration(row: Row) -> Line:
    spread = row.score_std or 0
    return Line([
        Link(row.model, page_url("architecture", name=row.model)),
        Score(row.score, max(0, row.score - spread), min(100, row.score + spread)),
        "" if row.score_std is None else f"{row.score_std:.1f}",
        _metric(row.metric_value),
        f"{row.params:,}",
        str(len(row.seeds)),
        ", ".join(f"{count} {status}" for status, count in row.statuses.items()),
        row.budget or NO_TIER,
        " ".join(f"{name}={value}" for name, value in row.settings.items()) or "defaults",
    ])  # fmt: skip


def _runs(newest: Sequence[Run]) -> None:
    columns = [
        Column("run", heads_row=True),
        Column("architecture"),
        Column("seed", numeric=True),
        Column("status"),
        Column(newest[0].metric_name, "On the test split.", numeric=True),
        Column("parameters", numeric=True),
        Column("tier"),
        Column("training", numeric=True),
        Column("finished, UTC"),
    ]
    grid.show(columns, [_run(run) for run in newest], caption="Runs of this task, newest first", short=True)


def _run(run: Run) -> Line:
    return Line([
        Link(run.run_id[:8], page_url("run", id=run.run_id)),
        Link(run.model, page_url("architecture", name=run.model)),
        str(run.seed),
        f"{run.status}: {run.reason}" if run.reason else run.status,
        _metric(run.metric_value),
        f"{run.params_total:,}",
        run.budget or NO_TIER,
        duration(run.train_seconds),
        f"{run.finished_at:%Y-%m-%d %H:%M}",
    ])  # fmt: skip


def _metric(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
