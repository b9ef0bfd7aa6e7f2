"""One architecture: its card, scores, cost, probes and commands. The address is `architecture?name=…`."""

from collections.abc import Sequence

import streamlit as st

from bench.catalog.names import display_name
from db.schema import Run
from db.store import Store
from leaderboard_app.data import Snapshot, comparable, open_store, snapshot
from leaderboard_app.views.architecture import card, commands, cost, names, probes, scores, tuned
from leaderboard_app.widgets.address import choose
from leaderboard_app.widgets.text import plain


def render(store: Store) -> None:
    seen = snapshot(store)
    every = comparable(seen.runs)
    with st.spinner("Reading the models …"):
        known = names.known(every)
    name = choose(
        "Architecture", known, "name", what="architecture", placeholder="Choose an architecture", shown=display_name
    )
    if name is None:
        st.title("Architectures", anchor=False)
        names.show(every)
        return
    st.title(plain(display_name(name)), anchor=False)
    found = card.find(name)
    if found:
        card.show(found)
    runs = seen.once(("model", name), lambda: _counted(store, name, seen))
    if runs:
        _results(store, name, runs)
    else:
        st.info("**No results yet.** The commands at the end of this page produce some.")
    st.header("Tuned settings", anchor=False)
    tuned.show(found, runs)
    st.header("Probes", anchor=False)
    probes.show(seen.once("events", store.events), runs, found)
    if found:
        st.header("Run it", anchor=False)
        commands.show(found)


def _counted(store: Store, name: str, seen: Snapshot) -> list[Run]:
    """Return the architecture's runs, with all their columns, without those that no longer count."""
    return comparable(seen.standing.counted(store.runs(model=name)))


def _results(store: Store, name: str, runs: Sequence[Run]) -> None:
    st.header("Scores", anchor=False)
    scores.show_suites(store, name, runs)
    st.subheader("Task by task", anchor=False)
    scores.show_tasks(runs)
    st.header("Size and speed", anchor=False)
    cost.show(runs)


render(open_store())
