"""A task's metric against sequence length, for models trained at each length and for models tested on longer ones."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import NamedTuple

import altair as alt
import pandas as pd
import streamlit as st

from bench.catalog.names import display_name
from bench.common.text import metric_text
from bench.ranking.by_task import leaderboard
from db.schema import Run
from leaderboard_app.views.task.results import Anchors, Chart
from leaderboard_app.widgets.curves import value_axis
from leaderboard_app.widgets.figures import count_text
from leaderboard_app.widgets.marks import mark
from leaderboard_app.widgets.tables import table
from leaderboard_app.widgets.text import plain

LONGER = re.compile(r"test-(\d+)x")
LEGEND_COLUMNS, LEGEND_ROW = 3, 30  # as many as fit on a phone; pixels
SAME = ["wrapper", "tier", "training"]  # the same along a line of the chart
TRAINED, TESTED = "trained at this length", "trained at a shorter length, tested here"


class Point(NamedTuple):
    """The mean over seeds of a configuration at one length."""

    model: str
    wrapper: str
    tier: str
    training: str
    """The length of training, such as "3000 steps"."""
    trained_at: int
    length: int
    value: float
    """Mean over the seeds that finished."""
    seeds: int
    failures: int


def points(runs: Sequence[Run], lengths: Mapping[str, int]) -> list[Point]:
    """Return the means over the finished seeds of each configuration, at each length.

    Args:
        runs: the runs of the variants of one family.
        lengths: variant → number of steps of its sequences.
    """
    by_id = {run.run_id: run for run in runs}
    found = []
    for row in leaderboard(runs):
        own, trained_at = [by_id[run_id] for run_id in row.run_ids], lengths[row.task]
        values: defaultdict[int, list[float]] = defaultdict(list)
        for length, value in (pair for run in own for pair in _measured(run, trained_at)):
            values[length].append(value)
        key = row.model, row.wrapper, row.budget or "no tier", row.length, trained_at
        found += [Point(*key, length, fmean(each), len(each), row.failures) for length, each in values.items()]
    return sorted(found)


def _measured(run: Run, trained_at: int) -> Iterator[tuple[int, float]]:
    if run.metric_value is not None:
        yield trained_at, run.metric_value
    for split, values in run.metrics.items():
        longer = LONGER.fullmatch(split)
        if longer and run.metric_name in values:
            yield trained_at * int(longer[1]), values[run.metric_name]


def show(found: Sequence[Point], anchors: Anchors) -> None:
    if len({point.length for point in found}) < 2:
        return
    st.subheader("Against the length of the sequences", anchor=False)
    st.altair_chart(chart(found, anchors), width="stretch", alt=described(anchors))
    with st.expander("Against the length, as a table"):
        table([row(point, anchors.metric) for point in found], alt=described(anchors))


def described(anchors: Anchors) -> str:
    return f"{anchors.metric} on the test split against the number of steps, mean over the seeds that finished"


def chart(found: Sequence[Point], anchors: Anchors) -> Chart:
    frame = pd.DataFrame(found)
    frame["how"] = [TRAINED if point.length == point.trained_at else TESTED for point in found]
    legend = alt.Legend(orient="bottom", title=None, columns=LEGEND_COLUMNS, labelLimit=80)
    below = LEGEND_ROW * -(-frame["model"].nunique() // LEGEND_COLUMNS)
    models = sorted(set(frame["model"]), key=display_name)
    shown = [display_name(model) for model in models]
    frame["architecture"] = frame["model"].map(display_name)
    colours, shapes = (list(each) for each in zip(*map(mark, models), strict=True))
    base = alt.Chart(frame).encode(
        x=alt.X("length:Q", title="steps of a sequence", scale=alt.Scale(type="log", nice=False, padding=20)),
        y=value_axis(anchors.metric),
        color=alt.Color("architecture:N", scale=alt.Scale(domain=shown, range=colours), legend=legend),
        shape=alt.Shape("architecture:N", scale=alt.Scale(domain=shown, range=shapes), legend=legend),
        tooltip=[
            "architecture",
            *SAME,
            "length",
            "trained_at",
            "seeds",
            "failures",
            alt.Tooltip("value", format=".4g"),
        ],
    )
    trained = base.transform_filter(alt.datum.how == TRAINED).mark_line(strokeWidth=2).encode(detail=SAME)
    longer = base.mark_line(strokeDash=[4, 4], strokeWidth=1.5).encode(detail=[*SAME, "trained_at"])
    marks = base.mark_point(size=70, filled=True).encode(
        opacity=alt.condition(alt.datum.how == TRAINED, alt.value(1), alt.value(0.6))
    )
    return alt.layer(longer, trained, marks).properties(height=340 + below)


def row(point: Point, metric: str) -> dict[str, str]:
    return {
        "architecture": plain(display_name(point.model)),
        "wrapper": plain(point.wrapper),
        "tier": plain(point.tier),
        "trained for": plain(point.training),
        "trained at": count_text(point.trained_at),
        "tested at": count_text(point.length),
        metric: metric_text(metric, point.value),
        "seeds": count_text(point.seeds),
        "failed": count_text(point.failures),
    }
