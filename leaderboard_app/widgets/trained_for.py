"""How the rows of a task were trained: for how long, and with which settings."""

from collections import defaultdict
from collections.abc import Container, Iterator, Sequence

from bench.catalog.setting_sources import FIXED_BY_SUITES
from bench.common.text import short_word
from bench.ranking.by_task import Row
from leaderboard_app.widgets.figures import count_text
from leaderboard_app.widgets.grid import Column, Word, Words

STEPS = Column("steps", "Training steps that runs were allowed. Failures and early stopping end some sooner.", True)
SETTINGS = Column(
    "settings",
    "Settings found by tuning, in bold, and those given by hand; the model's own first. What suites fix is shown where "
    "rows of a task differ in it. Fractions have three significant digits; a run's page has its command.",
)


def trained(rows: Sequence[Row]) -> Iterator[tuple[Row, str, Words]]:
    """Yield each row with its cells for STEPS and SETTINGS."""
    alike = _alike(rows)
    for row in rows:
        yield row, steps_text(row), settings_words(row, alike[row.task])


def steps_text(row: Row) -> str:
    """Return the number of steps, or "60 epochs" where training is counted in epochs."""
    count, unit = row.length.split()
    return count_text(int(count)) if unit == "steps" else row.length


def settings_words(row: Row, left_out: Container[str]) -> Words:
    """Return the settings as words, those that tuning found marked.

    Args:
        left_out: names of settings that are not shown.
    """
    shown = [
        Word(f"{name}={short_word(value)}", marked=name in row.tuned)
        for name, value in row.settings.items()
        if name not in left_out
    ]
    return Words(shown or [Word("defaults")])


def _alike(rows: Sequence[Row]) -> dict[str, set[str]]:
    """Return task → those of the settings that suites fix in which its rows agree, and `max_steps`, which STEPS has."""
    values: defaultdict[str, defaultdict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for row in rows:
        for name in FIXED_BY_SUITES:
            values[row.task][name].add(repr(row.settings.get(name, "default")))
    return {
        task: {"max_steps", *(name for name, found in own.items() if len(found) == 1)} for task, own in values.items()
    }
