"""One task: its definition, the results of every architecture, and its facts. The address is `task?name=…`."""

from collections.abc import Sequence

import streamlit as st

from bench.catalog.suites import SUITES, Suite
from bench.catalog.tiers import TIERS
from bench.reports.task_card import task_card
from db.schema import Run
from db.standing import Standing
from db.store import Store
from leaderboard_app.data import comparable, open_store, snapshot
from leaderboard_app.views.task import card, lengths, names, results
from leaderboard_app.widgets.address import choose, filtered
from leaderboard_app.widgets.text import plain

ALL_TIERS, NO_TIER, ANY = "all", "no tier", "any training"


def render(store: Store) -> None:
    seen = snapshot(store)
    runs = comparable(seen.runs)
    name = choose("Task", names.known(runs), "name", what="task", placeholder="Choose a task")
    if name is None:
        st.title("Tasks", anchor=False)
        names.show(runs)
        return
    st.title(plain(name), anchor=False)
    runs = seen.once(("task", name), lambda: _counted(store, [name], seen.standing))
    if name not in names.registered():
        card.stored(runs)
        _results(name, runs)
        return
    about = task_card(name)
    st.caption(plain(about["summary"]))
    card.definition(about)
    chosen, suite = _results(name, runs)
    if chosen:
        variants = about["variants"]
        family = seen.once(("family", name), lambda: _counted(store, variants, seen.standing))
        tiers = {run.budget for run in chosen}
        alike = [run for run in family if run.budget in tiers and (suite is None or suite.trains(run, name))]
        lengths.show(lengths.points(alike, variants), results.anchors(runs))
    st.subheader("Facts", anchor=False)
    card.show_facts(about, runs)
    card.show_shortcuts(about)


def _counted(store: Store, tasks: Sequence[str], standing: Standing) -> list[Run]:
    """Return the runs of some tasks, with all their columns, without those that no longer count."""
    return comparable(standing.counted(run for task in tasks for run in store.runs(task=task)))


def _results(name: str, runs: Sequence[Run]) -> tuple[Sequence[Run], Suite | None]:
    """Draw filters, dots and table. Return the runs that are shown, and the suite whose training they had."""
    st.subheader("Results", anchor=False)
    if not runs:
        st.info("**No runs of this task yet.** The first one:")
        st.code(f"python -m bench run --model fru --task {name}", language="shell")
        return [], None
    chosen, suite = _filtered(runs)
    if chosen:
        results.show(chosen, results.anchors(chosen))
    else:
        st.info("No run of this task has this training in this tier. Choose another tier or training.")
    return chosen, suite


def _filtered(runs: Sequence[Run]) -> tuple[list[Run], Suite | None]:
    found = {run.budget or NO_TIER for run in runs}
    tiers = [tier for tier in (*TIERS, NO_TIER) if tier in found]
    suites = [suite for suite in SUITES.values() if any(suite.includes(run) for run in runs)]
    with st.container(horizontal=True):
        tier = filtered("Parameters", [ALL_TIERS, *tiers], "tier", what="parameter tier")
        trained = filtered("Trained as in", [*(suite.name for suite in suites), ANY], "training", what="training")
    suite = SUITES.get(trained)
    of_tier = [run for run in runs if tier in (ALL_TIERS, run.budget or NO_TIER)]
    return [run for run in of_tier if suite is None or suite.includes(run)], suite


render(open_store())
