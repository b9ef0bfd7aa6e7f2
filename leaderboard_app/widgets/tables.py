"""Tables for people: short ones with links, each cell Markdown whose foreign text was escaped before."""

from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

import pandas as pd
import streamlit as st

from leaderboard_app.widgets.links import page_url
from leaderboard_app.widgets.text import plain

MOST = 100
"""Rows; what is longer is cut, and says so."""


def table(rows: Sequence[Mapping[str, str]], *, alt: str) -> None:
    """Rows of Markdown cells under the first row's headings."""
    st.table(pd.DataFrame(list(rows[:MOST])), border="horizontal", hide_index=True, alt=alt)
    if len(rows) > MOST:
        st.caption(f"The first {MOST} of {len(rows):,}.")


def facts(rows: Mapping[str, str], *, alt: str) -> None:
    """What is known of one thing: a name and a Markdown value a line."""
    frame = pd.DataFrame({"what": list(rows), "value": list(rows.values())})
    st.table(frame, border="horizontal", hide_index=True, hide_header=True, alt=alt)


def link(label: object, page: str, **parameters: str | list[str]) -> str:
    """A link within the app, as Markdown."""
    return f"[{plain(label)}]({page_url(page, **parameters)})"


def outside_link(label: object, url: str) -> str:
    """A link to elsewhere where it is https; otherwise the text alone."""
    parts = urlsplit(url)
    safe = parts.scheme == "https" and parts.hostname and not any(mark in url for mark in "()<>[]\\\"' \n\t`")
    return f"[{plain(label)}]({url})" if safe else plain(label)


def code(value: object) -> str:
    """A value in a fixed-width face, as Markdown; whatever it holds, it ends where it should."""
    text = str(value).replace("`", "'").replace("\n", " ").strip()
    return f"`{text}`" if text else ""
