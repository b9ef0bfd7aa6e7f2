"""The board of a suite for other programs and for papers: CSV, LaTeX, BibTeX."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING

from bench.catalog.names import display_name
from bench.common.csv_latex import csv_text, latex_escaped, latex_table
from bench.ranking.rows import SuiteRow

if TYPE_CHECKING:
    from models.shared.contract import Paper

LATEX_COLUMNS = (
    "Rank", "Architecture", "Wrapper", "Score", "95% interval", "Learned", "Parameters", "Tasks", "Seeds", "Failures",
    "Verified",
)  # fmt: skip
BY_TASK = ("score", "learned")
"""Fields of `TaskScore` that have a column for each task in CSV."""
ARXIV = re.compile(r"https?://arxiv\.org/abs/([\d.]+)")


def board_csv(rows: Iterable[SuiteRow], tasks: Sequence[str]) -> str:
    """Return CSV of a suite's rows, with the columns of `board_table`."""
    return csv_text(*board_table(rows, tasks))


def board_table(rows: Iterable[SuiteRow], tasks: Sequence[str]) -> tuple[list[str], list[Sequence[object]]]:
    """Return headings and cells: the fields as `--json` names them, and each task's score and share that learned."""
    names = [field.name for field in fields(SuiteRow) if field.name != "tasks"]
    by_task = [f"{what} {task}" for what in BY_TASK for task in tasks]
    return [*names, *by_task], [_cells(row, names, tasks) for row in rows]


def _cells(row: SuiteRow, names: Sequence[str], tasks: Sequence[str]) -> list[object]:
    cells = {cell.task: cell for cell in row.tasks}
    values = vars(row) | {"hardware": "; ".join(row.hardware)}
    by_task = [getattr(cells.get(task), what, None) for what in BY_TASK for task in tasks]
    return [*(values[name] for name in names), *by_task]


def board_latex(rows: Iterable[SuiteRow]) -> str:
    """Return a LaTeX table of a suite's rows, with the columns that a paper shows."""
    return latex_table(LATEX_COLUMNS, map(_latex_cells, rows), "rllrrrrrrrl")


def _latex_cells(row: SuiteRow) -> Sequence[str]:
    interval = "–" if row.score_low is None else f"{row.score_low:.1f}–{row.score_high:.1f}"
    score = "–" if row.score is None else f"{row.score:.1f}"
    scores = score, interval, share_text(row.learned)
    counts = f"{row.params:,.0f}", f"{row.tasks_done} of {row.tasks_total}", str(row.seeds), str(row.failures)
    return rank_text(row), entry_name(row), row.wrapper, *scores, *counts, row.verification


def rank_text(row: SuiteRow) -> str:
    if row.rank_low is None:
        return "–"
    return str(row.rank_low) if row.rank_low == row.rank_high else f"{row.rank_low}–{row.rank_high}"


def share_text(share: float | None) -> str:
    return "–" if share is None else f"{share:.0%}"


def entry_name(row: SuiteRow) -> str:
    """Return the architecture, "tuned" if it was tuned with the suite's budget, and the settings given by flag."""
    return " ".join(filter(None, [display_name(row.model), row.tuning if row.tuning == "tuned" else "", row.settings]))


def bibtex(papers: Mapping[str, "Paper"]) -> str:
    """Return a BibTeX entry for each paper. Its note names the models that follow the paper.

    Args:
        papers: model → its paper. Papers are known by title, year and address, not by author.
    """
    models: dict[Paper, list[str]] = {}
    for model, paper in sorted(papers.items()):
        models.setdefault(paper, []).append(model)
    return "\n".join(_bibtex_entry(paper, names) for paper, names in models.items())


def _bibtex_entry(paper: "Paper", models: Sequence[str]) -> str:
    key = re.sub(r"[^A-Za-z0-9]+", "-", models[0]).strip("-")
    arxiv = ARXIV.match(paper.url)
    values = {
        "title": f"{{{latex_escaped(paper.title)}}}",
        "year": str(paper.year),
        **({"eprint": arxiv[1], "archiveprefix": "arXiv"} if arxiv else {}),
        "url": re.sub(r"[{}\\\s]", "", paper.url),
        "note": latex_escaped(f"On the board: {', '.join(map(display_name, models))}"),
    }
    lines = [f"  {name} = {{{value}}}," for name, value in values.items()]
    return "\n".join([f"@misc{{{key}{paper.year},", *lines, "}", ""])
