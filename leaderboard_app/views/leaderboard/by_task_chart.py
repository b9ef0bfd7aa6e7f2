"""The chart of a task's configurations. `marks` says how each architecture looks."""

import altair as alt
import pandas as pd

from leaderboard_app.views.leaderboard.mark_labels import ends, named, texts
from leaderboard_app.widgets.marks import colour_scale, shape_scale


def score_against_params(rows: pd.DataFrame) -> alt.LayerChart | alt.FacetChart:
    """Draw a point for each row on a log axis of parameters, with the standard deviation over seeds as a bar.

    Points are named where there is room, the best first. The tooltip names the others.

    Args:
        rows: columns `params`, `score`, `score_std`, `model`, `entry`, `seeds`, `failures`, the best score first.
    """
    spread = rows["score_std"].fillna(0).infer_objects()
    low, high = (rows["score"] - spread).clip(lower=0), (rows["score"] + spread).clip(upper=100)
    rows = rows.assign(low=low, high=high, seeds=rows["seeds"].map(len))
    scale = alt.Scale(type="log", nice=False, domain=ends(rows["params"]))
    x = alt.X("params:Q", title="parameters", scale=scale, axis=alt.Axis(format="~s", tickCount=5, grid=False))
    y_scale, y_axis = alt.Scale(zero=False, nice=False, padding=25), alt.Axis(format=".1f")
    y = alt.Y("score:Q", title="score", scale=y_scale, axis=y_axis)
    base = alt.Chart(rows).encode(x=x, y=y, color=alt.Color("model:N", scale=colour_scale(rows["model"]), legend=None))
    tooltip = [
        alt.Tooltip("entry", title="architecture"),
        alt.Tooltip("score", format=".1f"),
        alt.Tooltip("params", format=","),
        "seeds",
        "failures",
    ]
    shape = alt.Shape("model:N", scale=shape_scale(rows["model"]), legend=None)
    points = base.mark_point(size=110, filled=True).encode(tooltip=tooltip, shape=shape)
    bars = base.mark_rule(strokeWidth=2).encode(y=alt.Y("low:Q", title="score"), y2="high:Q")
    names = texts(alt.Chart(named(rows, "params", "entry", range(len(rows)))))
    labels = names.encode(x=x, y=y, text="entry")
    return alt.layer(bars, points, labels).properties(height=360)
