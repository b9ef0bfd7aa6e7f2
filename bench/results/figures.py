"""Figures of the documentation that are drawn from the database (Vega-Lite, as SVG)."""

from pathlib import Path
from typing import Any

from bench.errors import RequestError, require
from bench.probe import GRADIENT_FLOW
from bench.results.source import name_of, probes
from db.store import Store

SIZE = {"width": 330, "height": 280}
LEAST = 1e-38  # below this, single precision has no gradient: the curve ends


def file_name(figure: str, task: str) -> str:
    return f"{figure}-{task}.svg"


def has_data(store: Store, figure: str, task: str) -> bool:
    """Raises RequestError: there is no such figure."""
    if figure != GRADIENT_FLOW:
        raise RequestError(f"no figure named {figure!r}. Figures: {GRADIENT_FLOW}.")
    return any(data["task"] == task for _, data in probes(store, figure))


def draw(store: Store, figure: str, task: str, folder: Path) -> None:
    """‖∂loss/∂x_t‖ against the steps from t to the end, at the longest length measured, before and after training.

    Args:
        folder: where the file goes, under its `file_name`.
    """
    require("altair", "app")
    import altair as alt

    x = alt.X("back:Q", title="steps back", scale=alt.Scale(type="log"))
    y = alt.Y("norm:Q", title="‖∂loss/∂xₜ‖", scale=alt.Scale(type="log"), axis=alt.Axis(format=".0e"))
    line = alt.Chart().mark_line().encode(x=x, y=y, color=alt.Color("model:N", title=None))
    column = alt.Column("when:N", title=None, sort=["initialisation", "trained"])
    chart = line.properties(**SIZE).facet(column=column, data=alt.Data(values=_points(store, figure, task)))
    chart.save(folder / file_name(figure, task))


def _points(store: Store, figure: str, task: str) -> list[dict[str, Any]]:
    """Steps back count from 1, which a log axis can show."""
    return [
        {"model": name_of(run), "when": each["when"], "back": back + 1, "norm": norm}
        for run, data in probes(store, figure)
        if data["task"] == task
        for each in data["measured"]
        if each["length"] == max(data["lengths"])
        for back, norm in zip(each["steps_back"], each["input"], strict=True)
        if norm is not None and norm > LEAST
    ]
