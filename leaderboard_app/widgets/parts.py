"""Parts of a page as values: what they say is made once, and drawn by the app and on the static pages."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import altair as alt
import streamlit as st

from leaderboard_app.widgets import tables


class Text(NamedTuple):
    markdown: str
    quiet: bool = False


class Chart(NamedTuple):
    drawn: alt.Chart | alt.LayerChart | alt.FacetChart
    described: str


class Table(NamedTuple):
    rows: Sequence[Mapping[str, str]]
    """Cells of Markdown, with foreign text escaped."""
    described: str


class SideBySide(NamedTuple):
    columns: Sequence[Sequence[Text | Chart]]


Part = Text | Chart | Table | SideBySide


def show(parts: Iterable[Part]) -> None:
    """Draw parts one below the other."""
    for part in parts:
        match part:
            case Text(markdown, quiet):
                (st.caption if quiet else st.markdown)(markdown)
            case Chart(drawn, described):
                st.altair_chart(drawn, width="stretch", alt=described)
            case Table(rows, described):
                tables.table(rows, alt=described)
            case SideBySide(columns):
                for column, own in zip(st.columns(len(columns)), columns, strict=True):
                    with column:
                        show(own)
