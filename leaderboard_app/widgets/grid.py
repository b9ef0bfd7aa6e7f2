"""Tables as HTML: on screen with the page itself, where Streamlit's grid takes a second more to be loaded and drawn.

Links open in the same tab, assistive technologies read the table as one, and it can be printed. Jinja escapes all text.
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import streamlit as st
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template


class Column(NamedTuple):
    name: str
    help: str = ""
    numeric: bool = False
    """At the right."""
    heads_row: bool = False
    """What the row is about, a `Link`; it stays in sight when the table is scrolled sideways."""


class Link(NamedTuple):
    text: str
    url: str


class Score(NamedTuple):
    """From 0 to 100, drawn with its interval."""

    value: float
    low: float
    high: float

    @classmethod
    def over_seeds(cls, mean: float, std: float | None) -> "Score":
        """The mean ± the standard deviation; of one seed there is none."""
        spread = std or 0
        return cls(mean, max(0, mean - spread), min(100, mean + spread))


class Line(NamedTuple):
    cells: Sequence[str | Link | Score]
    faded: bool = False


def number(value: float | None) -> str:
    """With one decimal; empty where there is none."""
    return "" if value is None else f"{value:.1f}"


def show(columns: Sequence[Column], rows: Sequence[Line], *, caption: str, short: bool = False) -> None:
    """Draw a table.

    Args:
        caption: what it holds, for those who can't see it.
        short: long tables scroll in a frame of their own.
    """
    st.html(_template().render(columns=columns, rows=rows, caption=caption, short=short))


@lru_cache(maxsize=1)
def _template() -> Template:
    folder = FileSystemLoader(Path(__file__).resolve().parent)
    return Environment(loader=folder, autoescape=True, undefined=StrictUndefined).get_template("grid.html")
