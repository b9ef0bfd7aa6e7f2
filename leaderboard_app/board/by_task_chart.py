"""The chart of a task's configurations; how an architecture looks in it is in `marks`."""

import math

import altair as alt
import pandas as pd

from leaderboard_app.marks import LABEL, colour_scale, shape_scale

ROOM = 1.06  # the parameter axis goes on by this factor, so that the first and last labels have room
NEAR = 0.12, 0.06  # shares of the two axes within which a name would be written over another


def score_against_params(rows: pd.DataFrame) -> alt.LayerChart | alt.FacetChart:
    """A point for each row, on a log axis of parameters, with the standard deviation over seeds as a bar.

    Of points that lie close together the best has its name beside it; the others say theirs when they are pointed at.

    Args:
        rows: columns `params`, `score`, `score_std`, `model`, `seeds`, `failures`, the best score first.
    """
    spread = rows["score_std"].fillna(0).infer_objects()
    low, high = (rows["score"] - spread).clip(lower=0), (rows["score"] + spread).clip(upper=100)
    rows = rows.assign(low=low, high=high, seeds=rows["seeds"].map(len))
    domain = [rows["params"].min() / ROOM, rows["params"].max() * ROOM]
    scale = alt.Scale(type="log", nice=False, domain=domain)
    x = alt.X("params:Q", title="parameters", scale=scale, axis=alt.Axis(format="~s", tickCount=5, grid=False))
    y_scale, y_axis = alt.Scale(zero=False, nice=False, padding=25), alt.Axis(format=".1f")
    y = alt.Y("score:Q", title="score", scale=y_scale, axis=y_axis)
    base = alt.Chart(rows).encode(x=x, y=y, color=alt.Color("model:N", scale=colour_scale(rows["model"]), legend=None))
    tooltip = ["model", alt.Tooltip("score", format=".1f"), alt.Tooltip("params", format=","), "seeds", "failures"]
    shape = alt.Shape("model:N", scale=shape_scale(rows["model"]), legend=None)
    points = base.mark_point(size=110, filled=True).encode(tooltip=tooltip, shape=shape)
    bars = base.mark_rule(strokeWidth=2).encode(y=alt.Y("low:Q", title="score"), y2="high:Q")
    names = alt.Chart(rows.iloc[_named(rows)]).mark_text(align="left", dx=8, fontSize=12, limit=60)
    labels = names.encode(x=x, y=y, text="model", color=alt.value(LABEL))
    return alt.layer(bars, points, labels).properties(height=360)


def _named(rows: pd.DataFrame) -> list[int]:
    """The positions of the rows whose names have room, the best first."""
    places = list(zip(_shares(rows["params"].map(math.log)), _shares(rows["score"]), strict=True))
    named: list[int] = []
    for index, (x, y) in enumerate(places):
        if all(abs(x - places[other][0]) > NEAR[0] or abs(y - places[other][1]) > NEAR[1] for other in named):
            named.append(index)
    return named


def _shares(values: "pd.Series[float]") -> list[float]:
    """Where each value lies between the least, 0, and the greatest, 1."""
    span = values.max() - values.min() or 1.0
    return list((values - values.min()) / span)
