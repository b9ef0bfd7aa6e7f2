"""A task's card: its definition, a worked example, and its facts."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from bench.common.text import metric_text
from db.schema import Run
from leaderboard_app.widgets import docstrings
from leaderboard_app.widgets.figures import count_text
from leaderboard_app.widgets.tables import facts, link, table
from leaderboard_app.widgets.text import plain

SHORTCUTS = (
    "A score of 0 should mean that nothing was remembered. Predictors that remember no order were fitted to this "
    "task. `least-squares` sees the whole sequence in order and is shown for information."
)
HERE = "on this machine"
DIFFERENT = "Runs of one version used different data: they can't be compared."


def definition(card: dict[str, Any]) -> None:
    docstrings.show(card["definition"])
    if card["example"]:
        with st.expander("A worked example, which the tests run"):
            st.code(card["example"], language="python", wrap_lines=True)


def show_facts(card: dict[str, Any], runs: Sequence[Run]) -> None:
    """Draw the specification, and the hashes that the runs recorded."""
    facts(facts_of(card), alt="Facts of the task")
    show_hashes(runs)


def facts_of(card: dict[str, Any]) -> dict[str, str]:
    """Return the specification, as Markdown."""
    metric = card["metric"]
    others = [name for name in card["variants"] if name != card["name"]]
    return {
        "input": plain(f"{card['seq_len']:,} steps of {card['input']}"),
        "output": plain(card["output"]),
        "metric": plain(metric),
        "trivial predictor": f"{metric_text(metric, card['chance'])}: a score of 0",
        "counts as solved": f"{metric_text(metric, card['solved'])}: a score of 100",
        "source": plain(card["source"]),
        "licence": plain(card["license"]),
        "citation": plain(card["citation"]),
        "version": str(card["version"]),
        HERE: "ready to run" if card["available"] else plain(card["missing"]),
        "other variants": ", ".join(link(name, "task", name=name) for name in others) or "none",
    }


def show_shortcuts(card: dict[str, Any]) -> None:
    """Draw what predictors without a memory of order reach, where it was recorded."""
    if not card["shortcuts"]:
        return
    st.subheader("Without a memory of order", anchor=False)
    st.markdown(SHORTCUTS)
    table(shortcut_rows(card), alt="What predictors without a memory of order reach")


def shortcut_rows(card: dict[str, Any]) -> list[dict[str, str]]:
    return [
        {
            "predictor": plain(row["name"]),
            plain(card["metric"]): metric_text(card["metric"], row["value"]),
            "score": f"{row['score']:.1f}",
        }
        for row in card["shortcuts"]
    ]


def show_hashes(runs: Sequence[Run]) -> None:
    """Draw the SHA-256 of each split that the runs recorded, in the format of `sha256sum`."""
    lines, alike = hashes(runs)
    if not lines:
        return
    st.markdown("SHA-256 of the splits that the runs here used:")
    st.code("\n".join(lines), language=None, wrap_lines=True)
    if not alike:
        st.warning(DIFFERENT, icon=":material/difference:")


def hashes(runs: Sequence[Run]) -> tuple[list[str], bool]:
    """Return a line for each SHA-256 that runs recorded, and whether all runs of a version used the same data."""
    seen = {
        (run.task_version, split, str(digest)) for run in runs for split, digest in run.facts.get("splits", {}).items()
    }
    lines = [f"{digest}  {split}, version {version}" for version, split, digest in sorted(seen)]
    return lines, len({(version, split) for version, split, _ in seen}) == len(seen)


def stored(runs: Sequence[Run]) -> None:
    """Draw the facts that the results hold about a task that is not in this copy of the code."""
    st.info("This task is not in this copy of the code. Its results hold these facts:", icon=":material/inventory_2:")
    facts(stored_facts(runs), alt="Facts of the task")
    show_hashes(runs)


def stored_facts(runs: Sequence[Run]) -> dict[str, str]:
    newest = runs[-1]
    metric = newest.metric_name
    return {
        "metric": plain(metric),
        "trivial predictor": f"{metric_text(metric, newest.chance)}: a score of 0",
        "counts as solved": f"{metric_text(metric, newest.solved)}: a score of 100",
        "version": ", ".join(sorted({str(run.task_version) for run in runs})),
        "runs": count_text(len(runs)),
    }
