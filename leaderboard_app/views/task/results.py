"""A task's results: every seed of every architecture as a dot, between the trivial and the perfect value."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import altair as alt
import pandas as pd
import streamlit as st

from bench.common.text import metric_text
from bench.ranking.by_task import Row, leaderboard
from db.schema import Run
from leaderboard_app.widgets import configurations
from leaderboard_app.widgets.figures import counted
from leaderboard_app.widgets.marks import LABEL, colour_scale, shape_scale
from leaderboard_app.widgets.row_labels import labels

Chart = alt.LayerChart | alt.FacetChart
ROW_HEIGHT, AXES = 26, 90  # pixels; AXES is for the axis below and the labels above, which are part of a chart's height
MOST_ROWS = 40
ROOM = 1.2  # factor by which a logarithmic axis extends beyond the values


@dataclass(frozen=True)
class Anchors:
    """The metric's values at a score of 0 (`chance`) and of 100 (`solved`)."""

    metric: str
    chance: float
    solved: float

    @property
    def is_error(self) -> bool:
        return self.solved < self.chance


def anchors(runs: Sequence[Run]) -> Anchors:
    """Return the anchors that the newest run recorded."""
    newest = runs[-1]
    return Anchors(newest.metric_name, newest.chance, newest.solved)


def show(runs: Sequence[Run], anchors: Anchors) -> None:
    """Draw dots and table, best first."""
    rows = leaderboard(runs)
    if not rows:
        st.info("Every run here was interrupted, and has no result until it is resumed.")
        return
    named = labels(rows)
    frame = seeds(rows[:MOST_ROWS], named, {run.run_id: run for run in runs})
    if not frame.empty:
        described = f"{anchors.metric} of every seed on the test split, for {counted(len(rows), 'configuration')}"
        st.altair_chart(dots(frame, anchors), width="stretch", alt=described)
    if failures := sum(row.failures for row in rows):
        st.caption(f"{counted(failures, 'run')} did not finish successfully: no dot, and a score of 0.")
    if len(rows) > MOST_ROWS:
        st.caption(f"The best {MOST_ROWS} of {len(rows)} configurations are drawn; the table has them all.")
    configurations.show(rows)


def seeds(rows: Sequence[Row], named: Sequence[str], runs: Mapping[str, Run]) -> pd.DataFrame:
    """Return a row for each run that has a value."""
    return pd.DataFrame([
        {"entry": label, "model": row.model, "seed": run.seed, "value": run.metric_value,
         "value_text": metric_text(run.metric_name, run.metric_value)}
        for row, label in zip(rows, named, strict=False)
        for run in (runs[run_id] for run_id in row.run_ids)
        if run.metric_value is not None
    ])  # fmt: skip


def dots(frame: pd.DataFrame, anchors: Anchors) -> Chart:
    values = [*frame["value"], anchors.chance, anchors.solved]
    x = alt.X(
        "value:Q",
        title=f"{anchors.metric} on the test split",
        scale=_scale(anchors, values),
        axis=alt.Axis(tickCount=6),
    )
    order = list(dict.fromkeys(frame["entry"]))
    y = alt.Y("entry:N", sort=order, title=None, axis=alt.Axis(labelLimit=200, labelOverlap=False, grid=True))
    models = frame["model"]
    marks = alt.Chart(frame).mark_point(filled=True, size=70, opacity=0.8).encode(
        x=x, y=y,
        color=alt.Color("model:N", scale=colour_scale(models), legend=None),
        shape=alt.Shape("model:N", scale=shape_scale(models), legend=None),
        tooltip=["entry", "seed", alt.Tooltip("value_text", title=anchors.metric)],
    )  # fmt: skip
    return alt.layer(*_lines(anchors, x), marks).properties(height=ROW_HEIGHT * len(order) + AXES)


def _scale(anchors: Anchors, values: Sequence[float]) -> alt.Scale:
    """Put better values to the right: the axis of errors is reversed, and logarithmic like their scores."""
    low, high = min(values), max(values)
    if anchors.is_error:
        return alt.Scale(type="log", nice=False, reverse=True, domain=[low / ROOM, high * ROOM])
    return alt.Scale(domain=[low, high], nice=True)


def _lines(anchors: Anchors, x: alt.X) -> tuple[alt.Chart, alt.Chart]:
    ends = pd.DataFrame({"value": [anchors.chance, anchors.solved], "what": ["trivial", "solved"]})
    base = alt.Chart(ends).encode(x=x)
    rules = base.mark_rule(strokeDash=[5, 4], strokeWidth=1.5).encode(color=alt.value(LABEL))
    aligned = alt.expr("datum.what == 'trivial' ? 'left' : 'right'")
    texts = base.mark_text(baseline="bottom", dy=-3, align=aligned).encode(
        text="what", y=alt.value(0), color=alt.value(LABEL)
    )  # fmt: skip
    return rules, texts
