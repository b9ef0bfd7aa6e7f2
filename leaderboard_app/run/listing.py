"""Which runs there are."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from db.schema import Run
from leaderboard_app.figures import metric_text
from leaderboard_app.links import page_url

NEWEST = 100


def show(runs: Sequence[Run]) -> None:
    """The newest of some runs, newest first, each with a link."""
    newest = list(reversed(runs))[:NEWEST]
    frame = pd.DataFrame([_row(run) for run in newest])
    columns = {"run": st.column_config.LinkColumn(display_text=r"id=(\w{8})", pinned=True)}
    st.dataframe(frame, hide_index=True, column_config=columns, alt="Runs, newest first")
    if len(runs) > NEWEST:
        st.caption(f"The newest {NEWEST} of {len(runs):,}; `python -m bench runs` lists them all.")


def _row(run: Run) -> dict[str, object]:
    return {
        "run": page_url("run", id=run.run_id),
        "architecture": run.model,
        "task": run.task,
        "tier": run.budget or "",
        "seed": run.seed,
        "status": run.status,
        "metric": f"{run.metric_name} {metric_text(run.metric_name, run.metric_value)}",
        "finished": run.finished_at,
    }
