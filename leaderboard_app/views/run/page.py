"""One run: its result, settings, provenance and verification. The address is `run?id=…`."""

from collections.abc import Mapping

import streamlit as st

from bench.catalog.names import display_name
from db.schema import Run
from db.store import Store
from leaderboard_app.data import open_store, snapshot
from leaderboard_app.views.run import command, header, history, provenance, settings
from leaderboard_app.widgets import curves, run_list
from leaderboard_app.widgets.address import choose
from leaderboard_app.widgets.tables import facts
from leaderboard_app.widgets.text import plain


def render(store: Store) -> None:
    prefix = st.text_input(
        "Run", key="id", bind="query-params", placeholder="A run's id: its first characters are enough."
    ).strip()
    found = store.find(prefix) if prefix else []
    if len(found) == 1:
        _show(store, found[0])
        return
    st.title("Runs", anchor=False)
    if prefix:
        _complain(prefix, found)
    seen = snapshot(store)
    runs = found or seen.runs
    if runs:
        _list(runs if found else _chosen(runs), seen.standing.withdrawn)
    else:
        st.info("**No runs yet.** The first one:\n\n```\npython -m bench run --model fru\n```")


def _chosen(runs: list[Run]) -> list[Run]:
    """Return the runs of the architecture and the task that the reader chose, or all of them."""
    with st.container(horizontal=True):
        models = sorted({run.model for run in runs})
        model = choose("Architecture", models, "model", what="architecture", placeholder="all", shown=display_name)
        task = choose("Task", sorted({run.task for run in runs}), "task", what="task", placeholder="all")
    return [run for run in runs if model in (None, run.model) and task in (None, run.task)]


def _list(runs: list[Run], withdrawn: Mapping[str, str]) -> None:
    if runs:
        run_list.show(runs, withdrawn)
    else:
        st.info("No run of this architecture on this task yet.")


def _complain(prefix: str, found: list[Run]) -> None:
    if found:
        st.info(f"{len(found):,} runs begin with {plain(prefix)}. Give more of the id, or choose one.")
    else:
        st.error(
            f"No run begins with {plain(prefix)}. An id is 16 digits and letters a to f, such as the ones below.",
            icon=":material/search_off:",
        )


def _show(store: Store, run: Run) -> None:
    events = store.events(run.run_id)
    header.show(run, events, store.attempts(run.run_id))
    st.subheader("Learning curves", anchor=False)
    points = store.curves(run)
    if curves.frame(points).empty:
        st.info(header.no_curve(run), icon=":material/timeline:")
    else:
        curves.show(points, run.metric_name)
    st.subheader("Run it again", anchor=False)
    command.show(run)
    st.subheader("Settings", anchor=False)
    settings.show(run)
    st.subheader("Verification", anchor=False)
    history.show(run.run_id, events)
    st.subheader("Provenance", anchor=False)
    for heading, rows in provenance.sections(run).items():
        with st.expander(heading, expanded=heading == "Result"):
            facts(rows, alt=heading)


render(open_store())
