"""Optuna's own plots of a study, with foreign text escaped or removed."""

import html
from collections.abc import Callable
from typing import Any

import streamlit as st
from optuna import Study
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial
from optuna.visualization import plot_optimization_history, plot_param_importances, plot_pareto_front

from leaderboard_app.widgets.marks import COLOURS
from leaderboard_app.widgets.tables import code, table

HEIGHT = 320
LEAST = 2  # finished trials that importances need
METRIC = "validation metric"
LOOKS = (("dominated", "circle", COLOURS[0]), ("on the front", "diamond", COLOURS[1]))  # in the order of the traces


def first_value(trial: FrozenTrial) -> float:
    return trial.values[0]


def show_history(study: Study) -> None:
    st.subheader("History", anchor=False)
    figure = plot_optimization_history(study, target=first_value, target_name=METRIC)
    _draw(figure, "history", f"{METRIC} of each trial, and the best so far; the table of trials has the numbers")


def show_importances(study: Study) -> None:
    """Draw the share of the metric's variance that each setting explains (fANOVA, with a fixed seed)."""
    st.subheader("What mattered", anchor=False)
    options: dict[str, Any] = {"evaluator": FanovaImportanceEvaluator(seed=0), "target": first_value}
    try:
        found = get_param_importances(study, **options)
        figure = plot_param_importances(study, **options, target_name=METRIC)
    except (ValueError, RuntimeError):
        st.caption(f"Importances need at least {LEAST} finished trials with different settings and values.")
        return
    figure.update_traces(hovertemplate="%{x:.3f}<extra></extra>")
    figure.update_layout(xaxis_title="share of the variance", yaxis_title=None)
    figure.for_each_trace(lambda trace: trace.update(y=[html.escape(str(name)) for name in trace.y]))
    _draw(figure, "importances", "Share of the metric's variance that each setting explains")
    shares = sorted(found.items(), key=lambda item: -item[1])
    table([{"setting": code(name), "share": f"{share:.3f}"} for name, share in shares], alt="Importance of settings")


def show_front(study: Study) -> None:
    st.subheader("Metric against parameters", anchor=False)
    if len(study.directions) == 1:
        st.caption("This study has one objective: `--objectives metric,params` searches for a Pareto front.")
        return
    figure = plot_pareto_front(study, target_names=[METRIC, "parameters"])
    figure.update_traces(text=None, hovertemplate="%{x:.4g}, %{y:,} parameters<extra></extra>")
    for trace, (name, symbol, colour) in zip(figure.data, LOOKS, strict=False):
        marker = {"color": colour, "symbol": symbol, "size": 9, "showscale": False}
        trace.update(name=name, showlegend=True, marker=marker)
    _draw(figure, "front", "Trials by metric and parameters, the front marked; the table of trials has the numbers")


def _draw(figure: Any, key: str, alt: str) -> None:
    legend = {"orientation": "h", "y": 1.02, "yanchor": "bottom"}
    figure.update_layout(
        title=None, height=HEIGHT, colorway=COLOURS, legend=legend, margin={"t": 30, "l": 10, "r": 10, "b": 10}
    )
    st.plotly_chart(figure, width="stretch", key=key, alt=alt, config={"displaylogo": False})


SECTIONS: tuple[Callable[[Study], None], ...] = (show_history, show_importances, show_front)
