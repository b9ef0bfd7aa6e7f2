"""A table whose cells are coloured by a value from 0 to 100, in the app and on the static pages."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import streamlit as st
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from leaderboard_app.widgets.marks import Mark

RAMP = ("#440154", "#482878", "#3E4989", "#31688E", "#26828E", "#1F9E89", "#35B779", "#6ECE58", "#B5DE2B", "#FDE725")
"""Viridis, which readers with any kind of colour blindness see rising in brightness (van der Walt & Smith 2015)."""
BLACK, WHITE = "#000000", "#FFFFFF"


class Cell(NamedTuple):
    value: float | None
    """From 0 to 100; None where there is none."""
    url: str
    told: str
    """What is said where it is pointed at."""
    hatched: bool = False

    @property
    def text(self) -> str:
        return "–" if self.value is None else f"{self.value:.0f}"

    @property
    def style(self) -> str:
        """The cell's colour and the ink that stands out from it, as CSS."""
        if self.value is None:
            return ""
        back = shade(self.value)
        return f"background-color: {back}; color: {ink(back)}; text-shadow: 0 0 3px {back}, 0 0 3px {back}"


class Row(NamedTuple):
    name: str
    url: str
    mark: Mark
    cells: Sequence[Cell]
    words: str = ""
    """What a search looks through, in small letters."""
    group: str = ""
    """What rows are chosen by."""
    places: Mapping[str, int] = {}
    """Order → the row's place in it, for readers who choose an order without a server."""

    @property
    def picture(self) -> str:
        """The mark as the address of a picture: Streamlit lets no drawing through."""
        drawn = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-1.2 -1.2 2.4 2.4">'
            f'<path d="{self.mark.shape}" fill="{self.mark.colour}"/></svg>'
        )
        return f"data:image/svg+xml,{quote(drawn)}"


class HeatMap(NamedTuple):
    caption: str
    columns: Mapping[str, str]
    """Heading → address."""
    rows: Sequence[Row]
    hatched: str
    """What hatching means."""


def show(drawn: HeatMap) -> None:
    st.html(_template().render(map=drawn, ramp=RAMP))


@lru_cache(maxsize=1)
def _template() -> Template:
    folder = FileSystemLoader(Path(__file__).resolve().parent)
    made = Environment(loader=folder, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    made.filters["link"] = str  # in the app, addresses are what they are
    return made.get_template("heat_map.html")


def shade(value: float) -> str:
    """Return the colour of a value from 0 to 100."""
    place = min(max(value, 0.0), 100.0) / 100 * (len(RAMP) - 1)
    left, right = list(pairwise(RAMP))[min(int(place), len(RAMP) - 2)]
    part = place - min(int(place), len(RAMP) - 2)
    mixed = (round(a + part * (b - a)) for a, b in zip(_rgb(left), _rgb(right), strict=True))
    return "#" + "".join(f"{each:02X}" for each in mixed)


def ink(back: str) -> str:
    """Return black or white, whichever has more contrast with a colour (WCAG 2.1)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in _rgb(back))]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return BLACK if (luminance + 0.05) ** 2 > 1.05 * 0.05 else WHITE


def _rgb(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[at : at + 2], 16) for at in (1, 3, 5))
