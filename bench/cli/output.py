"""Printing rows: a table for people, JSON or CSV for programs. Results go to stdout, all else to stderr."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.common.csv_latex import csv_text, latex_table

if TYPE_CHECKING:
    from bench.catalog.suites import Suite

Cells = Mapping[str, Callable[[Any], str]]

GAP = 2  # between columns
NARROWEST = 16  # a column that is cut further says nothing
WIDEST = 10_000  # where there is no terminal to ask

stderr = Console(stderr=True, soft_wrap=True, highlight=False)


def left_out(reason: str) -> None:
    stderr.print(f"left out: {reason}", markup=False)


def say_superseded(suite: "Suite") -> None:
    """Say on stderr why a suite is superseded, if it is."""
    if suite.superseded:
        stderr.print(f"{suite.name} is superseded: {suite.superseded}", markup=False)


def print_json(document: Any) -> None:
    print(json.dumps(document, indent=2, allow_nan=False))


def print_rows(
    rows: Sequence[dict[str, Any]], columns: Cells, *, as_json: bool, as_csv: bool, empty: str,
    kept: Collection[str] = (),
) -> None:  # fmt: skip
    """Print rows as a table, as JSON or as CSV.

    Args:
        columns: heading → the text of a row's cell, in a table and in CSV, where a `Number` is not rounded. JSON has
            the whole rows.
        empty: the message, on stderr, in place of a table without rows.
        kept: as `print_table` takes it.
    """
    if as_json:
        print_json(rows)
    elif as_csv:
        print(csv_text(list(columns), ([_in_csv(cell, row) for cell in columns.values()] for row in rows)), end="")
    elif rows:
        print_table(rows, columns, kept)
    else:
        stderr.print(empty)


def print_latex(rows: Sequence[dict[str, Any]], columns: Cells) -> None:
    texts = ([cell(row) for cell in columns.values()] for row in rows)
    print(latex_table(list(columns), texts, "l" * len(columns)), end="")


def print_table(rows: Sequence[dict[str, Any]], columns: Cells, kept: Collection[str] = ()) -> None:
    """Print a table, cut to the terminal's width: the last column first, then whole columns. Pipes get all of it.

    Args:
        kept: headings of columns that are neither left out nor cut. If the last of them does not fit, it is folded.
    """
    console = Console(highlight=False)
    width = console.width if console.is_terminal else WIDEST
    cells = {heading: [heading, *(cell(row) for row in rows)] for heading, cell in columns.items()}
    shown = _fitting({heading: max(map(len, texts)) for heading, texts in cells.items()}, width, kept)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading, limit in shown.items():
        table.add_column(_cut(heading, limit), no_wrap=heading not in kept, overflow="fold", max_width=limit)
    limits = {heading: WIDEST if heading in kept else limit for heading, limit in shown.items()}
    for texts in zip(*(cells[heading][1:] for heading in shown), strict=True):
        table.add_row(*(escape(_cut(text, limit)) for text, limit in zip(texts, limits.values(), strict=True)))
    Console(highlight=False, width=width).print(table)
    if len(shown) < len(columns):
        hidden = ", ".join(heading for heading in columns if heading not in shown)
        stderr.print(f"A wider terminal also shows: {hidden}.", markup=False)


def _fitting(widths: Mapping[str, int], available: int, kept: Collection[str]) -> dict[str, int]:
    """Return the headings that fit and their widths. The kept ones come first; the last that fits may get less.

    A kept heading gets at least NARROWEST characters if it needs them, even beyond what is available.
    """
    shown: dict[str, int] = {}
    for heading, width in sorted(widths.items(), key=lambda each: each[0] not in kept):
        left = available - sum(shown.values()) - GAP * len(shown)
        if heading in kept:
            left = max(left, NARROWEST)
        if left < min(width, NARROWEST):
            break
        shown[heading] = min(width, left)
    return {heading: shown[heading] for heading in widths if heading in shown}


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def field(name: str) -> Callable[[Any], str]:
    """Return a cell that shows a value as it is, and nothing for None."""
    return lambda row: "" if row[name] is None else str(row[name])


@dataclass(frozen=True)
class Number:
    """A cell that shows a number. CSV has the number itself, and nothing for None."""

    value: Callable[[Any], float | None]
    text: Callable[[Any], str]

    def __call__(self, row: Any) -> str:
        return self.text(row)


def number(name: str, form: str = ",") -> Callable[[Any], str]:
    return Number(lambda row: row[name], lambda row: "–" if row[name] is None else format(row[name], form))


def _in_csv(cell: Callable[[Any], str], row: Any) -> object:
    return cell.value(row) if isinstance(cell, Number) else cell(row)
