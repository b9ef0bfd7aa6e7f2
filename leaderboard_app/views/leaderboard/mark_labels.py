"""Names next to the marks of a score chart, drawn only where a name can't seem to belong to another mark."""

from collections.abc import Iterable
from math import exp, log
from typing import NamedTuple

import altair as alt
import pandas as pd

from leaderboard_app.widgets.marks import LABEL

ROOM = 0.15  # margin left of the marks, as a fraction of the axis between them
NAMES = 0.4  # margin on the right, which is wider because names extend there
LEAST_SPREAD = log(1.02)  # least length of an axis, so that equal values do not give it none
PLOT = 290  # pixels of an axis on a phone, where names have the least room
LETTER, LONGEST, HEIGHT, MARK = 6.5, 68, 18, 10  # pixels: a letter, the longest name, a line, a mark


class Place(NamedTuple):
    """Position of a mark and width of its name, in pixels."""

    x: float
    y: float
    width: float


def ends(values: "pd.Series[float]") -> tuple[float, float]:
    """Return the ends of a logarithmic axis."""
    low, high = values.min(), values.max()
    spread = max(log(high / low), LEAST_SPREAD)
    return low * exp(-ROOM * spread), high * exp(NAMES * spread)


def texts(chart: alt.Chart) -> alt.Chart:
    """Draw names at the upper right of their marks."""
    return chart.mark_text(align="left", dx=7, dy=-8, fontSize=12, limit=LONGEST).encode(color=alt.value(LABEL))


def named(frame: pd.DataFrame, field: str, name: str, wanted: Iterable[int]) -> pd.DataFrame:
    """Return the rows whose names have room.

    Args:
        frame: all rows that are drawn, with columns `score`, `field` and `name`.
        field: the column of the horizontal axis, which runs from end to end of `ends`.
        wanted: positions of the rows that should have a name, the most wanted first.
    """
    places, chosen = _places(frame, field, name), list[int]()
    for index in wanted:
        one = places[index]
        if not any(_hides(one, other) for other in places) and not any(_meet(one, places[each]) for each in chosen):
            chosen.append(index)
    return frame.iloc[chosen]


def _places(frame: pd.DataFrame, field: str, name: str) -> list[Place]:
    left, right = ends(frame[field])
    low, high = frame["score"].min(), frame["score"].max()
    return [
        Place(PLOT * log(x / left) / log(right / left), PLOT * (y - low) / (high - low or 1.0), _width(text))
        for x, y, text in zip(frame[field], frame["score"], frame[name], strict=True)
    ]


def _width(text: str) -> float:
    return min(LETTER * len(text), LONGEST)


def _hides(one: Place, other: Place) -> bool:
    """Whether the name of one mark would cover another mark, or lie to the right of a mark just above."""
    right, up = other.x - one.x, other.y - one.y
    under = MARK / 2 < right < MARK + one.width and -MARK / 2 < up < HEIGHT
    return under or (-MARK < right <= MARK / 2 and 0 < up < HEIGHT)


def _meet(one: Place, other: Place) -> bool:
    """Whether two names would overlap."""
    return abs(one.y - other.y) < HEIGHT and one.x < other.x + other.width and other.x < one.x + one.width
