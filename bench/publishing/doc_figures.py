"""Figures of the documentation that are drawn from the database (Vega-Lite, as SVG)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.common.errors import require
from bench.probe.events import GRADIENT_FLOW
from bench.publishing.markers import looked_up
from bench.publishing.published_board import entry_label, name_of, no_runs, probe_command, probes, suite_command
from bench.publishing.training_time import progress
from db.store import Store

if TYPE_CHECKING:
    import altair as alt

LEAST = 1e-38  # below this, single precision has no gradient: the curve ends
SECONDS = np.geomspace(1, 1_000, 91)

Point = dict[str, Any]


@dataclass(frozen=True)
class Figure:
    """How a figure follows from the store, given the arguments in its marker."""

    points: Callable[..., list[Point]]
    chart: Callable[[list[Point]], "alt.TopLevelMixin"]
    command: Callable[..., str]
    """The command that makes the data for the figure."""


def link(store: Store, words: Sequence[str]) -> str:
    """Return Markdown that shows a figure, which `bench results --figures` draws; without data, how to make some.

    Args:
        words: the figure's name and its arguments.

    Raises:
        RequestError: there is no such figure, or it takes other arguments.
    """
    figure, arguments = looked_up("figure", words, FIGURES)
    if not figure.points(store, *arguments):
        return no_runs(figure.command(*arguments))
    return f"![{words[0]} on {' '.join(arguments)}]({file_name(words)})"


def draw(store: Store, words: Sequence[str], folder: Path) -> None:
    """Draw a figure into a folder, as its `file_name`, if there is something to show.

    Raises:
        RequestError: there is no such figure, it takes other arguments, or Altair is not installed.
    """
    require("altair", "app")
    figure, arguments = looked_up("figure", words, FIGURES)
    if points := figure.points(store, *arguments):
        figure.chart(points).save(folder / file_name(words))


def file_name(words: Sequence[str]) -> str:
    return f"{'-'.join(words)}.svg"


def _gradient_points(store: Store, task: str) -> list[Point]:
    """‖∂loss/∂x_t‖ against the steps from t to the end, at the longest length measured, before and after training.

    Steps back count from 1, which a log axis can show.
    """
    return [
        {"model": name_of(run), "when": each["when"], "back": back + 1, "norm": norm}
        for run, data in probes(store, GRADIENT_FLOW)
        if data["task"] == task
        for each in data["measured"]
        if each["length"] == max(data["lengths"])
        for back, norm in zip(each["steps_back"], each["input"], strict=True)
        if norm is not None and norm > LEAST
    ]


def _gradient_chart(points: list[Point]) -> "alt.TopLevelMixin":
    import altair as alt

    x = alt.X("back:Q", title="steps back", scale=alt.Scale(type="log"))
    y = alt.Y("norm:Q", title="‖∂loss/∂xₜ‖", scale=alt.Scale(type="log"), axis=alt.Axis(format=".0e"))
    line = alt.Chart().mark_line().encode(x=x, y=y, color=alt.Color("model:N", title=None))
    column = alt.Column("when:N", title=None, sort=["initialisation", "trained"])
    return line.properties(width=330, height=280).facet(column=column, data=alt.Data(values=points))


def _time_points(store: Store, suite: str, tier: str, wrapper: str | None = None) -> list[Point]:
    return [
        {"entry": entry_label(each.row), "of": each.row.model, "seconds": seconds, "score": each.after(seconds)}
        for each in progress(store, suite, tier, wrapper)
        for seconds in SECONDS.tolist()
    ]


def _time_chart(points: list[Point]) -> "alt.TopLevelMixin":
    """The FRU in black, with its name at the end; the legend has the other entries in the board's order."""
    import altair as alt

    names = list(dict.fromkeys(point["entry"] for point in points if point["of"] != "fru"))
    chart = alt.Chart(alt.Data(values=points)).encode(
        x=alt.X("seconds:Q", title="seconds of training a task", scale=alt.Scale(type="log")),
        y=alt.Y("score:Q", title="score on validation", scale=alt.Scale(domain=[0, 100])),
    )
    line = chart.mark_line(interpolate="step-after")
    fru = line.transform_filter("datum.of == 'fru'").encode(
        detail="entry:N", color=alt.value("black"), strokeWidth=alt.value(3)
    )
    colour = alt.Color("entry:N", title=None, sort=names, scale=alt.Scale(scheme="category20"))
    others = line.transform_filter("datum.of != 'fru'").encode(color=colour)
    end = chart.transform_filter(f"datum.of == 'fru' && datum.seconds >= {SECONDS[-1]}")
    name = end.mark_text(align="right", dy=-10, fontWeight="bold").encode(text="entry:N")
    return (others + fru + name).properties(width=620, height=340)


FIGURES = {
    GRADIENT_FLOW: (Figure(_gradient_points, _gradient_chart, probe_command), ("TASK",)),
    "training-time": (Figure(_time_points, _time_chart, suite_command), ("SUITE", "TIER", "[WRAPPER]")),
}
"""Name → the figure and its arguments; those in brackets may be left out."""
