"""The board's two pictures: how sure the order is, and what accuracy costs."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import altair as alt
import pandas as pd

from bench.catalogue import ModelFacts
from bench.ranking import SuiteRow
from leaderboard_app.board.table import shown_name
from leaderboard_app.marks import LABEL, colour_scale, shape_scale

Chart = alt.LayerChart | alt.FacetChart

FADED = 0.35
IN_FRONT = "datum.in_front"  # of the chosen tier, and ranked
ROOM = 1.2  # a logarithmic axis goes on by this factor, and by twice that where the first label is


@dataclass(frozen=True)
class Axis:
    """What the score is held against."""

    field: str
    title: str
    format: str


PARAMETERS = Axis("params", "parameters outside token tables", "~s")
TIME = Axis("train_seconds", "seconds of training, one seed of every task", "~s")


def points(rows: Iterable[SuiteRow], facts: Mapping[str, ModelFacts], tier: str | None = None) -> pd.DataFrame:
    """A row for each entry that has a score.

    Args:
        tier: the tier in front; None where all are.
    """
    return pd.DataFrame([
        {
            "model": row.model, "entry": shown_name(row, facts.get(row.model)), "tier": row.budget, "score": row.score,
            "low": row.score if row.score_low is None else row.score_low,
            "high": row.score if row.score_high is None else row.score_high,
            "params": row.params, "train_seconds": row.train_seconds, "seeds": row.seeds, "failures": row.failures,
            "verification": row.verification, "ranked": row.rank_low is not None,
            "in_front": tier in (None, row.budget) and row.rank_low is not None,
        }
        for row in rows if row.score is not None
    ])  # fmt: skip


def front(frame: pd.DataFrame, field: str) -> pd.DataFrame:
    """The ranked entries that nothing beats with as little, from the smallest to the largest."""
    ordered = frame[frame["ranked"]].sort_values([field, "score"], ascending=[True, False], kind="stable")
    return ordered[ordered["score"] > ordered["score"].cummax().shift(fill_value=-1)]


def score_against(frame: pd.DataFrame, axis: Axis) -> Chart:
    """A mark with its interval for each entry, on a logarithmic axis, and the Pareto front as steps.

    The best entry of each tier has its name beside it; the others say theirs when they are pointed at.
    """
    frame = frame.dropna(subset=[axis.field])
    best = front(frame, axis.field)
    domain = [frame[axis.field].min() / ROOM**2, frame[axis.field].max() * ROOM]
    x = alt.X(f"{axis.field}:Q", title=axis.title, scale=alt.Scale(type="log", nice=False, domain=domain),
              axis=alt.Axis(format=axis.format, tickCount=5, grid=False))  # fmt: skip
    picked = alt.selection_point(name="picked", fields=["model"])
    base = alt.Chart(frame).encode(x=x, opacity=alt.condition(IN_FRONT, alt.value(1), alt.value(FADED)))
    steps = alt.Chart(_steps(best, axis.field, domain[1])).mark_line(interpolate="step-after", strokeWidth=1.5)
    named = frame[frame["ranked"]].sort_values("score", ascending=False).drop_duplicates("tier")
    labels = alt.Chart(named).mark_text(align="right", dx=-9, dy=-9, fontSize=13).encode(
        x=x, y="score:Q", text="entry:N", color=alt.value(LABEL)
    )  # fmt: skip
    return alt.layer(
        steps.encode(x=x, y=_y(), color=alt.value(LABEL), strokeDash=alt.value([4, 3])),
        _whiskers(base.encode(y=_y("low"), y2="high:Q"), frame["model"]),
        _marks(base.encode(y=_y()), frame["model"]).add_params(picked),
        labels,
    ).properties(height=380)


def intervals(frame: pd.DataFrame) -> Chart:
    """The entries from best to worst, each with its score and 95% interval."""
    y = alt.Y("entry:N", sort=list(frame["entry"]), title=None, axis=alt.Axis(labelLimit=150, labelOverlap=False))
    base = alt.Chart(frame).encode(y=y, opacity=alt.condition(IN_FRONT, alt.value(1), alt.value(FADED)))
    picked = alt.selection_point(name="picked", fields=["model"])
    x = alt.X("score:Q", title="score, 95% interval", scale=alt.Scale(zero=False, nice=True))
    whiskers = _whiskers(base.encode(x=alt.X("low:Q", title="score, 95% interval"), x2="high:Q"), frame["model"])
    marks = _marks(base.encode(x=x), frame["model"]).add_params(picked)
    return alt.layer(whiskers, marks).properties(height=22 * len(frame) + 90)


def _y(field: str = "score") -> alt.Y:
    return alt.Y(f"{field}:Q", title="score", scale=alt.Scale(zero=False, nice=True, padding=10))


def _steps(best: pd.DataFrame, field: str, end: float) -> pd.DataFrame:
    """The front, carried on to the end of the axis."""
    return pd.concat([best, best.tail(1).assign(**{field: end})])


def _whiskers(chart: alt.Chart, models: Iterable[str]) -> alt.Chart:
    return chart.mark_rule(strokeWidth=2).encode(color=alt.Color("model:N", scale=colour_scale(models), legend=None))


def _marks(chart: alt.Chart, models: Iterable[str]) -> alt.Chart:
    return chart.mark_point(size=90, filled=True, cursor="pointer").encode(
        color=alt.Color("model:N", scale=colour_scale(models), legend=None),
        shape=alt.Shape("model:N", scale=shape_scale(models), legend=None),
        tooltip=[
            alt.Tooltip("entry:N"), alt.Tooltip("tier:N"), alt.Tooltip("score:Q", format=".1f"),
            alt.Tooltip("low:Q", format=".1f", title="from"), alt.Tooltip("high:Q", format=".1f", title="to"),
            alt.Tooltip("params:Q", format=",.0f", title="parameters"),
            alt.Tooltip("train_seconds:Q", format=",.0f", title="train seconds"),
            alt.Tooltip("seeds:Q"), alt.Tooltip("failures:Q"), alt.Tooltip("verification:N"),
        ],
    )  # fmt: skip


def picture(chart: Chart, title: str) -> Chart:
    """A chart for a paper: on white, of a fixed size, with a title."""
    return chart.properties(title=title, width=640).configure(background="white", font="Helvetica")
