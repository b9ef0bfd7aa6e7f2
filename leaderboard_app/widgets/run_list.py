"""The list of runs."""

from collections.abc import Mapping, Sequence

import streamlit as st

from bench.catalog.names import display_name
from bench.common.text import NONE, metric_text
from db.schema import Run
from leaderboard_app.widgets import grid
from leaderboard_app.widgets.figures import count_text, duration_text
from leaderboard_app.widgets.grid import Column, Line, Link
from leaderboard_app.widgets.links import page_url

NEWEST = 100
COLUMNS = [
    Column("run", heads_row=True),
    Column("finished, UTC"),
    Column("architecture"),
    Column("task"),
    Column("tier"),
    Column("seed", numeric=True),
    Column("status"),
    Column("metric", "On the test split."),
    Column("parameters", numeric=True),
    Column("steps", "Training steps.", numeric=True),
    Column("training", numeric=True),
]


def show(runs: Sequence[Run], withdrawn: Mapping[str, str]) -> None:
    """Draw the newest of some runs, newest first, each with a link. A run that no longer counts says why."""
    newest = runs[: -NEWEST - 1 : -1]
    grid.show(
        COLUMNS, [line(run, withdrawn.get(run.run_id)) for run in newest], caption="Runs, newest first", short=True
    )
    if len(runs) > NEWEST:
        st.caption(f"The newest {NEWEST} of {len(runs):,}; `python -m bench runs` lists them all.")


def line(run: Run, withdrawn: str | None) -> Line:
    """Return a run's cells for COLUMNS.

    Args:
        withdrawn: why the run no longer counts, if it does not.
    """
    status = withdrawn or run.status
    return Line([
        Link(run.run_id[:8], page_url("run", id=run.run_id)),
        f"{run.finished_at:%Y-%m-%d %H:%M}",
        Link(display_name(run.model), page_url("architecture", name=run.model)),
        run.task,
        run.budget or "none",
        str(run.seed),
        f"{status}: {run.reason}" if run.reason else status,
        f"{run.metric_name} {metric_text(run.metric_name, run.metric_value)}",
        count_text(run.params_total),
        count_text(run.steps),
        duration_text(run.train_seconds) if run.steps else NONE,
    ])  # fmt: skip
