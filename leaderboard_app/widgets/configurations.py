"""The table of a task's configurations: every architecture in every setting, best first."""

from collections.abc import Sequence

from bench.catalog.names import display_name
from bench.common.text import metric_text
from bench.ranking.by_task import Row
from leaderboard_app.widgets import grid
from leaderboard_app.widgets.figures import statuses_text
from leaderboard_app.widgets.grid import LEARNED, Column, Line, Link, Score, Word, Words, number, share
from leaderboard_app.widgets.links import page_url
from leaderboard_app.widgets.trained_for import SETTINGS, STEPS, trained

NO_TIER = "no tier"


def show(rows: Sequence[Row]) -> None:
    """Draw the table."""
    columns, lines = table(rows)
    grid.show(columns, lines, caption="Configurations of this task", short=True)


def table(rows: Sequence[Row]) -> tuple[list[Column], list[Line]]:
    """Return the table's columns and lines."""
    columns = [
        Column("architecture", heads_row=True),
        Column("score", "Mean over seeds, with failures as 0. The line is ± the standard deviation.", numeric=True),
        Column("±", "Standard deviation over seeds.", numeric=True),
        LEARNED,
        Column(rows[0].metric_name, "On the test split: mean over the seeds that finished.", numeric=True),
        Column("parameters", numeric=True),
        Column("seeds", numeric=True),
        STEPS,
        Column("status"),
        Column("tier"),
        Column("wrapper"),
        SETTINGS,
    ]
    return columns, [_line(*each) for each in trained(rows)]


def _line(row: Row, steps: str, settings: Words) -> Line:
    return Line([
        Link(display_name(row.model), page_url("architecture", name=row.model)),
        Score.over_seeds(row.score, row.score_std),
        number(row.score_std),
        share(row.learned),
        metric_text(row.metric_name, row.metric_value),
        f"{row.params:,}",
        str(len(row.seeds)),
        steps,
        Words([Word(statuses_text(row.statuses))]),
        row.budget or NO_TIER,
        row.wrapper,
        settings,
    ])  # fmt: skip
