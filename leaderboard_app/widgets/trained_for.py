"""How the rows of a task were trained: for how long, and with which settings."""

from collections.abc import Iterator, Sequence

from bench.common.text import assignments
from bench.ranking.by_task import Row
from leaderboard_app.widgets.figures import count_text
from leaderboard_app.widgets.grid import Column
from leaderboard_app.widgets.row_labels import differing

STEPS = Column("steps", "Training steps that runs were allowed. Failures and early stopping end some sooner.", True)
SETTINGS = Column(
    "settings",
    "Settings given by hand, fixed by a suite or found by tuning, without defaults and without those that follow from "
    "the tier. Settings in which an architecture's rows differ come first.",
)


def trained(rows: Sequence[Row]) -> Iterator[tuple[Row, str, str]]:
    """Yield each row with its cells for STEPS and SETTINGS."""
    for row, differences in zip(rows, differing(rows), strict=True):
        yield row, steps_text(row), settings_text(row, differences)


def steps_text(row: Row) -> str:
    """Return the number of steps, or "60 epochs" where training is counted in epochs."""
    count, unit = row.length.split()
    return count_text(int(count)) if unit == "steps" else row.length


def settings_text(row: Row, first: Sequence[str]) -> str:
    """Return the settings as the command line takes them, those in `first` at the front."""
    return " ".join([*first, *(each for each in assignments(row.settings) if each not in first)]) or "defaults"
