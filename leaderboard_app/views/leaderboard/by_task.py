"""Every run, task by task, including those that no suite ranks."""

from collections.abc import Sequence

import streamlit as st

from bench.catalog.names import numerically
from bench.ranking.by_task import leaderboard
from bench.ranking.utility import score
from db.schema import Run
from db.standing import Standing
from leaderboard_app.data import comparable
from leaderboard_app.views.leaderboard.by_task_chart import score_against_params
from leaderboard_app.widgets import configurations, run_list
from leaderboard_app.widgets.address import one_of
from leaderboard_app.widgets.configurations import NO_TIER

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
        configurations.show(rows)
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
        task = one_of(st.selectbox, "Task", names, "task", what="task", default=runs[-1].task, width=300)
        of_task = [run for run in runs if run.task == task]
        tiers = [EVERY, *sorted({run.budget or NO_TIER for run in of_task})]
        tier = one_of(
            st.segmented_control, "Parameters", tiers, "size", what="tier", default=EVERY, said=False,
            required=True,
        )  # fmt: skip
    return [run for run in of_task if tier in (EVERY, run.budget or NO_TIER)]
