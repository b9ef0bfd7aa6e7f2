"""The board's rows as a table."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal
from urllib.parse import quote

import pandas as pd
import streamlit as st
from streamlit.elements.lib.column_types import ColumnConfig

from bench.board_formats import entry_name, rank_text
from bench.catalogue import ModelFacts
from bench.ranking import SuiteRow
from leaderboard_app.board.filters import described
from leaderboard_app.board.words import VERIFIED, interval
from leaderboard_app.links import page_url

ROW_HEIGHT, MOST_ROWS = 35, 25
EXTRA = ("on front", "BudgetAUC", "for other tasks", "train time", "embedding", "readout", "family", "year", "hardware")
"""Columns that can be switched on, besides each task's."""
SCORE = "0 is a predictor that remembers nothing, 100 is solved: the mean over tasks of the mean over seeds."
Config = Mapping[str, ColumnConfig | str | None]


def frame(rows: Sequence[SuiteRow], facts: Mapping[str, ModelFacts]) -> pd.DataFrame:
    """One row each, with every column, shown or not."""
    digits = len(str(max((row.rank_high or 0 for row in rows), default=0)))
    return pd.DataFrame([_cells(row, facts.get(row.model), digits) for row in rows])


def _cells(row: SuiteRow, facts: ModelFacts | None, digits: int) -> dict[str, Any]:
    family, _, year = described(facts)
    other_tasks = "" if row.score_low_tasks is None else f"{row.score_low_tasks:.1f} – {row.score_high_tasks:.1f}"
    return {
        "rank": _sortable(rank_text(row), digits),
        "architecture": f"{page_url('architecture', name=row.model)}#{quote(shown_name(row, facts))}",
        "tier": row.budget,
        "score": row.score,
        "95% interval": interval(row),
        "parameters": row.params,
        "core": row.params_core,
        "state": row.state_bytes,
        "samples/s": row.samples_per_second,
        "tasks": f"{row.tasks_done} of {row.tasks_total}",
        "seeds": row.seeds,
        "failures": row.failures,
        "verification": VERIFIED[row.verification],
        "on front": row.p_front,
        "BudgetAUC": row.budget_auc,
        "for other tasks": other_tasks,
        "train time": row.train_seconds,
        "embedding": row.params_embedding,
        "readout": row.params_readout,
        "family": family,
        "year": year,
        "hardware": "; ".join(row.hardware),
    } | {task.task: task.score for task in row.tasks}  # fmt: skip


def shown_name(row: SuiteRow, facts: ModelFacts | None) -> str:
    """The entry's name, with the wrapper where it is not the one of the architecture's paper."""
    foreign = facts is not None and row.wrapper != facts.wrapper
    return f"{entry_name(row)} in {row.wrapper}" if foreign else entry_name(row)


def _sortable(rank: str, digits: int) -> str:
    """With spaces in front of shorter numbers, so that the texts sort as the numbers do."""
    return "–".join(part.rjust(digits) for part in rank.split("–")) if rank != "–" else rank


def show(table: pd.DataFrame, columns: Sequence[str], *, key: str) -> list[int]:
    """Draw the table; the positions of the rows that the reader selected."""
    height: int | Literal["content"] = "content" if len(table) <= MOST_ROWS else (MOST_ROWS + 1) * ROW_HEIGHT
    chosen = st.dataframe(
        table, hide_index=True, column_order=columns, column_config=_config(), key=key, on_select="rerun",
        selection_mode="multi-row", height=height, placeholder="", alt="The ranked entries",
    )  # fmt: skip
    return chosen["selection"]["rows"]


def _config() -> Config:
    text, number, progress = st.column_config.TextColumn, st.column_config.NumberColumn, st.column_config.ProgressColumn
    return {
        "rank": text(
            pinned=True,
            width=60,
            alignment="right",
            help="Best to worst that the data allow: alike entries share ranks.",
        ),
        "architecture": st.column_config.LinkColumn(display_text="#(.*)$", pinned=True, alignment="left", width=130),
        "tier": text(help="The parameter tier."),
        "train time": number(format="%.0f s", help="Training of one seed of every task, on its hardware."),
        "score": progress(format="%.1f", min_value=0, max_value=100, color="primary", help=SCORE),
        "95% interval": text(help="Where the score would lie for other seeds."),
        "for other tasks": text(help="Where the score would lie for other tasks like these: 95% interval."),
        "parameters": number(format="localized", step=1, help="Learned numbers outside token tables: what tiers limit"),
        "core": number(format="localized", step=1, help="Parameters of the sequence layers alone."),
        "embedding": number(format="localized", step=1, help="Parameters of token tables: mean over tasks."),
        "readout": number(format="localized", step=1, help="Parameters of the last layer."),
        "state": number(format="bytes", help="Carried from step to step for each sequence; empty where nothing is."),
        "samples/s": number(format="localized", step=1, help="Of training, on its hardware: mean over tasks."),
        "tasks": text(help="Tasks with five seeds or more. Only complete entries are ranked."),
        "seeds": number(help="Fewest on any task."),
        "failures": number(help="Runs that diverged, failed, or ran out of memory or time. They count as zero."),
        "verification": text(help="✓ the host scored the weights again; ✓✓ the host trained it again."),
        "on front": number(format="percent", help="Probability that nothing is as good with fewer parameters."),
        "BudgetAUC": number(format="%.1f", help="Mean best score over budgets from 10k to 10M; needs all three tiers."),
        "family": text(),
        "year": number(format="%d", help="Of the paper."),
        "hardware": text(help="What its runs were trained on."),
    }
