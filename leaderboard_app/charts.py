"""Charts that several pages share; how an architecture looks in them is in `marks`."""

import altair as alt
import pandas as pd

from leaderboard_app.marks import COLOURS, LABEL, colour_scale, shape_scale

ROOM = 1.06  # the parameter axis goes on by this factor, so that the first and last labels have room


def score_against_params(rows: pd.DataFrame) -> alt.LayerChart | alt.FacetChart:
    """A labelled point for each row, on a log axis of parameters, with the standard deviation over seeds as a bar.

    Args:
        rows: columns `params`, `score`, `score_std`, `model`, `seeds`, `failures`.
    """
    spread = rows["score_std"].fillna(0).infer_objects()
    low, high = (rows["score"] - spread).clip(lower=0), (rows["score"] + spread).clip(upper=100)
    rows = rows.assign(low=low, high=high, seeds=rows["seeds"].map(len))
    domain = [rows["params"].min() / ROOM, rows["params"].max() * ROOM]
    scale = alt.Scale(type="log", nice=False, domain=domain)
    x = alt.X("params:Q", title="parameters", scale=scale, axis=alt.Axis(format="~s", tickCount=5))
    y = alt.Y("score:Q", title="score", scale=alt.Scale(zero=False, nice=False, padding=25))
    base = alt.Chart(rows).encode(x=x, y=y, color=alt.Color("model:N", scale=colour_scale(rows["model"]), legend=None))
    tooltip = ["model", alt.Tooltip("score", format=".1f"), alt.Tooltip("params", format=","), "seeds", "failures"]
    shape = alt.Shape("model:N", scale=shape_scale(rows["model"]), legend=None)
    points = base.mark_point(size=110, filled=True).encode(tooltip=tooltip, shape=shape)
    bars = base.mark_rule(strokeWidth=2).encode(y=alt.Y("low:Q", title="score"), y2="high:Q")
    labels = base.mark_text(align="left", dx=8, fontSize=12).encode(text="model", color=alt.value(LABEL))
    return alt.layer(bars, points, labels).properties(height=360)


def learning_curves(points: pd.DataFrame, metric: str) -> alt.HConcatChart:
    """Loss and metric over optimiser steps, side by side.

    Args:
        points: columns `name` ("train/loss", "validation/loss", "validation/<metric>", …), `step`, `value`.
    """
    points = points.dropna(subset=["value"])
    split_and_kind = points["name"].str.split("/", n=1, expand=True)
    points = points.assign(split=split_and_kind[0], kind=split_and_kind.get(1))
    return alt.hconcat(
        _curve(points[points["kind"] == "loss"], "loss"), _curve(points[points["kind"] == metric], metric)
    )


def _curve(points: pd.DataFrame, title: str) -> alt.Chart:
    colour = alt.Color("split:N", title=None, scale=alt.Scale(domain=["train", "validation"], range=COLOURS[:2]))
    tooltip = ["split", "step", alt.Tooltip("value", format=".4f")]
    y = alt.Y("value:Q", title=title, scale=alt.Scale(zero=False))
    chart = (
        alt.Chart(points)
        .mark_line(point=True)
        .encode(x=alt.X("step:Q", title="step"), y=y, color=colour, tooltip=tooltip)
    )
    return chart.properties(width=430, height=280)
