"""Every run, task by task, including those that no suite ranks."""

from collections.abc import Sequence

import streamlit as st

from bench.catalog.names import display_name, numerically
from bench.common.text import metric_text
from bench.ranking.by_task import Row, leaderboard
from bench.ranking.utility import score
from db.schema import Run
from db.standing import Standing
from leaderboard_app.data import comparable
from leaderboard_app.views.leaderboard.by_task_chart import score_against_params
from leaderboard_app.widgets import grid, run_list
from leaderboard_app.widgets.address import start
from leaderboard_app.widgets.figures import statuses_text
from leaderboard_app.widgets.grid import LEARNED, Column, Line, Link, Score, number, share
from leaderboard_app.widgets.links import page_url
from leaderboard_app.widgets.trained_for import SETTINGS, STEPS, trained

NO_TIER = "no tier"
EVERY = "all"
CHART = "Score against parameters; the table above has the numbers"


def show(runs: Sequence[Run], standing: Standing) -> None:
    """Draw a task's configurations, best first, and its runs, newest first."""
    counted = comparable(standing.counted(runs))
    if not counted:
        st.info("No run here counts: all were retracted, superseded, or trained by a paper's own protocol.")
        return
    chosen = _chosen(counted)
    rows = leaderboard(chosen)
    if rows:
        _configurations(rows)
        scores = {run.run_id: score(run) for run in chosen}
        st.vega_lite_chart(spec=score_against_params(rows, scores), width="stretch", alt=CHART)
        st.caption("A mark is the mean of a configuration's seeds, a dot one of them.")
    else:
        st.info("Every run of this task was interrupted and has no result yet. `--resume` continues a run.")
    st.subheader("Its runs, newest first")
    run_list.show(chosen, standing.withdrawn)


def _chosen(runs: Sequence[Run]) -> list[Run]:
    """Return the runs of the chosen task and tier. The first choice is the task of the latest run."""
    with st.container(horizontal=True):
        names = sorted({run.task for run in runs}, key=numerically)
        start("task", runs[-1].task, names)
        task = st.selectbox("Task", names, index=None, key="task", bind="query-params", width=300) or runs[-1].task
        of_task = [run for run in runs if run.task == task]
        tiers = [EVERY, *sorted({run.budget or NO_TIER for run in of_task})]
        tier = st.segmented_control("Parameters", tiers, default=EVERY, required=True, key="size", bind="query-params")
    return [run for run in of_task if tier in (EVERY, run.budget or NO_TIER)]


def _configurations(rows: Sequence[Row]) -> None:
    columns, lines = configurations(rows)
    grid.show(columns, lines, caption="Configurations of this task", short=True)


def configurations(rows: Sequence[Row]) -> tuple[list[Column], list[Line]]:
    """Return the table of a task's configurations."""
    columns = [
        Column("architecture", heads_row=True),
        Column("score", "Mean over seeds, with failures as 0. The line is ± the standard deviation.", numeric=True),
        Column("±", "Standard deviation over seeds.", numeric=True),
        LEARNED,
        Column(rows[0].metric_name, "On the test split: mean over the seeds that finished.", numeric=True),
        Column("parameters", numeric=True),
        Column("seeds", numeric=True),
        STEPS,
        Column("status"),
        Column("tier"),
        SETTINGS,
    ]
    return columns, [_configuration(*each) for each in trained(rows)]


def _configuration(row: Row, steps: str, settings: str) -> Line:
    return Line([
        Link(display_name(row.model), page_url("architecture", name=row.model)),
        Score.over_seeds(row.score, row.score_std),
        number(row.score_std),
        share(row.learned),
        metric_text(row.metric_name, row.metric_value),
        f"{row.params:,}",
        str(len(row.seeds)),
        steps,
        statuses_text(row.statuses),
        row.budget or NO_TIER,
        settings,
    ])  # fmt: skip
