"""How many times a suite's training an architecture needs until it solves a task."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from leaderboard_app.views.architecture.solved_lengths import SOLVED, chart, reached
from leaderboard_app.widgets.figures import count_text
from leaderboard_app.widgets.parts import Chart, Part, Table, Text
from leaderboard_app.widgets.text import plain


def parts(data: Mapping[str, Any]) -> Iterator[Part]:
    """Yield what was reached after each training, and the first training that was enough."""
    rungs, enough = data["rungs"], data["solved_at"]
    found = "Not solved" if enough is None else f"Solved: **after {count_text(enough)} × the suite's training**"
    asked = plain(f"{data['task']}, seeds {', '.join(map(str, data['seeds']))}")
    yield Text(f"{found} ({asked}).")
    points = pd.DataFrame([{"length": rung["factor"], "value": rung["utility"]} for rung in rungs])
    described = "Way to a solved task against the length of training"
    yield Chart(chart(points, "× the suite's training", SOLVED, data["threshold"]), described)
    rows = [
        {
            "training": plain(f"{rung['training']} (× {rung['factor']})"),
            "seconds": count_text(round(rung["seconds"])),
            **reached(rung),
        }
        for rung in rungs
    ]
    yield Table(rows, described)
