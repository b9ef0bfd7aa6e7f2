"""How the rows of a task were trained: for how long, and with which settings."""

from collections.abc import Iterator, Sequence

from bench.common.text import assignments
from bench.ranking.by_task import Row
from leaderboard_app.widgets.figures import count_text
from leaderboard_app.widgets.grid import Column
from leaderboard_app.widgets.row_labels import differing

STEPS = Column("steps", "Of training, as many as its runs were given: failures and patience end some sooner.", True)
SETTINGS = Column(
    "settings",
    "By hand, from a suite or found by tuning; not defaults, nor what fits a tier. "
    "First those in which an architecture's rows differ.",
)


def trained(rows: Sequence[Row]) -> Iterator[tuple[Row, str, str]]:
    """Each row with its cells of these two columns."""
    for row, differences in zip(rows, differing(rows), strict=True):
        yield row, steps_text(row), settings_text(row, differences)


def steps_text(row: Row) -> str:
    """Steps, or epochs where training is counted in those."""
    count, unit = row.length.split()
    return count_text(int(count)) if unit == "steps" else row.length


def settings_text(row: Row, first: Sequence[str]) -> str:
    """As they are given on the command line, some of them first."""
    return " ".join([*first, *(each for each in assignments(row.settings) if each not in first)]) or "defaults"
