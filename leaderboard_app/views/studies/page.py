"""Tuning studies, read-only. The address is `studies?name=…`."""

from importlib.util import find_spec
from typing import Any

import streamlit as st

from db.errors import StoreError
from leaderboard_app.data import open_store
from leaderboard_app.widgets.address import choose
from leaderboard_app.widgets.text import plain

SECONDS = 15  # for which the list of studies is cached


def render() -> None:
    if find_spec("optuna") is None or find_spec("plotly") is None:
        st.title("Tuning studies", anchor=False)
        st.info("Showing studies needs Optuna and Plotly, which are not installed: `pip install -e '.[app,tune]'`.")
        return
    try:
        _render()
    except StoreError as error:
        st.error(plain(error), icon=":material/database_off:")


def _render() -> None:
    from leaderboard_app.views.studies import listing

    overviews = _overviews(str(open_store()))
    if not overviews:
        st.title("Tuning studies", anchor=False)
        st.info(listing.EMPTY)
        return
    names = [each["study"] for each in overviews]
    name = choose("Study", names, "name", what="study", placeholder="Choose a study")
    if name is None:
        st.title("Tuning studies", anchor=False)
        listing.show(overviews)
    else:
        st.title(plain(name), anchor=False)
        _show(name)


@st.cache_data(ttl=SECONDS, show_spinner="Reading the studies …")
def _overviews(database: str) -> list[dict[str, Any]]:
    from bench.tuning.best import overview
    from bench.tuning.storage import Studies

    return [overview(study) for study in Studies(None, read_only=True).all()]


def _show(name: str) -> None:
    import optuna

    from bench.tuning.storage import Studies
    from leaderboard_app.views.studies import plots, trials

    study = optuna.load_study(study_name=name, storage=Studies(None, read_only=True).storage)
    st.caption("A trial sees train and validation only, and is not a run: no result from here is on the leaderboard.")
    trials.show_best(study)
    for show in plots.SECTIONS:
        show(study)
    st.subheader("Trials", anchor=False)
    trials.show_all(study)


render()
