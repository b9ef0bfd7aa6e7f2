"""The shown rows as files, in the order in which they are shown. Each is made when it is asked for."""

from collections.abc import Callable, Sequence

import streamlit as st
import vl_convert

from bench.board_formats import bibtex, board_csv, board_latex
from bench.catalogue import model_facts
from bench.ranking import SuiteRow
from leaderboard_app.board.charts import Drawing, Spec, picture

SCALE = 3  # pixels of the PNG to a point


def menu(rows: Sequence[SuiteRow], tasks: Sequence[str], chart: Drawing, title: str) -> None:
    """The downloads.

    Args:
        title: of the chart and, in small letters, of the files.
    """
    facts = model_facts()
    papers = {row.model: facts[row.model].paper for row in rows if row.model in facts}
    files: dict[str, tuple[str, str, Callable[[], str | bytes]]] = {
        "Table as CSV": ("csv", "text/csv", lambda: board_csv(rows, tasks)),
        "Table as LaTeX": ("tex", "text/x-tex", lambda: board_latex(rows)),
        "Papers as BibTeX": ("bib", "text/x-bibtex", lambda: bibtex(papers)),
        "Chart as PNG": ("png", "image/png", lambda: vl_convert.vegalite_to_png(_drawn(chart, title), scale=SCALE)),
        "Chart as SVG": ("svg", "image/svg+xml", lambda: vl_convert.vegalite_to_svg(_drawn(chart, title))),
    }
    stem = "-".join(title.lower().split())
    with st.popover("Export", icon=":material/download:"):
        for label, (kind, mime, make) in files.items():
            name = f"{stem}.{kind}"
            st.download_button(label, make, name, mime, key=f"export-{kind}", on_click="ignore", width="stretch")


def _drawn(chart: Drawing, title: str) -> Spec:
    return picture(chart() or NOTHING, title)


NOTHING: Spec = {"data": {"values": []}, "mark": "point"}
