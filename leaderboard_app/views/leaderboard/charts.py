"""The board's two charts: the score against its cost, and how certain the order is.

They are made with Altair and cached as Vega-Lite, since making one takes a tenth of a second. Each architecture has its
own shape and colour. Entries that are not in front are faded.
"""

from collections.abc import Callable, Iterable
from functools import lru_cache
from math import ceil
from typing import Any, NamedTuple

import altair as alt
import pandas as pd

from bench.ranking.rows import SuiteRow
from leaderboard_app.views.leaderboard.mark_labels import ends, named, texts
from leaderboard_app.views.leaderboard.table import Naming, shown_name
from leaderboard_app.widgets.marks import LABEL, colour_scale, shape_scale

Spec = dict[str, Any]
Rows = tuple[SuiteRow, ...]
Drawing = Callable[[], Spec | None]

FADED = 0.35
IN_FRONT = "datum.in_front"


class Axis(NamedTuple):
    """The quantity that the score is plotted against."""

    field: str
    title: str


PARAMETERS = Axis("params", "parameters outside token tables")
TIME = Axis("train_seconds", "seconds of training, one seed of every task")


@lru_cache(maxsize=32)
def score_against(
    rows: Rows, axis: Axis, tier: str | None = None, name: Naming = shown_name, *, apart: bool = False
) -> Spec | None:
    """Draw each entry with its interval on a logarithmic axis, and the Pareto front as steps.

    The best entry of each tier and contest is named where there is room. The tooltip names the others.

    Args:
        tier: the tier drawn in front; None draws all tiers in front.
        name: how an entry is called.
        apart: whether each wrapper is a contest of its own, with a front of its own.

    Returns:
        The Vega-Lite spec; None if no entry has both a score and a value on the axis.
    """
    frame = _frame((row for row in rows if getattr(row, axis.field) is not None), name)
    if frame.empty:
        return None
    frame["contest"] = frame["wrapper"] if apart else ""
    frame["in_front"] = frame["ranked"] & ((frame["tier"] == tier) | (tier is None))
    x = alt.X(f"{axis.field}:Q", title=axis.title, scale=_log_scale(frame[axis.field]), axis=_AXIS)
    scale = alt.Scale(domain=_tens(frame["low"].min()))
    y = alt.Y("score:Q", title="score", scale=scale)
    base = alt.Chart(frame).encode(x=x, opacity=_OPACITY)
    steps = alt.Chart(_steps(frame, axis.field)).mark_line(interpolate="step-after", strokeWidth=1.5, strokeDash=[4, 3])
    best = frame[frame["ranked"]].sort_values("score", ascending=False).drop_duplicates(["tier", "contest"])
    names = texts(alt.Chart(named(frame, axis.field, "entry", best.index)))
    return alt.layer(
        steps.encode(x=x, y=y, detail="contest:N", color=alt.value(LABEL)),
        _whiskers(base.encode(y=alt.Y("low:Q", title="score", scale=scale), y2="high:Q"), frame),
        _marks(base.encode(y=y), frame),
        names.encode(x=x, y=y, text="entry:N"),
    ).properties(height=380).to_dict()  # fmt: skip


@lru_cache(maxsize=32)
def intervals(rows: Rows, name: Naming = shown_name) -> Spec | None:
    """Draw the entries in their order, each with its score and 95% interval. None if no entry has a score."""
    frame = _frame(rows, name)
    if frame.empty:
        return None
    frame["in_front"] = frame["ranked"]
    y = alt.Y("entry:N", sort=list(frame["entry"]), title=None, axis=alt.Axis(labelLimit=150, labelOverlap=False))
    base = alt.Chart(frame).encode(y=y, opacity=_OPACITY)
    whiskers = _whiskers(base.encode(x=_x("low"), x2="high:Q"), frame)
    marks = _marks(base.encode(x=_x("score")), frame)
    return alt.layer(whiskers, marks).properties(height=22 * len(frame) + 90).to_dict()


def front(frame: pd.DataFrame, field: str) -> pd.DataFrame:
    """Return the Pareto front: ranked entries that no other reaches with as little of `field`, smallest first."""
    ordered = frame[frame["ranked"]].sort_values([field, "score"], ascending=[True, False], kind="stable")
    return ordered[ordered["score"] > ordered["score"].cummax().shift(fill_value=-1)]


def picture(spec: Spec, title: str) -> Spec:
    """Return a chart for a paper: on white, of a fixed size, with a title."""
    return spec | {"title": title, "width": 640, "background": "white", "config": {"font": "Helvetica"}}


def _frame(rows: Iterable[SuiteRow], name: Naming) -> pd.DataFrame:
    return pd.DataFrame([
        {
            "model": row.model, "entry": name(row), "wrapper": row.wrapper, "tier": row.budget, "score": row.score,
            "low": row.score if row.score_low is None else row.score_low,
            "high": row.score if row.score_high is None else row.score_high,
            "params": row.params, "train_seconds": row.train_seconds, "seeds": row.seeds, "failures": row.failures,
            "verification": row.verification, "ranked": row.rank_low is not None,
        }
        for row in rows if row.score is not None
    ])  # fmt: skip


def _log_scale(values: "pd.Series[float]") -> alt.Scale:
    return alt.Scale(type="log", nice=False, domain=ends(values))


def _tens(lowest: float) -> tuple[int, int]:
    """Return the ends of the score axis: the last multiple of ten below the lowest score, and 100, the maximum."""
    return 10 * max(0, ceil(lowest / 10) - 1), 100


def _steps(frame: pd.DataFrame, field: str) -> pd.DataFrame:
    """Return the front of each contest, extended to the end of the axis."""
    _, end = ends(frame[field])
    fronts = [front(own, field) for _, own in frame.groupby("contest")]
    return pd.concat([part for best in fronts for part in (best, best.tail(1).assign(**{field: end}))])


def _x(field: str) -> alt.X:
    scale, axis = alt.Scale(zero=False, nice=True), alt.Axis(tickCount=10)
    return alt.X(f"{field}:Q", title="score, 95% interval", scale=scale, axis=axis)


def _whiskers(chart: alt.Chart, frame: pd.DataFrame) -> alt.Chart:
    colour = alt.Color("model:N", scale=colour_scale(frame["model"]), legend=None)
    return chart.mark_rule(strokeWidth=2).encode(color=colour)


def _marks(chart: alt.Chart, frame: pd.DataFrame) -> alt.Chart:
    """Draw the marks that can be pointed at and clicked."""
    marks = chart.mark_point(size=90, filled=True, cursor="pointer").encode(
        color=alt.Color("model:N", scale=colour_scale(frame["model"]), legend=None),
        shape=alt.Shape("model:N", scale=shape_scale(frame["model"]), legend=None),
        tooltip=[
            alt.Tooltip("entry:N"), alt.Tooltip("tier:N"), alt.Tooltip("score:Q", format=".1f"),
            alt.Tooltip("low:Q", format=".1f", title="from"), alt.Tooltip("high:Q", format=".1f", title="to"),
            alt.Tooltip("params:Q", format=",.0f", title="parameters"),
            alt.Tooltip("train_seconds:Q", format=",.0f", title="train seconds"),
            alt.Tooltip("seeds:Q"), alt.Tooltip("failures:Q"), alt.Tooltip("verification:N"),
        ],
    )  # fmt: skip
    return marks.add_params(alt.selection_point(name="picked", fields=["model"]))


_AXIS = alt.Axis(format="~s", tickCount=5, grid=False)
_OPACITY = alt.condition(IN_FRONT, alt.value(1), alt.value(FADED))
