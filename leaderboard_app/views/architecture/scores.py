"""An architecture's scores: its entries in every suite and tier, and its results task by task."""

from collections.abc import Iterator, Sequence
from contextlib import suppress

import streamlit as st

from bench.catalog.suites import SUITES, Suite, find_suite
from bench.common.errors import RequestError
from bench.common.text import metric_text
from bench.ranking.by_task import Row, leaderboard
from bench.ranking.rows import SuiteRow
from bench.reports.board import wrappers_apart
from bench.reports.board_formats import entry_name, rank_text, share_text
from db.schema import Run
from db.store import Store
from leaderboard_app.data import load_rows
from leaderboard_app.widgets import grid
from leaderboard_app.widgets.figures import bytes_text, count_text, interval_text, score_text, statuses_text
from leaderboard_app.widgets.grid import LEARNED, Column, Line, Link, Score, Words, number, share
from leaderboard_app.widgets.links import page_url
from leaderboard_app.widgets.tables import link, table
from leaderboard_app.widgets.text import plain
from leaderboard_app.widgets.trained_for import SETTINGS, STEPS, trained

NOTE = "95% interval: where the score would lie for other seeds. Rank: best and worst that the data allow."
UNRANKED = "It has no run in any suite yet, so it is not ranked."
COLUMNS = [
    Column("task", heads_row=True),
    Column("tier"),
    Column("score", "Mean over seeds; a run that failed counts as 0. The line is ± the standard deviation.", True),
    Column("±", "Standard deviation over seeds.", numeric=True),
    LEARNED,
    Column("metric", "On the test split: mean over the seeds that finished."),
    Column("parameters", numeric=True),
    Column("seeds", numeric=True),
    STEPS,
    Column("runs", "Opens the list of these runs."),
    Column("wrapper"),
    SETTINGS,
]


def show_suites(store: Store, model: str, runs: Sequence[Run]) -> None:
    rows = [suite_row(suite, row) for suite, row in entries(store, model, runs)]
    if rows:
        table(rows, alt="Score and rank in each suite and tier")
        st.caption(NOTE)
    else:
        st.info(UNRANKED)


def entries(store: Store, model: str, runs: Sequence[Run]) -> Iterator[tuple[str, SuiteRow]]:
    """Yield (suite, row) for the architecture's rows on every board, by suite and tier.

    Suites that can't be ranked have none: their boards say why.
    """
    for suite in SUITES.values():
        tiers = {run.budget for run in runs if suite.includes(run)}
        for tier in suite.tiers:
            if tier in tiers:
                with suppress(RequestError):
                    rows = load_rows(store, suite.name, tier)
                    yield from ((suite.name, row) for row in rows if row.model == model)


def suite_row(suite: str, row: SuiteRow) -> dict[str, str]:
    return {
        "suite": link(suite, "leaderboard", suite=suite, tier=row.budget, **_block(find_suite(suite), row.wrapper)),
        "tier": plain(row.budget),
        "entry": plain(f"{entry_name(row)} ({row.wrapper})"),
        "rank": rank_text(row),
        "score": score_text(row.score),
        "95% interval": interval_text(row.score_low, row.score_high),
        "learned": share_text(row.learned),
        "parameters": count_text(row.params),
        "state": bytes_text(row.state_bytes) if row.state_bytes is not None else "none",
        "tasks": f"{row.tasks_done} of {row.tasks_total}",
        "failures": count_text(row.failures),
        "verified": plain(row.verification),
    }


def _block(suite: Suite, wrapper: str) -> dict[str, str]:
    """Return what an address says of the contest whose rank is shown."""
    return {} if None in wrappers_apart(suite) else {"block": wrapper}


def show_tasks(runs: Sequence[Run]) -> None:
    rows = leaderboard(runs)
    if rows:
        lines = [task_line(*each) for each in trained(rows)]
        grid.show(COLUMNS, lines, caption="Results task by task", short=True)
    else:
        st.info("Every run of it was interrupted, and has no result until it is resumed.")


def task_line(row: Row, steps: str, settings: Words) -> Line:
    return Line([
        Link(row.task, page_url("task", name=row.task)),
        row.budget or "none",
        Score.over_seeds(row.score, row.score_std),
        number(row.score_std),
        share(row.learned),
        f"{row.metric_name} {metric_text(row.metric_name, row.metric_value)}",
        count_text(row.params),
        str(len(row.seeds)),
        steps,
        Link(statuses_text(row.statuses), page_url("run", model=row.model, task=row.task)),
        row.wrapper,
        settings,
    ])  # fmt: skip
