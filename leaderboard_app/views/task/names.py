"""The tasks that the page can show: those in this copy of the code and those in the database."""

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import streamlit as st

from bench.catalog.names import numerically
from bench.common.text import counted, metric_text
from bench.reports.listings import describe_tasks
from db.schema import Run
from leaderboard_app.widgets.figures import count_text
from leaderboard_app.widgets.tables import link, table
from leaderboard_app.widgets.text import plain

NOT_HERE = "not in this copy of the code"


@lru_cache(maxsize=1)
def registered() -> dict[str, dict[str, Any]]:
    """Return task name → its row of `bench tasks`."""
    rows, _ = describe_tasks()
    return {row["name"]: row for row in rows}


def known(runs: Sequence[Run]) -> list[str]:
    return sorted({*registered(), *(run.task for run in runs)}, key=numerically)


def show(runs: Sequence[Run]) -> None:
    """Draw the table of all tasks, those with results first."""
    counts = Counter(run.task for run in runs)
    names = sorted(known(runs), key=lambda name: counts[name] == 0)
    rows = [row(name, counts[name]) for name in names]
    st.caption(f"{counted(len(rows), 'task')}, {sum(count > 0 for count in counts.values())} of them with results.")
    table(rows, alt="Every task")


def row(name: str, runs: int) -> dict[str, str]:
    spec = registered().get(name)
    facts = {"length": "", "metric": "", "trivial": "", "what": NOT_HERE}
    if spec is not None:
        facts = {
            "length": count_text(spec["seq_len"]),
            "metric": spec["metric"],
            "trivial": metric_text(spec["metric"], spec["chance"]),
            "what": plain(spec["summary"]),
        }
    return {"task": link(name, "task", name=name), "runs": count_text(runs), **facts}
