"""Tables as HTML. They appear with the page itself; Streamlit's grid takes a second longer to load and draw.

Links open in the same tab, assistive technologies read the table as one, and it can be printed. Jinja escapes all text.
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import streamlit as st
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

HERE = Path(__file__).resolve().parent
SORTING = HERE / "sorting.js"
"""The script that sorts these tables, Streamlit's and those of the static pages by a click on a column's head."""


class Column(NamedTuple):
    name: str
    help: str = ""
    numeric: bool = False
    """Aligned to the right."""
    heads_row: bool = False
    """The cell is a `Link` to the row's subject. It stays in sight when the table is scrolled sideways."""


class Link(NamedTuple):
    text: str
    url: str


class Score(NamedTuple):
    """A score from 0 to 100, drawn with its interval."""

    value: float
    low: float
    high: float

    @classmethod
    def over_seeds(cls, mean: float, std: float | None) -> "Score":
        """Return the mean ± the standard deviation, which is None for one seed."""
        spread = std or 0
        return cls(mean, max(0, mean - spread), min(100, mean + spread))


class Word(NamedTuple):
    text: str
    marked: bool = False


class Words(NamedTuple):
    """Words, the marked ones in bold. They go on in the next line rather than being cut."""

    words: Sequence[Word]


class Line(NamedTuple):
    cells: Sequence[str | Link | Score | Words]
    faded: bool = False


LEARNED = Column(
    "learned", "Share of the seeds that learned the task: half of the way to solved, or more.", numeric=True
)


def share(value: float | None) -> str:
    """Return the share in percent, or an empty text for None."""
    return "" if value is None else f"{value:.0%}"


def number(value: float | None) -> str:
    """Return the value with one decimal, or an empty text for None."""
    return "" if value is None else f"{value:.1f}"


def enable_sorting() -> None:
    """Load the script that sorts tables. It is the project's own, and reads no text of others but what is shown."""
    script = SORTING.read_text(encoding="utf-8")
    st.html(f"<script>{{{script}}}</script>", unsafe_allow_javascript=True)  # a block of its own may run twice


def show(columns: Sequence[Column], rows: Sequence[Line], *, caption: str, short: bool = False) -> None:
    """Draw a table.

    Args:
        caption: what the table holds, for readers who can't see it.
        short: whether a long table scrolls in its own frame.
    """
    st.html(_template().render(columns=columns, rows=rows, caption=caption, short=short))


@lru_cache(maxsize=1)
def _template() -> Template:
    return Environment(loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined).get_template(
        "grid.html"
    )
