"""The shown rows as files, in the order in which they are shown. Each is made when it is asked for."""

from collections.abc import Callable, Mapping, Sequence
from io import BytesIO, StringIO

import streamlit as st

from bench.catalogue import ModelFacts
from bench.export import bibtex, board_csv, board_latex
from bench.ranking import SuiteRow
from leaderboard_app.board.charts import Chart, picture

PIXELS_PER_POINT = 3


def menu(
    rows: Sequence[SuiteRow], tasks: Sequence[str], facts: Mapping[str, ModelFacts], chart: Chart, title: str
) -> None:
    """The downloads.

    Args:
        title: of the chart and, in small letters, of the files.
    """
    stem = "-".join(title.lower().split())
    papers = {row.model: facts[row.model].paper for row in rows if row.model in facts}
    files: dict[str, tuple[str, str, Callable[[], str | bytes]]] = {
        "Table as CSV": ("csv", "text/csv", lambda: board_csv(rows, tasks)),
        "Table as LaTeX": ("tex", "text/x-tex", lambda: board_latex(rows)),
        "Papers as BibTeX": ("bib", "text/x-bibtex", lambda: bibtex(papers)),
        "Chart as PNG": ("png", "image/png", lambda: _png(picture(chart, title))),
        "Chart as SVG": ("svg", "image/svg+xml", lambda: _svg(picture(chart, title))),
    }
    with st.popover("Export", icon=":material/download:"):
        for label, (kind, mime, make) in files.items():
            name = f"{stem}.{kind}"
            st.download_button(label, make, name, mime, key=f"export-{kind}", on_click="ignore", width="stretch")


def _png(chart: Chart) -> bytes:
    buffer = BytesIO()
    chart.save(buffer, format="png", scale_factor=PIXELS_PER_POINT)
    return buffer.getvalue()


def _svg(chart: Chart) -> str:
    buffer = StringIO()
    chart.save(buffer, format="svg")
    return buffer.getvalue()
