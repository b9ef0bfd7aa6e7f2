"""Downloads of the shown rows, in the order shown. Each file is made when it is requested."""

import re
from collections.abc import Callable, Sequence

import streamlit as st
from vl_convert import vegalite_to_png, vegalite_to_svg

from bench.catalog.suites import Suite
from bench.ranking.contest import InTier, InTime
from bench.ranking.rows import SuiteRow
from bench.reports.board_formats import bibtex, board_csv, board_latex
from bench.reports.listings import model_facts
from leaderboard_app.views.leaderboard.charts import Drawing, Spec, picture
from leaderboard_app.views.leaderboard.sentences import duration

BOARD = "board"
SCALE = 3  # PNG pixels per point


def menu(
    rows: Sequence[SuiteRow], suite: Suite, contests: Sequence[InTier | InTime], chart: Drawing, title: str
) -> None:
    """Draw the menu of downloads.

    Args:
        contests: those that the rows are from.
        title: the chart's title.
    """
    facts, headed = model_facts(), f"{suite.name} {title}"
    papers = {row.model: facts[row.model].paper for row in rows if row.model in facts}
    files: dict[str, tuple[str, str, str, Callable[[], str | bytes]]] = {
        "Table as CSV": (BOARD, "csv", "text/csv", lambda: board_csv(rows, list(suite.tasks))),
        "Table as LaTeX": (BOARD, "tex", "text/x-tex", lambda: board_latex(rows)),
        "Papers as BibTeX": (BOARD, "bib", "text/x-bibtex", lambda: bibtex(papers)),
        "Chart as PNG": (title, "png", "image/png", lambda: vegalite_to_png(_drawn(chart, headed), scale=SCALE)),
        "Chart as SVG": (title, "svg", "image/svg+xml", lambda: vegalite_to_svg(_drawn(chart, headed))),
    }
    with st.popover("Export", icon=":material/download:"):
        for label, (what, kind, mime, make) in files.items():
            name = f"{stem(suite.name, contests, what)}.{kind}"
            st.download_button(label, make, name, mime, key=f"export-{kind}", on_click="ignore", width="stretch")


def stem(suite: str, contests: Sequence[InTier | InTime], what: str) -> str:
    """Return a file name without its ending. It differs for each suite, contest and kind of file."""
    first = contests[0]
    within = first.tier if isinstance(first, InTier) else f"{duration(first.seconds)} {first.hardware}"
    block = f"{first.wrapper} " if first.wrapper and len(contests) == 1 else ""
    return re.sub(r"[^\w.]+", "-", f"{suite} {within} {block}{what}".lower())


def _drawn(chart: Drawing, title: str) -> Spec:
    return picture(chart() or NOTHING, title)


NOTHING: Spec = {"data": {"values": []}, "mark": "point"}
