"""Widgets whose values are kept in the page's address, so that the address reproduces the view."""

from collections.abc import Collection, Sequence
from difflib import get_close_matches
from typing import Any

import streamlit as st

from bench.common.errors import unknown
from leaderboard_app.widgets.text import plain

MOST_NAMED = 60


def start(key: str, default: Any, legal: Collection[Any]) -> None:
    """Give a bound widget that is drawn without a default its first value, and put that value in the address.

    Streamlit leaves a widget's own default out of the address. The defaults here depend on the database's contents.
    """
    given = st.session_state.get(key, st.query_params.get(key))
    if given not in legal:
        given = default
        if key not in st.session_state:  # the widget is not bound yet, and reads it from there
            st.query_params[key] = default
    elif key in st.query_params:
        return
    st.session_state[key] = given


def choose(label: str, names: Sequence[str], key: str, *, what: str, placeholder: str) -> str | None:
    """Let the reader choose one name, kept in the address as `?key=`. Return None until one is chosen.

    If the address has a name that is not legal, show a message that lists the legal ones.
    """
    given = st.query_params.get(key)
    chosen = st.selectbox(label, names, index=None, key=key, bind="query-params", placeholder=placeholder)
    if given and chosen is None:
        complain([given], names, what)
    return chosen


def choose_some(label: str, names: Sequence[str], key: str, *, what: str, most: int) -> list[str]:
    """Let the reader choose up to `most` names. The address repeats `key` for each."""
    given = st.query_params.get_all(key)
    chosen = st.multiselect(label, names, key=key, bind="query-params", max_selections=most)
    complain([name for name in given if name not in names], names, what)
    return chosen


def filtered(label: str, legal: Sequence[str], key: str, *, what: str) -> str:
    """Draw a filter as a row of buttons. Return the first legal value until another is chosen."""
    given = st.query_params.get(key)
    start(key, legal[0], legal)
    chosen = st.segmented_control(label, legal, key=key, bind="query-params", required=True)
    if given and given not in legal:
        complain([given], legal, what)
    return chosen or legal[0]


def complain(given: Sequence[str], legal: Sequence[str], what: str) -> None:
    """Show that each given name does not exist, and list those that do, or the nearest ones if there are very many."""
    for name in given:
        near = get_close_matches(name, legal, n=MOST_NAMED, cutoff=0.3) or legal[:MOST_NAMED]
        told = str(unknown(what, name, legal if len(legal) <= MOST_NAMED else near))
        st.error(plain(told[0].upper() + told[1:]), icon=":material/search_off:")
