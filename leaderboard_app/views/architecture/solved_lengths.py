"""The longest variant that is learned, and the metric on sequences longer than the training sequences."""

from collections.abc import Iterator, Mapping
from typing import Any

import altair as alt
import pandas as pd

from bench.common.text import NONE, metric_text
from leaderboard_app.widgets.figures import count_text
from leaderboard_app.widgets.marks import COLOURS, LABEL
from leaderboard_app.widgets.parts import Chart, Part, Table, Text
from leaderboard_app.widgets.tables import link
from leaderboard_app.widgets.text import plain

HEIGHT = 240
STEPS, SOLVED = "steps of a sequence", "way to a solved task"


def dependency(data: Mapping[str, Any]) -> Iterator[Part]:
    """Yield the variants that were tried, and the length up to which they are solved."""
    rungs, longest, failed = data["rungs"], data["longest_solved"], data["first_unsolved"]
    solved = "no variant, not even the shortest" if longest is None else f"**up to {count_text(longest)} steps**"
    end = "" if failed is None else f"; not at {count_text(failed)}"
    trained = plain(f"{data['family']}, {data['training']}, seeds {', '.join(map(str, data['seeds']))}")
    yield Text(f"Solved: {solved}{end} ({trained}).")
    points = pd.DataFrame([{"length": rung["length"], "value": rung["utility"]} for rung in rungs])
    described = "Way to a solved task against the number of steps"
    yield Chart(chart(points, STEPS, SOLVED, data["threshold"]), described)
    rows = [
        {
            "task": link(rung["task"], "task", name=rung["task"]),
            "steps": count_text(rung["length"]),
            **reached(rung),
        }
        for rung in rungs
    ]
    yield Table(rows, described)


def reached(rung: Mapping[str, Any]) -> dict[str, str]:
    """Return the cells of a rung's row that say what its runs have reached."""
    return {
        SOLVED: f"{rung['utility']:.2f}",
        "solved": "yes" if rung["solved"] else "no",
        "runs": ", ".join(link(str(each)[:8], "run", id=str(each)) for each in rung.get("run_ids", ())) or NONE,
    }


def extrapolation(data: Mapping[str, Any]) -> Iterator[Part]:
    """Yield the metric at multiples of the training length."""
    metric, lengths = data["metric"], data["lengths"]
    points = pd.DataFrame([{"length": each["length"], "value": each["value"]} for each in lengths]).dropna()
    described = f"{metric} against the number of steps, trained at {count_text(data['trained_at'])}"
    if points.empty:
        yield Text("Its answers were not finite.", quiet=True)
    else:
        yield Chart(chart(points, STEPS, metric), described)
    rows = [
        {
            "steps": f"{count_text(each['length'])} ({each['factor']} × the training length)",
            plain(metric): metric_text(metric, each["value"]),
            SOLVED: NONE if each["utility"] is None else f"{each['utility']:.2f}",
        }
        for each in lengths
    ]
    yield Table(rows, described)


def chart(
    points: pd.DataFrame, across: str, up: str, threshold: float | None = None
) -> alt.LayerChart | alt.FacetChart:
    """Draw columns `length` and `value` as a line, with axis titles `across` and `up`, and a rule at `threshold`."""
    x = alt.X("length:Q", title=across, scale=alt.Scale(type="log", nice=False, padding=15))
    base = alt.Chart(points).encode(x=x, y=alt.Y("value:Q", title=up), tooltip=["length", "value"])
    line = base.mark_line(point=alt.OverlayMarkDef(size=60), color=COLOURS[0], strokeWidth=2)
    layers = [line]
    if threshold is not None:
        level = alt.Chart(pd.DataFrame({"value": [threshold]}))
        layers.insert(0, level.mark_rule(strokeDash=[5, 4], color=LABEL).encode(y="value:Q"))
    return alt.layer(*layers).properties(height=HEIGHT)
