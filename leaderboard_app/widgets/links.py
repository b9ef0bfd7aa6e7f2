"""Addresses within the app. They are relative, so that they work behind a reverse proxy that adds a path."""

from typing import NoReturn
from urllib.parse import urlencode

import streamlit as st

from bench.ranking.rows import SuiteRow
from leaderboard_app.widgets.text import plain

HOME = "leaderboard"


def page_url(page: str, **parameters: str | list[str]) -> str:
    """Return the address of a view: `page_url("run", id="…")` is `run?id=…`.

    The page is named by its folder. Values are quoted, and a list repeats its parameter.
    """
    query = urlencode(parameters, doseq=True)
    path = "./" if page == HOME else page
    return f"{path}?{query}" if query else path


def link(label: str, page: str, **parameters: str | list[str]) -> None:
    """Draw a link that keeps the session, so that the page opens without a reload."""
    st.page_link(f"views/{page}/page.py", label=plain(label), query_params=parameters)


def follow(page: str, **parameters: str | list[str]) -> NoReturn:
    """Go to a page."""
    st.switch_page(f"views/{page}/page.py", query_params=parameters)


def entry_id(row: SuiteRow) -> str:
    """Return an entry's name in an address: `compare?suite=quick-v1&entries=fru plain 10k defaults&entries=…`."""
    return " ".join(row.key).strip()
