"""What another learning rate would cost each architecture, from the trials of the published studies."""

from collections.abc import Mapping
from statistics import fmean

import streamlit as st

from bench.audit.rate_sensitivity import FACTOR, rate_sensitivities
from bench.catalog.names import display_name
from bench.common.csv_latex import csv_text
from bench.ranking.cells import EntryKey
from bench.reports.entries import runs_of_cells
from bench.reports.listings import model_facts
from db.store import Store
from leaderboard_app.data import snapshot
from leaderboard_app.views.leaderboard import exports
from leaderboard_app.views.leaderboard.filters import described
from leaderboard_app.views.leaderboard.points import families
from leaderboard_app.views.leaderboard.shown import Shown
from leaderboard_app.widgets import grid
from leaderboard_app.widgets.drawing import GREY, Spec, chart, colour, layer, number, shape
from leaderboard_app.widgets.grid import Column, Line, Link
from leaderboard_app.widgets.links import page_url

TITLE = "What another learning rate costs"
NONE_YET = (
    "The studies that tuned these entries are not published yet, or none of them has two trials whose rates are "
    f"{FACTOR:g} times apart. **Studies** shows those that are."
)
NOTE = (
    "Points of score, on validation, that a study's best trial has over the best one whose learning rate is "
    f"{FACTOR:g} times as large or small, or more. A stroke is a task, a mark the mean. Where much is lost, few trials "
    "are a gamble."
)
Lost = Mapping[EntryKey, Mapping[str, float]]
"""Entry → task → points."""


def show(store: Store, shown: Shown) -> None:
    lost = load(store, shown)
    if not lost:
        st.info(NONE_YET)
        return
    st.vega_lite_chart(spec=drawn(lost), width="stretch", key="rates", alt=f"{TITLE}; the table below has the numbers")
    st.caption(NOTE)
    exports.chart_menu(shown, lambda: drawn(lost), TITLE, lambda: csv_text(*cells(lost, shown)))
    columns, lines = table(lost, shown)
    grid.show(columns, lines, caption=TITLE, short=True)


def load(store: Store, shown: Shown) -> dict[EntryKey, dict[str, float]]:
    """Return what is lost by each architecture that is shown, the most robust first."""
    seen = snapshot(store)
    found = seen.once(
        ("rates", shown.suite.name),
        lambda: rate_sensitivities(runs_of_cells(seen.runs, seen.standing, shown.suite), store.trials()),
    )
    lost = {
        row.key: {task: found[row.key, task] for task in shown.suite.tasks if (row.key, task) in found}
        for row in shown.rows
    }
    once = {key[:3]: key for key in reversed(lost)}.values()  # one study serves tuned entries and those with defaults
    return {key: lost[key] for key in sorted(once, key=lambda key: fmean(lost[key].values() or [0])) if lost[key]}


def drawn(lost: Lost) -> Spec:
    facts, names = model_facts(), _names(lost)
    means = [
        {"entry": names[key], "family": described(facts.get(key.model))[0], "points": fmean(own.values())}
        for key, own in lost.items()
    ]
    strokes = [
        {"entry": names[key], "task": task, "points": points}
        for key, own in lost.items()
        for task, points in own.items()
    ]
    x = number("points", "points of score that another learning rate costs")
    y = {
        "field": "entry",
        "type": "nominal",
        "title": None,
        "sort": [each["entry"] for each in means],
        "axis": {"labelLimit": 200},
    }
    there = families(means)
    tooltip = [{"field": "entry"}, {"field": "task"}, {"field": "points", "format": ".1f"}]
    looks = {"color": colour(there), "shape": shape(there), "size": {"value": 80}, "tooltip": [tooltip[0], tooltip[2]]}
    return chart(
        [
            layer(strokes, "tick", {"x": x, "y": y, "color": GREY, "tooltip": tooltip}, thickness=1.5, size=9),
            layer(means, "point", {"x": x, "y": y} | looks, filled=True, opacity=1),
        ],
        22 * len(means) + 110,
    )


def _names(lost: Lost) -> dict[EntryKey, str]:
    """Return how entries are called: with their wrapper or tier where those differ."""
    told = [part for part in ("wrapper", "tier") if len({getattr(key, part) for key in lost}) > 1]
    return {key: " · ".join([display_name(key.model), *(getattr(key, part) for part in told)]) for key in lost}


def cells(lost: Lost, shown: Shown) -> tuple[list[str], list[list[object]]]:
    """Return headings and rows."""
    tasks = list(shown.suite.tasks)
    rows: list[list[object]] = [
        [*key[:3], fmean(own.values()), *(own.get(task) for task in tasks)] for key, own in lost.items()
    ]
    return ["model", "wrapper", "tier", "mean", *tasks], rows


def table(lost: Lost, shown: Shown) -> tuple[list[Column], list[Line]]:
    tasks, names = list(shown.suite.tasks), _names(lost)
    columns = [Column("architecture", heads_row=True), *(Column(each, numeric=True) for each in ("mean", *tasks))]
    lines = [
        Line([
            Link(names[key], page_url("architecture", name=key.model)),
            f"{fmean(own.values()):.1f}",
            *("" if task not in own else f"{own[task]:.1f}" for task in tasks),
        ])
        for key, own in lost.items()
    ]  # fmt: skip
    return columns, lines
