"""Validation curves of the compared entries on one task, in one chart."""

from collections.abc import Mapping, Sequence
from statistics import fmean

import altair as alt
import pandas as pd
import streamlit as st

from bench.common.text import is_accuracy, metric_text
from db.schema import Run
from db.store import Store
from leaderboard_app.views.compare.sides import Sides
from leaderboard_app.widgets.curves import HEIGHT, step_axis, value_axis
from leaderboard_app.widgets.figures import count_text
from leaderboard_app.widgets.tables import table
from leaderboard_app.widgets.text import plain

MOST_SEEDS = 10
LONGEST = 320  # pixels of a name
Runs = Mapping[str, Sequence[Run]]


def show(store: Store, sides: Sides, runs: Runs) -> None:
    """Draw the metric on validation: a thin line for each seed, a thick one for the mean of an entry's seeds.

    Args:
        runs: entry name → its runs.
    """
    frame = points(store, runs)
    if frame.empty:
        st.info("No learning curves of these runs are recorded.")
        return
    metric = next(run.metric_name for group in runs.values() for run in group)
    described = f"{metric} on validation over training steps, {', '.join(runs)}"
    st.altair_chart(_chart(frame, sides, metric), width="stretch", alt=described)
    table([row(name, group, frame, metric) for name, group in runs.items()], alt=described)


def points(store: Store, runs: Runs) -> pd.DataFrame:
    """Return columns `entry`, `seed`, `step`, `value`."""
    return pd.DataFrame([
        {"entry": name, "seed": run.seed, "step": point.step, "value": point.value}
        for name, group in runs.items()
        for run in group[:MOST_SEEDS]
        for point in store.curves(run)
        if point.name == f"validation/{run.metric_name}" and point.value is not None
    ], columns=["entry", "seed", "step", "value"])  # fmt: skip


def _chart(frame: pd.DataFrame, sides: Sides, metric: str) -> alt.LayerChart | alt.FacetChart:
    names = sides.names
    legend = alt.Legend(
        orient="top", title=None, symbolType="stroke", symbolSize=400, symbolOpacity=1, labelLimit=LONGEST
    )
    base = alt.Chart(frame).encode(
        x=step_axis(), color=sides.colour(names, legend), strokeDash=sides.dash(names, legend)
    )
    seeds = base.mark_line(strokeWidth=1, opacity=0.35).encode(y=value_axis(metric), detail="seed:N")
    tooltip = ["entry", "step", alt.Tooltip("mean(value)", format=".4g", title=metric)]
    means = base.mark_line(strokeWidth=2.5).encode(y=value_axis(metric).aggregate("mean"), tooltip=tooltip)
    return alt.layer(seeds, means).properties(height=HEIGHT + 60)


def row(name: str, runs: Sequence[Run], frame: pd.DataFrame, metric: str) -> dict[str, str]:
    own = frame[frame["entry"] == name]
    by_seed = [values.sort_values("step")["value"] for _, values in own.groupby("seed")]
    best = [values.max() if is_accuracy(metric) else values.min() for values in by_seed]
    last = [values.iloc[-1] for values in by_seed]
    tested = [run.metric_value for run in runs if run.metric_value is not None]
    return {
        "entry": plain(name),
        "curves": count_text(len(by_seed)),
        f"best {plain(metric)} on validation": metric_text(metric, fmean(best) if best else None),
        "at the end": metric_text(metric, fmean(last) if last else None),
        "on test": metric_text(metric, fmean(tested) if tested else None),
        "steps": count_text(own["step"].max() if len(own) else None),
    }
