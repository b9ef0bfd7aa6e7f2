"""The head of a run's page: whether the run counts, how it ended, what it reached."""

from collections.abc import Sequence

import streamlit as st

from bench.catalog.names import display_name
from bench.catalog.suites import SUITES
from bench.common.text import metric_text
from bench.ranking.utility import score
from db.schema import OPEN, Event, Run
from db.standing import withdrawals
from leaderboard_app.widgets.figures import bytes_text, count_text, counted, duration_text, score_text
from leaderboard_app.widgets.tables import code, link
from leaderboard_app.widgets.text import plain


def show(run: Run, events: Sequence[Event], attempts: int) -> None:
    st.title(plain(title(run)), anchor=False)
    for event in withdrawals(run, events):
        st.error(withdrawn(event), icon=":material/block:")
    if run.status != "finished":
        icon = ":material/pause_circle:" if run.status == OPEN else ":material/warning:"
        st.warning(ending(run, attempts), icon=icon)
    st.markdown(" · ".join(about(run)))
    with st.container(horizontal=True):
        for label, value in numbers(run).items():
            st.metric(plain(label), value, width="content")


def withdrawn(event: Event) -> str:
    reason = f" Reason: {plain(event.reason)}" if event.reason else ""
    if event.kind != "superseded":
        return f"**{event.kind.capitalize()} on {event.at:%Y-%m-%d}: this run no longer counts.**{reason}"
    by = str(event.data.get("by", ""))
    successor = f" by {link(by, 'run', id=by)}" if by else ""
    return f"**Superseded{successor} on {event.at:%Y-%m-%d}: this run no longer counts.**{reason}"


def title(run: Run) -> str:
    return f"{display_name(run.model)} on {run.task}, seed {run.seed}"


def ending(run: Run, attempts: int) -> str:
    """Say how a run ended that did not finish."""
    reason = plain(run.reason or "no reason was recorded")
    if run.status != OPEN:
        return f"**{plain(run.status)}, counted as a score of 0:** {reason}"
    return (
        f"**Interrupted after {counted(attempts, 'attempt')}:** {reason}. "
        "It has no result yet, and can only be resumed: add `--resume` to its command."
    )


def about(run: Run) -> list[str]:
    tier = f"{plain(run.budget)} parameters" if run.budget else "no parameter tier"
    return [
        link(display_name(run.model), "architecture", name=run.model),
        link(run.task, "task", name=run.task) if run.is_comparable else f"{plain(run.task)}, which no board compares",
        f"{plain(run.wrapper)} wrapper",
        tier,
        *_boards(run),
        f"run {code(run.run_id)}",
    ]


def _boards(run: Run) -> list[str]:
    """Return links to the boards that include the run's entry."""
    tier = run.budget
    if tier is None:
        return []
    names = [suite.name for suite in SUITES.values() if tier in suite.tiers and suite.includes(run)]
    return [link(f"its entry in {name}", "leaderboard", suite=name, tier=tier) for name in names]


def training_text(run: Run) -> str:
    """Return how long a run trained, or that it took no step."""
    return duration_text(run.train_seconds) if run.steps else "none"


def no_curve(run: Run) -> str:
    """Say why a run has no learning curve."""
    if run.status == "finished":
        return "No learning curve of this run is recorded."
    reason = plain(run.reason or "no reason was recorded")
    after = f"after {counted(run.steps, 'step')} of training" if run.steps else "before its first step of training"
    return f"No learning curve: this run ended {after}, **{plain(run.status)}**: {reason}"


def numbers(run: Run) -> dict[str, str]:
    return {
        "score": score_text(None if run.status == OPEN else score(run)),
        f"test {run.metric_name}": metric_text(run.metric_name, run.metric_value),
        "parameters": count_text(run.params_total),
        "training": training_text(run),
        "state of a sequence": bytes_text(run.state_bytes) if run.state_bytes is not None else "none",
    }
