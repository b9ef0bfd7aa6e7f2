"""The board: filters, table, accuracy against parameters, learning curves of a run."""

from collections.abc import Sequence
from dataclasses import asdict

import pandas as pd
import streamlit as st

from bench.ranking import Row, leaderboard
from bench.report import summary
from db.schema import Run
from db.store import Store
from leaderboard_app import charts
from leaderboard_app.data import open_store

NO_TIER = "no tier"
EVERY = "all"
EMPTY = """
**No runs yet.** Train the first architecture, then reload this page:

```
python -m bench run --model fru
```
"""


def render(store: Store) -> None:
    st.title("Which sequence model remembers?")
    st.caption(
        "Every seed is kept, the test split is read once, and a run that failed counts as zero. "
        "The score is 100 × the way from a predictor that remembers nothing (0) to a solved task (100)."
    )
    runs = store.runs()
    if not runs:
        st.info(EMPTY)
        return
    task, tier = _filters(runs)
    rows = [row for row in leaderboard(runs) if row.task == task and tier in (EVERY, row.budget or NO_TIER)]
    if not rows:
        st.info("No finished or failed run of this task in this tier.")
    else:
        _table(rows)
        _chart(rows)
    _curves(store, [run for run in runs if run.task == task and tier in (EVERY, run.budget or NO_TIER)])


def _filters(runs: Sequence[Run]) -> tuple[str, str]:
    left, right, _ = st.columns([2, 2, 3])
    task = left.selectbox("Task", sorted({run.task for run in runs}), key="task")
    tiers = sorted({run.budget or NO_TIER for run in runs if run.task == task})
    return task, right.selectbox("Parameter tier", [EVERY, *tiers], key="tier")


def _table(rows: Sequence[Row]) -> None:
    table = pd.DataFrame([
        {
            "architecture": row.model,
            "score": row.score,
            "±": "" if row.score_std is None else f"{row.score_std:.1f}",
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
        "score": st.column_config.ProgressColumn(format="%.1f", min_value=0, max_value=100, color="primary"),
        "±": st.column_config.TextColumn(help="Standard deviation over seeds"),
        rows[0].metric_name: st.column_config.NumberColumn(format="%.4f", help="On the test split, mean over seeds"),
        "parameters": st.column_config.NumberColumn(format="localized"),
    }
    st.dataframe(table, hide_index=True, column_config=columns, width="stretch")


def _chart(rows: Sequence[Row]) -> None:
    st.subheader("Score against parameters")
    st.altair_chart(charts.score_against_params(pd.DataFrame(map(asdict, rows))), width="stretch")


def _curves(store: Store, runs: Sequence[Run]) -> None:
    st.subheader("Learning curves")
    newest_first = list(reversed(runs))
    if not newest_first:
        st.info("No run of this task in this tier.")
        return
    run = st.selectbox("Run", newest_first, format_func=_label, key="run")
    if run.reason:
        st.warning(f"{run.status}: {run.reason}")
    points = pd.DataFrame([{"name": p.name, "step": p.step, "value": p.value} for p in store.curves(run)])
    if points.empty:
        st.info("This run ended before its first evaluation.")
    else:
        st.altair_chart(charts.learning_curves(points, run.metric_name), width="stretch")
    with st.expander("The record of this run"):
        st.json(summary(run))
        st.code(run.command, language="shell")


def _label(run: Run) -> str:
    result = run.status if run.metric_value is None else f"{run.metric_name} {run.metric_value:.4f}"
    return f"{run.model} · {run.budget or NO_TIER} · seed {run.seed} · {result} · {run.run_id[:8]}"


render(open_store())
