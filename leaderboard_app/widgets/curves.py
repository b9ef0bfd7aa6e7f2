"""Learning curves: one run's loss and metric on both splits, or one metric of several runs."""

from collections.abc import Sequence

import altair as alt
import pandas as pd
import streamlit as st

from db.schema import CurvePoint
from leaderboard_app.widgets.marks import COLOURS

SPLITS = ("train", "validation")
HEIGHT = 280
DASHES = ([1, 0], [6, 4], [2, 3], [9, 3, 2, 3])
"""Dashes of a chart's lines, in order, so that the lines differ without their colour too."""


def frame(points: Sequence[CurvePoint]) -> pd.DataFrame:
    """Return columns `split`, `kind`, `step`, `epoch`, `value`, without the values that were not finite."""
    rows = [
        {"split": split, "kind": kind, "step": point.step, "epoch": point.epoch, "value": point.value}
        for point in points
        for split, _, kind in [point.name.partition("/")]
        if point.value is not None
    ]
    return pd.DataFrame(rows, columns=["split", "kind", "step", "epoch", "value"])


def show(points: Sequence[CurvePoint], metric: str) -> None:
    """Draw loss and metric side by side, and the numbers as a table.

    Args:
        points: with a value that is finite among them.
    """
    known = frame(points)
    for column, kind in zip(st.columns(2), ("loss", metric), strict=True):
        of_kind = known[known["kind"] == kind]
        if not of_kind.empty:
            alt_text = f"{kind} over training steps, on train and validation"
            column.altair_chart(by_split(of_kind, kind), width="stretch", alt=alt_text)
    with st.expander("The curves as a table"):
        st.dataframe(as_table(points), hide_index=True, alt="Learning curves")


def by_split(points: pd.DataFrame, title: str) -> alt.Chart:
    drawn = [split for split in SPLITS if split in set(points["split"])]
    legend = alt.Legend(orient="top", title=None, symbolType="stroke", symbolSize=400, values=drawn)
    colour = alt.Color("split:N", scale=alt.Scale(domain=SPLITS, range=COLOURS[:2]), legend=legend)
    dash = alt.StrokeDash("split:N", scale=alt.Scale(domain=SPLITS, range=DASHES[:2]), legend=legend)
    tooltip = ["split", "epoch", "step", alt.Tooltip("value", format=".4g", title=title)]
    return (
        alt.Chart(points)
        .mark_line(point=alt.OverlayMarkDef(size=25), strokeWidth=2)
        .encode(x=step_axis(), y=value_axis(title), color=colour, strokeDash=dash, tooltip=tooltip)
        .properties(height=HEIGHT)
    )


def step_axis() -> alt.X:
    return alt.X("step:Q", title="training step", axis=alt.Axis(format=",d", tickCount=5))


def value_axis(title: str) -> alt.Y:
    """Return a logarithmic axis for errors, and a linear one for accuracies and losses."""
    scale = alt.Scale(type="log", nice=False) if title in ("mse", "mae") else alt.Scale(zero=False)
    return alt.Y("value:Q", title=title, scale=scale)


def as_table(points: Sequence[CurvePoint]) -> pd.DataFrame:
    """Return a row for each evaluation, with a column for each curve."""
    rows = [{"epoch": p.epoch, "step": p.step, "name": p.name, "value": p.value} for p in points]
    table = pd.DataFrame(rows).pivot_table(index=["epoch", "step"], columns="name", values="value", dropna=False)
    return table.reset_index().dropna(how="all", subset=list(table.columns))
