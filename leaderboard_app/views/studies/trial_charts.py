"""A study's trials as charts: against the learning rate, and in the order in which they were tried."""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import streamlit as st

from bench.common.text import is_accuracy
from leaderboard_app.widgets.drawing import GREY, Spec, chart, layer, number
from leaderboard_app.widgets.marks import COLOURS, FAMILY_SHAPES

STATES = ("finished", "pruned")
"""The states of trials that have a value."""
RATE = "lr"


class Tried(NamedTuple):
    """A trial that has a value."""

    number: int
    state: str
    value: float
    rate: float | None


class Measured(NamedTuple):
    """What trials are compared by."""

    name: str
    higher_is_better: bool


def rate_of(settings: Mapping[str, Any]) -> float | None:
    """Return the learning rate that a trial tried; None where it tried none that can be drawn."""
    rate = settings.get(RATE)
    return float(rate) if isinstance(rate, int | float) and rate > 0 else None


def show(trials: Sequence[Tried], metric: Measured) -> None:
    """Draw the trials against their learning rates, and in their order."""
    left, right = st.columns(2, gap="large")
    with left:
        show_rates(trials, metric)
    with right:
        st.subheader("In the order of trials", anchor=False)
        if trials:
            _draw(in_order(trials, metric), "order", f"{metric.name} of each trial, and the best so far")
            st.caption("Grey: the best so far. A pruned trial has the value that it was stopped at.")


def show_rates(trials: Sequence[Tried], metric: Measured) -> None:
    """Draw the trials against their learning rates."""
    st.subheader("Against the learning rate", anchor=False)
    if any(trial.rate for trial in trials):
        _draw(against_rate(trials, metric), "rate", f"{metric.name} of each trial against its learning rate")
    else:
        st.caption("No trial that has a value tried a learning rate.")


def _draw(spec: Spec, key: str, alt: str) -> None:
    st.vega_lite_chart(spec=spec, width="stretch", key=key, alt=f"{alt}; the table of trials has the numbers")


def against_rate(trials: Sequence[Tried], metric: Measured) -> Spec:
    """Draw each trial that tried a learning rate."""
    shown = [trial._asdict() for trial in trials if trial.rate]
    rates = [each["rate"] for each in shown]
    scale = {"type": "log", "nice": False, "domain": [min(rates) / 1.3, max(rates) * 1.3]}
    x = number("rate", "learning rate", scale=scale, axis={"format": ".0e", "tickCount": 4})
    return chart([_trials(shown, x, _value(trials, metric))], 300)


def in_order(trials: Sequence[Tried], metric: Measured) -> Spec:
    """Draw each trial in its order, with the best so far of those that finished."""
    finished = [trial for trial in trials if trial.state == "finished"]
    best = accumulate((trial.value for trial in finished), max if metric.higher_is_better else min)
    steps = [{"number": trial.number, "value": value} for trial, value in zip(finished, best, strict=True)]
    x, y = number("number", "trial", axis={"tickMinStep": 1, "format": "d"}), _value(trials, metric)
    look = {"interpolate": "step-after", "strokeWidth": 1.5}
    so_far = [layer(steps, "line", {"x": x, "y": y, "color": GREY}, **look)] * bool(steps)
    return chart([*so_far, _trials([trial._asdict() for trial in trials], x, y)], 300)


def _value(trials: Sequence[Tried], metric: Measured) -> Spec:
    """Return the axis of the metric. Errors have a logarithmic one, like their scores."""
    errors = not is_accuracy(metric.name) and min(trial.value for trial in trials) > 0
    return number("value", f"{metric.name} on validation", scale={"type": "log" if errors else "linear", "zero": False})


def _trials(shown: Sequence[dict[str, Any]], x: Spec, y: Spec) -> Spec:
    legend = {"title": None, "orient": "top", "symbolOpacity": 1}
    looks = {"field": "state", "type": "nominal", "legend": legend}
    encoding = {
        "x": x, "y": y,
        "color": looks | {"scale": {"domain": list(STATES), "range": list(COLOURS[:2])}},
        "shape": looks | {"scale": {"domain": list(STATES), "range": [FAMILY_SHAPES[0], FAMILY_SHAPES[5]]}},
        "tooltip": [{"field": "number", "title": "trial"}, {"field": "state"}, {"field": "value", "format": ".4g"},
                    {"field": "rate", "format": ".3g", "title": "learning rate"}],
    }  # fmt: skip
    return layer(shown, "point", encoding, filled=True, size=70, opacity=0.9)
