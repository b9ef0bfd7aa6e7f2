"""An architecture's cost, as its runs recorded it: state, latency of a step, throughput, memory."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from statistics import median

import streamlit as st

from bench.ranking.hardware import hardware
from db.schema import Run
from leaderboard_app.widgets.figures import bytes_text, count_text, counted, duration_text
from leaderboard_app.widgets.tables import table
from leaderboard_app.widgets.text import plain

NOTE = (
    "Values are medians over runs, but peak memory is the minimum: until November 2026 a run recorded the peak of "
    "its process, including what earlier runs had left there. Compare figures only within one kind of hardware; "
    "`python -m bench speed` measures such a comparison."
)


def show(runs: Sequence[Run]) -> None:
    found = rows(runs)
    if not found:
        st.caption("No run of it has finished, so nothing was measured.")
        return
    table(found, alt="Cost by tier and hardware")
    st.caption(NOTE)


def rows(runs: Iterable[Run]) -> list[dict[str, str]]:
    """Return a row for each tier and kind of hardware."""
    groups: defaultdict[tuple[str, str], list[Run]] = defaultdict(list)
    for run in runs:
        if run.status == "finished":
            groups[run.budget or "no tier", hardware(run.environment)].append(run)
    return [_row(*key, group) for key, group in sorted(groups.items())]


def _row(tier: str, machine: str, runs: Sequence[Run]) -> dict[str, str]:
    return {
        "tier": plain(tier),
        "hardware": plain(machine),
        "runs": counted(len(runs), "run"),
        "state of a sequence": bytes_text(_median(run.state_bytes for run in runs)),
        "one step of a stream": duration_text(_median(run.facts.get("step_seconds") for run in runs)),
        "samples per second": count_text(_median(run.samples_per_second for run in runs)),
        "training": duration_text(_median(run.train_seconds for run in runs)),
        "peak memory": bytes_text(min(run.peak_memory_device or run.peak_memory_host for run in runs)),
    }


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None
