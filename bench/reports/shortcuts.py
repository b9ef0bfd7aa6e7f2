"""What predictors without a memory of order reach on each generated task, as it was recorded.

`python -m tests.bench.contributing.test_shortcuts TASK…` measures and records it. `bench check --task TASK` measures.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

from bench.common.text import metric_text

RECORDED = Path(__file__).with_suffix(".json")


@cache
def recorded() -> dict[str, dict[str, Any]]:
    """Return task → {"version": …, "reached": a list of {"name", "value", "error", "score"}}."""
    return json.loads(RECORDED.read_text(encoding="utf-8"))


def reached(task: str, version: int) -> list[dict[str, Any]]:
    """Return what each predictor reaches on a version of a task; nothing where it was not measured."""
    found = recorded().get(task)
    return found["reached"] if found is not None and found["version"] == version else []


def reached_text(metric: str, row: dict[str, Any]) -> str:
    """Write the metric that a predictor reaches, and the score if there is one.

    >>> reached_text("accuracy", {"value": 0.7445, "score": 65.9})
    '0.7445 (66)'
    """
    return metric_text(metric, row["value"]) + (f" ({row['score']:.0f})" if row["score"] >= 0.5 else "")
