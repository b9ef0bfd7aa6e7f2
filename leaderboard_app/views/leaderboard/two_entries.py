"""Two entries, task by task: every seed of both, and how often one scores higher."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

import streamlit as st

from bench.common.csv_latex import csv_text
from bench.ranking.rows import SuiteRow
from bench.ranking.win_rate import win_rate
from bench.reports.seed_scores import SeedScores
from db.store import Store
from leaderboard_app.views.leaderboard import exports
from leaderboard_app.views.leaderboard.seeds import load_seeds
from leaderboard_app.views.leaderboard.shown import Shown
from leaderboard_app.widgets import grid
from leaderboard_app.widgets.address import one_of
from leaderboard_app.widgets.drawing import Spec, chart, layer, number
from leaderboard_app.widgets.grid import Column, Line, Link
from leaderboard_app.widgets.links import page_url
from leaderboard_app.widgets.marks import COLOURS, FAMILY_SHAPES
from leaderboard_app.widgets.text import plain

TITLE = "Two entries, task by task"
NOTE = (
    "A dot is a seed, a stroke the mean. The win rate is the share of pairs of seeds, one of each entry, in which the "
    "first scores higher; a tie counts half. At 50% neither is ahead."
)
Scores = Mapping[str, tuple[Sequence[float], Sequence[float]]]
"""Task → the scores of the seeds of both."""


def show(store: Store, shown: Shown) -> None:
    rows = {shown.full_name(row): row for row in shown.rows}
    if len(rows) < 2:
        st.info("Two entries are compared here; one is shown.")
        return
    with st.container(horizontal=True):
        first = _choose("First entry", list(rows), "first")
        second = _choose("Second entry", [name for name in rows if name != first], "second")
    pair, scores = (first, second), both(load_seeds(store, shown.suite), rows[first], rows[second], shown.suite.tasks)
    if not scores:
        st.info("Choose two entries that have a task in common.")
        return
    st.markdown(said(scores, pair))
    st.vega_lite_chart(spec=drawn(scores, pair), width="stretch", key="pair", alt=f"{TITLE}; the table has the numbers")
    st.caption(NOTE)
    exports.chart_menu(shown, lambda: drawn(scores, pair), TITLE, lambda: csv_text(*cells(scores, pair)))
    columns, lines = table(scores, pair)
    grid.show(columns, lines, caption=TITLE)


def _choose(label: str, names: Sequence[str], key: str) -> str:
    return one_of(st.selectbox, label, names, key, what="entry", default=names[0], said=False)


def both(
    scores: SeedScores, first: SuiteRow, second: SuiteRow, tasks: Iterable[str]
) -> dict[str, tuple[list[float], list[float]]]:
    """Return the scores of both entries' seeds on the tasks that both have results on."""
    found = {task: [list(scores.get((row.key, task), {}).values()) for row in (first, second)] for task in tasks}
    return {task: (a, b) for task, (a, b) in found.items() if a and b}


def said(scores: Scores, pair: tuple[str, str]) -> str:
    """Say who wins."""
    rates = {task: win_rate(*own) for task, own in scores.items()}
    ahead, behind = (sum(sign * (rate - 0.5) > 0 for rate in rates.values()) for sign in (1, -1))
    first, second = map(plain, pair)
    return (
        f"A seed of **{first}** scores higher than one of **{second}** in {fmean(rates.values()):.0%} of pairs, as a "
        f"mean over tasks. {first} is ahead on {ahead} of {len(rates)} tasks, {second} on {behind}."
    )


def drawn(scores: Scores, pair: tuple[str, str]) -> Spec:
    dots = [
        {"task": task, "entry": entry, "score": score, "mean": fmean(own)}
        for task, each in scores.items()
        for entry, own in zip(pair, each, strict=True)
        for score in own
    ]
    y = {
        "field": "task",
        "type": "nominal",
        "title": None,
        "sort": list(scores),
        "axis": {"labelLimit": 150, "grid": True},
    }
    scale, legend = {"domain": list(pair)}, {"title": None, "orient": "top", "labelLimit": 250, "symbolOpacity": 1}
    colour = {"field": "entry", "type": "nominal", "scale": scale | {"range": list(COLOURS[:2])}, "legend": legend}
    shape = {"field": "entry", "type": "nominal", "scale": scale | {"range": list(FAMILY_SHAPES[:2])}, "legend": legend}
    place = {"y": y, "yOffset": {"field": "entry", "sort": list(pair)}, "color": colour}
    x = number("score", "score", scale={"domain": [0, 100]})
    tooltip = [{"field": "entry"}, {"field": "task"}, {"field": "score", "format": ".1f"}]
    return chart(
        [
            layer(dots, "tick", place | {"x": x | {"field": "mean"}}, thickness=2.5, size=16),
            layer(
                dots, "point", place | {"x": x, "shape": shape, "tooltip": tooltip}, filled=True, size=55, opacity=0.65
            ),
        ],
        46 * len(scores) + 90,
    )


def cells(scores: Scores, pair: tuple[str, str]) -> tuple[list[str], list[list[object]]]:
    """Return headings and rows."""
    rows: list[list[object]] = [[task, fmean(a), fmean(b), win_rate(a, b)] for task, (a, b) in scores.items()]
    return ["task", *pair, "win rate"], rows


def table(scores: Scores, pair: tuple[str, str]) -> tuple[list[Column], list[Line]]:
    _, rows = cells(scores, pair)
    columns = [Column("task", heads_row=True), *(Column(each, numeric=True) for each in (*pair, "win rate"))]
    return columns, [
        Line([Link(str(task), page_url("task", name=str(task))), f"{a:.1f}", f"{b:.1f}", f"{rate:.0%}"])
        for task, a, b, rate in rows
    ]
