"""How many times a suite's training an architecture needs until it solves a task."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from leaderboard_app.views.architecture.solved_lengths import SOLVED, chart, reached
from leaderboard_app.widgets.figures import count_text
from leaderboard_app.widgets.tables import table
from leaderboard_app.widgets.text import plain


def show(data: Mapping[str, Any]) -> None:
    """Draw what was reached after each training, and the first training that was enough."""
    rungs, enough = data["rungs"], data["solved_at"]
    found = "Not solved" if enough is None else f"Solved: **after {count_text(enough)} × the suite's training**"
    asked = plain(f"{data['task']}, seeds {', '.join(map(str, data['seeds']))}")
    st.markdown(f"{found} ({asked}).")
    points = pd.DataFrame([{"length": rung["factor"], "value": rung["utility"]} for rung in rungs])
    described = "Way to a solved task against the length of training"
    drawn = chart(points, "× the suite's training", SOLVED, data["threshold"])
    st.altair_chart(drawn, width="stretch", alt=described)
    rows = [
        {
            "training": plain(f"{rung['training']} (× {rung['factor']})"),
            "seconds": count_text(round(rung["seconds"])),
            **reached(rung),
        }
        for rung in rungs
    ]
    table(rows, alt=described)
