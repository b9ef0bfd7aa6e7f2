"""Short tables with links. Each cell is Markdown; callers must have escaped foreign text in it."""

from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

import pandas as pd
import streamlit as st

from leaderboard_app.widgets.links import page_url
from leaderboard_app.widgets.text import plain

MOST = 100
"""Most rows shown. A longer table is cut, with a note that says so."""


def table(rows: Sequence[Mapping[str, str]], *, alt: str) -> None:
    """Draw rows of Markdown cells under the first row's keys as headings."""
    st.table(pd.DataFrame(list(rows[:MOST])), border="horizontal", hide_index=True, alt=alt)
    if len(rows) > MOST:
        st.caption(f"The first {MOST} of {len(rows):,}.")


def facts(rows: Mapping[str, str], *, alt: str) -> None:
    """Draw the facts about one thing: a name and a Markdown value per line."""
    frame = pd.DataFrame({"what": list(rows), "value": list(rows.values())})
    st.table(frame, border="horizontal", hide_index=True, hide_header=True, alt=alt)


def link(label: object, page: str, **parameters: str | list[str]) -> str:
    """Return a link within the app, as Markdown."""
    return f"[{plain(label)}]({page_url(page, **parameters)})"


def outside_link(label: object, url: str) -> str:
    """Return a link to another site, as Markdown, or only the text if the link is not https."""
    parts = urlsplit(url)
    safe = parts.scheme == "https" and parts.hostname and not any(mark in url for mark in "()<>[]\\\"' \n\t`")
    return f"[{plain(label)}]({url})" if safe else plain(label)


def code(value: object) -> str:
    """Return a value as Markdown code. No content of the value can end the code early."""
    text = str(value).replace("`", "'").replace("\n", " ").strip()
    return f"`{text}`" if text else ""
