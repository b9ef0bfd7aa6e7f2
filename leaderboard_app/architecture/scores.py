"""Where an architecture stands: its entries in every suite and tier, and its results task by task."""

from collections.abc import Iterator, Sequence

import pandas as pd
import streamlit as st

from bench.board_formats import entry_name, rank_text
from bench.ranking import Row, SuiteRow, leaderboard
from bench.suites import SUITES
from db.schema import Run
from db.store import Store
from leaderboard_app.data import load_board
from leaderboard_app.figures import (
    bytes_text,
    count_text,
    interval_text,
    metric_text,
    score_text,
    statuses_text,
)
from leaderboard_app.links import page_url
from leaderboard_app.tables import link, table
from leaderboard_app.text import plain


def show_suites(store: Store, model: str, runs: Sequence[Run]) -> None:
    rows = [_suite_row(suite, row) for suite, row in entries(store, model, runs)]
    if rows:
        table(rows, alt="Score and rank in each suite and tier")
        st.caption("Intervals are 95%: where the score would lie for other seeds, and which ranks the data allow.")
    else:
        st.info("It has no run in any suite yet, so that it is not ranked.")


def entries(store: Store, model: str, runs: Sequence[Run]) -> Iterator[tuple[str, SuiteRow]]:
    """Its rows on every board, by suite and tier."""
    for suite in SUITES.values():
        tiers = {run.budget for run in runs if suite.includes(run)}
        for tier in suite.tiers:
            if tier in tiers:
                yield from ((suite.name, row) for row in load_board(store, suite.name, tier).rows if row.model == model)


def _suite_row(suite: str, row: SuiteRow) -> dict[str, str]:
    return {
        "suite": link(suite, "leaderboard", suite=suite, tier=row.budget),
        "tier": plain(row.budget),
        "entry": plain(f"{entry_name(row)} ({row.wrapper})"),
        "rank": rank_text(row),
        "score": score_text(row.score),
        "95% interval": interval_text(row.score_low, row.score_high),
        "parameters": count_text(row.params),
        "state": bytes_text(row.state_bytes) if row.state_bytes is not None else "none",
        "tasks": f"{row.tasks_done} of {row.tasks_total}",
        "failures": count_text(row.failures),
        "verified": plain(row.verification),
    }


def show_tasks(runs: Sequence[Run]) -> None:
    frame = pd.DataFrame([_task_row(row) for row in leaderboard(runs)])
    if frame.empty:
        st.info("Every run of it is still open: it was interrupted, and waits to be resumed.")
        return
    columns = {
        "task": st.column_config.LinkColumn(display_text="name=(.*)$", pinned=True),
        "score": st.column_config.NumberColumn(format="%.1f", help="Mean over seeds; a run that failed counts as 0."),
        "±": st.column_config.NumberColumn(format="%.1f", help="Standard deviation over seeds."),
        "parameters": st.column_config.NumberColumn(format="localized"),
    }
    st.dataframe(frame, hide_index=True, column_config=columns, alt="Results task by task")


def _task_row(row: Row) -> dict[str, object]:
    return {
        "task": page_url("task", name=row.task),
        "tier": row.budget or "none",
        "score": row.score,
        "±": row.score_std,
        "metric": f"{row.metric_name} {metric_text(row.metric_name, row.metric_value)}",
        "parameters": row.params,
        "seeds": len(row.seeds),
        "status": statuses_text(row.statuses),
        "wrapper": row.wrapper,
        "settings": " ".join(f"{name}={value}" for name, value in row.settings.items()) or "defaults",
    }
