"""Tables that sort by a click on a head, and whose columns and rows the reader chooses."""

from collections.abc import Sequence
from typing import NamedTuple

from leaderboard_app.widgets.grid import Column, Link, Score, Words

Cell = str | Link | Score | Words


class Head(NamedTuple):
    column: Column
    shown: bool = True
    """Whether it is shown until the reader chooses columns."""


class Row(NamedTuple):
    cells: Sequence[Cell]
    faded: bool = False
    words: str = ""
    """What a search looks through, in small letters."""
    group: str = ""
    """What the menu of rows chooses by."""
    key: str = ""
    """The row's name in an address."""


class Table(NamedTuple):
    caption: str
    """What the table holds, for readers who can't see it."""
    heads: Sequence[Head]
    rows: Sequence[Row]
