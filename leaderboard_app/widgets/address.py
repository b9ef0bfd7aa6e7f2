"""Widgets whose values are kept in the page's address, so that the address reproduces the view.

The address is what counts: a widget is drawn with the value that it has there, and a click changes the address. So a
link, a reload and the browser's Back show what the address says, and the address has ids where a page shows names.
"""

from collections.abc import Callable, Collection, Sequence
from difflib import get_close_matches
from typing import Any

import streamlit as st

from bench.common.errors import unknown
from leaderboard_app.widgets.text import plain

MOST_NAMED = 60


def one_of(
    draw: Callable[..., Any], label: str, legal: Sequence[str], key: str, *, what: str, default: str | None,
    said: bool = True, **options: Any,
) -> Any:  # fmt: skip
    """Draw a widget that chooses one of some values, kept in the address as `?key=`. Return the chosen one.

    If the address has another value, show a message that lists the legal ones, and take the default.

    Args:
        draw: `st.segmented_control` or `st.selectbox`.
        what: what is chosen, in the singular, for the message.
        default: the value where the address has none.
        said: whether the address names the default, too. Defaults may depend on the database's contents.
        options: of the widget.
    """
    is_new, given = key not in st.session_state, st.query_params.get(key)
    value = given if given in legal else default
    if is_new and given is not None:
        complain([given] if given != value else [], legal, what)
    told = value if said or value != default else None
    if told != given:
        _tell(key, told)
    st.session_state[key] = value
    draw(label, legal, key=key, on_change=_tell_chosen, args=[key, None if said else default], **options)
    return value


def _tell_chosen(key: str, unsaid: str | None) -> None:
    chosen = st.session_state[key]
    _tell(key, None if chosen == unsaid else chosen)


def _tell(key: str, value: str | Sequence[str] | None) -> None:
    """Put a value into the address, or take it out."""
    if value:
        st.query_params[key] = value
    elif key in st.query_params:
        del st.query_params[key]


def forget(*keys: str) -> None:
    """Take values out of the address that the page has no use for."""
    for key in keys:
        _tell(key, None)


def choose(
    label: str, names: Sequence[str], key: str, *, what: str, placeholder: str, shown: Callable[[str], str] = str
) -> str | None:
    """Let the reader choose one name. Return None until one is chosen.

    Args:
        shown: how a name is shown. The address has the name itself.
    """
    return one_of(
        st.selectbox, label, names, key, what=what, default=None, index=None, placeholder=placeholder, format_func=shown
    )


def choose_some(
    label: str, names: Sequence[str], key: str, *, what: str, most: int, shown: Callable[[str], str] = str
) -> list[str]:
    """Let the reader choose up to `most` names. The address repeats `key` for each."""
    is_new, given = key not in st.session_state, st.query_params.get_all(key)
    chosen = [name for name in dict.fromkeys(given) if name in names][:most]
    if is_new:
        complain([name for name in given if name not in names], names, what)
    if chosen != given:
        _tell(key, chosen)
    st.session_state[key] = chosen
    st.multiselect(
        label, names, key=key, max_selections=most, format_func=shown, on_change=_tell_chosen, args=[key, None]
    )
    return chosen


def filtered(label: str, legal: Sequence[str], key: str, *, what: str) -> str:
    """Draw a filter as a row of buttons. Return the first legal value until another is chosen."""
    return one_of(st.segmented_control, label, legal, key, what=what, default=legal[0], required=True)


def complain(given: Sequence[str], legal: Collection[str], what: str) -> None:
    """Show that each given name does not exist, and list those that do, or the nearest ones if there are very many."""
    names = list(legal)
    for name in given:
        near = get_close_matches(name, names, n=MOST_NAMED, cutoff=0.3) or names[:MOST_NAMED]
        told = str(unknown(what, name, names if len(names) <= MOST_NAMED else near))
        st.error(plain(told[0].upper() + told[1:]), icon=":material/search_off:")
