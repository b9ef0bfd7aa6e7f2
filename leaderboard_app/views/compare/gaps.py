"""By how much the other entries differ from the first: as sentences, as a chart and as a table."""

import math
from collections.abc import Sequence

import altair as alt
import pandas as pd
import streamlit as st

from bench.common.text import NONE
from bench.ranking.cells import FloatArray
from bench.ranking.difference import Difference, Differences, differences
from leaderboard_app.views.compare.entries import Contestants
from leaderboard_app.views.compare.sides import Sides
from leaderboard_app.widgets.figures import score_text
from leaderboard_app.widgets.marks import LABEL
from leaderboard_app.widgets.tables import table
from leaderboard_app.widgets.text import plain

LINE_HEIGHT, ROW_GAP, AROUND = 16, 10, 110  # pixels: an entry, between tasks, for legend and axis
LONGEST = 320  # pixels of a name


def show(field: Contestants, indices: Sequence[int], sides: Sides) -> None:
    """Draw the differences from the first entry, with 95% Welch intervals for other seeds."""
    names = sides.names
    found = {
        name: differences(field.table, field.tasks, index, indices[0])
        for name, index in zip(names[1:], indices[1:], strict=True)
    }
    for name, each in found.items():
        st.markdown(sentence(name, names[0], each, len(field.tasks)))
    frame = points(found)
    if not frame.empty:
        described = f"Differences of score from {names[0]}, by task, with 95% intervals"
        st.altair_chart(_chart(frame, sides, names), width="stretch", alt=described)
    table(_rows(field, indices, names, found), alt="Scores and differences by task")
    st.caption(
        "A score is the mean over seeds; a failed run counts as 0. Intervals are 95% Welch intervals for other seeds. "
        "They are not corrected for multiple comparisons; the ranks of the leaderboard are."
    )


def sentence(name: str, base: str, found: Differences, tasks: int) -> str:
    """Describe the difference over all tasks in a sentence."""
    if found.overall is None:
        return f"**{plain(name)}** and {plain(base)} have no task in common yet."
    shared = len(found.by_task)
    where = "on all tasks" if shared == tasks else f"on the {shared} of {tasks} tasks that both have"
    gap = found.overall
    size = f"{abs(gap.score):.1f} points {'above' if gap.score >= 0 else 'below'} {plain(base)}"
    if gap.low is None or gap.high is None:
        return f"**{plain(name)}** is {size} {where}; too few seeds, or no spread among them, for an interval."
    verdict = "could be zero" if gap.low <= 0 <= gap.high else "is larger than the variation between seeds explains"
    return f"**{plain(name)}** is {size} {where}, 95% interval {gap_text(gap)}: a difference that {verdict}."


def gap_text(gap: Difference) -> str:
    return "no interval" if gap.low is None or gap.high is None else f"{signed(gap.low)} to {signed(gap.high)}"


def signed(value: float) -> str:
    return f"{value:+.1f}".replace("-", "−")


def points(found: dict[str, Differences]) -> pd.DataFrame:
    """Return a row for each entry and task, the row of all tasks first."""
    rows = [
        {"entry": name, "task": task, "gap": gap.score, "low": gap.low, "high": gap.high, "interval": gap_text(gap)}
        for name, each in found.items()
        for task, gap in {"all tasks": each.overall, **each.by_task}.items()
        if gap is not None
    ]
    return pd.DataFrame(rows)


def _chart(frame: pd.DataFrame, sides: Sides, names: Sequence[str]) -> alt.LayerChart | alt.FacetChart:
    order = list(dict.fromkeys(frame["task"]))
    legend = alt.Legend(orient="top", title=None, labelLimit=LONGEST, values=list(names[1:]))
    base = alt.Chart(frame).encode(
        y=alt.Y("task:N", sort=order, title=None), yOffset=alt.YOffset("entry:N", sort=list(names[1:]))
    )
    title = f"points of score above {names[0]}"
    axis = alt.Axis(tickCount=8, titleLimit=LONGEST)
    x = alt.X("gap:Q", title=title, axis=axis)
    zero = alt.Chart(pd.DataFrame({"gap": [0]})).mark_rule(color=LABEL, strokeDash=[5, 4]).encode(x=x)
    whiskers = base.mark_rule(strokeWidth=2).encode(
        x=alt.X("low:Q", title=title, axis=axis), x2="high:Q", color=sides.colour(names, legend)
    )
    marks = base.mark_point(filled=True, size=80).encode(
        x=x, color=sides.colour(names, legend), shape=sides.shape(names, legend),
        tooltip=["entry", "task", alt.Tooltip("gap", format="+.1f"), "interval"],
    )  # fmt: skip
    height = (LINE_HEIGHT * len(names[1:]) + ROW_GAP) * len(order) + AROUND
    return alt.layer(zero, whiskers, marks).properties(height=height)


def _rows(
    field: Contestants, indices: Sequence[int], names: Sequence[str], found: dict[str, Differences]
) -> list[dict[str, str]]:
    """Return rows of scores and differences: first the mean over all tasks, then each task."""
    mean_NT = field.table.mean[list(indices)]
    overall = _row("**all tasks**", names, mean_NT.mean(1), {name: each.overall for name, each in found.items()})
    return [overall] + [
        _row(plain(task), names, mean_NT[:, t], {name: each.by_task.get(task) for name, each in found.items()})
        for t, task in enumerate(field.tasks)
    ]


def _row(task: str, names: Sequence[str], scores: FloatArray, gaps: dict[str, Difference | None]) -> dict[str, str]:
    own = {plain(name): known(score) for name, score in zip(names, scores, strict=True)}
    return {"task": task, **own, **{f"{plain(name)}, difference": gap_cell(gap) for name, gap in gaps.items()}}


def known(score: float) -> str:
    return score_text(None if math.isnan(score) else score)


def gap_cell(gap: Difference | None) -> str:
    return NONE if gap is None else f"{signed(gap.score)} ({gap_text(gap)})"
