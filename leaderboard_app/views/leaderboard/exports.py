"""Downloads of the shown rows, in the order shown. Each file is made when it is requested."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import streamlit as st
from vl_convert import vegalite_to_png, vegalite_to_svg

from bench.ranking.contest import InTier, InTime
from bench.reports.board_formats import bibtex, board_csv, board_latex
from bench.reports.listings import model_facts
from leaderboard_app.views.leaderboard.charts import Drawing, against_cost
from leaderboard_app.views.leaderboard.sentences import duration
from leaderboard_app.views.leaderboard.shown import Shown
from leaderboard_app.widgets.drawing import Spec, picture

BOARD = "board"
MIME = {"csv": "text/csv", "tex": "text/x-tex", "bib": "text/x-bibtex", "png": "image/png", "svg": "image/svg+xml"}
File = tuple[str, str, Callable[[], str | bytes]]
"""What is in the file, its kind, and what makes it."""
SCALE = 3  # PNG pixels per point


def menu(shown: Shown) -> None:
    """Draw the menu of downloads of the table and of the first chart."""
    facts, rows = model_facts(), shown.rows
    papers = {row.model: facts[row.model].paper for row in rows if row.model in facts}
    drawing, title = against_cost(shown)
    files: dict[str, File] = {
        "Table as CSV": (BOARD, "csv", lambda: board_csv(rows, list(shown.suite.tasks))),
        "Table as LaTeX": (BOARD, "tex", lambda: board_latex(rows)),
        "Papers as BibTeX": (BOARD, "bib", lambda: bibtex(papers)),
        **{f"Chart as {kind.upper()}": (title, kind, make) for kind, make in pictures(shown, drawing, title).items()},
    }
    with st.popover("Export", icon=":material/download:"):
        _buttons(shown, files)


def chart_menu(shown: Shown, drawing: Drawing, title: str, numbers: Callable[[], str]) -> None:
    """Draw the menu of downloads of a chart.

    Args:
        numbers: makes CSV of what the chart shows.
    """
    files: dict[str, File] = {
        kind.upper(): (title, kind, make) for kind, make in pictures(shown, drawing, title).items()
    }
    with st.popover("Save", icon=":material/download:"):
        _buttons(shown, files | {"CSV": (title, "csv", numbers)})


def pictures(shown: Shown, drawing: Drawing, title: str) -> dict[str, Callable[[], str | bytes]]:
    """Return kind of file → what makes it."""
    spec = partial(_drawn, drawing, f"{shown.suite.name} {title}")
    return {"png": lambda: vegalite_to_png(spec(), scale=SCALE), "svg": lambda: vegalite_to_svg(spec())}


def _buttons(shown: Shown, files: Mapping[str, File]) -> None:
    for label, (what, kind, make) in files.items():
        name = f"{stem(shown.suite.name, shown.contests, what)}.{kind}"
        st.download_button(
            label, make, name, MIME[kind], key=f"export {what} {kind}", on_click="ignore", width="stretch"
        )


def stem(suite: str, contests: Sequence[InTier | InTime], what: str) -> str:
    """Return a file name without its ending. It differs for each suite, contest and kind of file."""
    first, tiers = contests[0], {each.tier for each in contests if isinstance(each, InTier)}
    within = f"{duration(first.seconds)} {first.hardware}" if isinstance(first, InTime) else first.tier
    within = within if len(tiers) < 2 else "all tiers"
    block = f"{first.wrapper} " if first.wrapper and len({each.wrapper for each in contests}) == 1 else ""
    return re.sub(r"[^\w.]+", "-", f"{suite} {within} {block}{what}".lower())


def _drawn(chart: Drawing, title: str) -> Spec:
    return picture(chart() or NOTHING, title)


NOTHING: Spec = {"data": {"values": []}, "mark": "point"}
