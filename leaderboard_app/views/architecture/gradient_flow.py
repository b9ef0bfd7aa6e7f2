"""How much the loss changes with an input t steps back, before and after training."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import altair as alt
import pandas as pd

from bench.common.text import NONE
from leaderboard_app.widgets.curves import DASHES
from leaderboard_app.widgets.figures import count_text
from leaderboard_app.widgets.marks import COLOURS
from leaderboard_app.widgets.parts import Chart, Part, SideBySide, Table, Text
from leaderboard_app.widgets.text import plain

HEIGHT = 260


def parts(data: Mapping[str, Any]) -> Iterator[Part]:
    measured = data["measured"]
    points = frame(measured)
    moments = list(dict.fromkeys(str(each["when"]) for each in measured))
    yield SideBySide([list(_moment(points[points["when"] == when], when)) for when in moments])
    yield Text(
        "How much the loss changes with an input, against how many steps back that input was. A flat line means a "
        "model that learns from far inputs as well as from near ones. Gradients of exactly zero are not drawn.",
        quiet=True,
    )
    yield Table([_row(each) for each in measured], "Gradient flow in numbers")
    for note in dict.fromkeys(str((each.get("bounds") or {}).get("note", "")) for each in measured):
        if note:
            yield Text(plain(note), quiet=True)


def _moment(points: pd.DataFrame, when: str) -> Iterator[Text | Chart]:
    yield Text(f"**{'after training' if when == 'trained' else 'at ' + plain(when)}**")
    if points.empty:
        yield Text("No gradient is above zero and finite.", quiet=True)
    else:
        yield Chart(_chart(points), f"Norm of the loss's gradient against steps back, {when}")


def frame(measured: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return a row for each gradient above zero. Steps back count from 1, so that a logarithmic axis shows them all."""
    rows = [
        {"when": str(each["when"]), "length": f"{each['length']:,}", "steps": back + 1, "gradient": gradient}
        for each in measured
        for back, gradient in zip(each["steps_back"], _inputs(each), strict=True)
        if gradient is not None and gradient > 0
    ]
    return pd.DataFrame(rows, columns=["when", "length", "steps", "gradient"])


def _inputs(each: Mapping[str, Any]) -> Sequence[float | None]:
    """Return the gradients at the inputs: None if not measured, or not finite."""
    return [None] * len(each["steps_back"]) if each["input"] is None else each["input"]


def _chart(points: pd.DataFrame) -> alt.Chart:
    lengths = list(dict.fromkeys(points["length"]))
    legend = alt.Legend(orient="top", title="steps of the sequence", symbolType="stroke", symbolSize=400)
    decades = alt.Axis(format=".0e", tickCount=4)  # few enough that only powers of ten have grid lines
    colours, dashes = (_cycled(values, len(lengths)) for values in (COLOURS, DASHES))
    return (
        alt.Chart(points)
        .mark_line(strokeWidth=2)
        .encode(
            x=alt.X("steps:Q", title="steps back, from 1", scale=alt.Scale(type="log", nice=False)),
            y=alt.Y("gradient:Q", title="gradient norm", scale=alt.Scale(type="log"), axis=decades),
            color=alt.Color("length:N", scale=alt.Scale(domain=lengths, range=colours), legend=legend),
            strokeDash=alt.StrokeDash("length:N", scale=alt.Scale(domain=lengths, range=dashes), legend=legend),
            tooltip=["length", "steps", alt.Tooltip("gradient", format=".3g")],
        )
        .properties(height=HEIGHT)
    )


def _cycled(values: Sequence[Any], count: int) -> list[Any]:
    return [values[index % len(values)] for index in range(count)]


def _row(each: Mapping[str, Any]) -> dict[str, str]:
    gain, bounds = each.get("state_gain") or {}, each.get("bounds") or {}
    return {
        "network": plain(each["when"]),
        "steps": count_text(each["length"]),
        "gradient, last input": _number(_inputs(each)[0]),
        "gradient, first input": _number(_inputs(each)[-1]),
        "initial state": _number(each.get("initial_state")),
        "gain of the state": _range(gain.get("low"), gain.get("high")),
        "bounds of theory": _range(bounds.get("lower"), bounds.get("upper")),
    }


def _number(value: float | None) -> str:
    return NONE if value is None else f"{value:.3g}"


def _range(low: float | None, high: float | None) -> str:
    return NONE if low is None and high is None else f"{_number(low)} to {_number(high)}"
