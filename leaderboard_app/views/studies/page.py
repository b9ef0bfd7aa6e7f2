"""Tuning studies, read-only: those next to the results, and published ones. The address is `studies?name=…`."""

from importlib.util import find_spec
from typing import Any

import streamlit as st

from bench.reports.published_studies import published_studies
from db.errors import StoreError
from leaderboard_app.data import open_store
from leaderboard_app.views.studies import listing, published
from leaderboard_app.widgets.address import choose
from leaderboard_app.widgets.text import plain

SECONDS = 15  # for which the list of studies is cached
TITLE = "Tuning studies"
CAPTION = "A trial sees train and validation only, and is not a run: no result from here is on the leaderboard."


def render() -> None:
    try:
        _render(str(open_store()))
    except StoreError as error:
        st.error(plain(error), icon=":material/database_off:")


def _render(database: str) -> None:
    can_show_own = find_spec("optuna") is not None and find_spec("plotly") is not None
    own = _overviews(database) if can_show_own else []
    others = {each["study"]: each for each in _published(database)}
    names = [each["study"] for each in own]
    names += [name for name in others if name not in names]
    name = choose("Study", names, "name", what="study", placeholder="Choose a study") if names else None
    st.title(TITLE if name is None else plain(name), anchor=False)
    if name is None:
        _list(own, list(others.values()), can_show_own)
        return
    st.caption(CAPTION)
    if name in others and name not in (each["study"] for each in own):
        published.show(others[name])
    else:
        _show(name)


def _list(own: list[dict[str, Any]], others: list[dict[str, Any]], can_show_own: bool) -> None:
    if not can_show_own:
        st.info("Showing studies needs Optuna and Plotly, which are not installed: `pip install -e '.[app,tune]'`.")
    elif not own and not others:
        st.info(listing.EMPTY)
    if own:
        listing.show(own, alt=TITLE)
    if others:
        st.subheader("Published with the results", anchor=False)
        listing.show(others, alt="Published tuning studies")


@st.cache_data(ttl=SECONDS, show_spinner="Reading the studies …")
def _overviews(database: str) -> list[dict[str, Any]]:
    from bench.tuning.settled import overview
    from bench.tuning.storage import Studies

    return [overview(study) for study in Studies(None, read_only=True).all()]


@st.cache_data(ttl=SECONDS, show_spinner=False)
def _published(database: str) -> list[dict[str, Any]]:
    return published_studies(open_store().trials())


def _show(name: str) -> None:
    import optuna

    from bench.tuning.storage import Studies
    from leaderboard_app.views.studies import plots, trial_charts, trials

    study = optuna.load_study(study_name=name, storage=Studies(None, read_only=True).storage)
    trials.show_best(study)
    trial_charts.show_rates(*trials.tried(study))
    for show in plots.SECTIONS:
        show(study)
    st.subheader("Trials", anchor=False)
    trials.show_all(study)


render()
