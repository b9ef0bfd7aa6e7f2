"""Printing rows: a table for people, JSON or CSV for programs. Results go to stdout, all else to stderr."""

import csv
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

Cells = Mapping[str, Callable[[Any], str]]

WIDTH_OF_PIPES = 200  # columns, where there is no terminal to ask

stderr = Console(stderr=True, soft_wrap=True, highlight=False)


def print_json(document: Any) -> None:
    print(json.dumps(document, indent=2, allow_nan=False))


def print_rows(rows: Sequence[dict[str, Any]], columns: Cells, *, as_json: bool, as_csv: bool, empty: str) -> None:
    """Rows in the form asked for.

    Args:
        columns: heading → how a row's cell reads in the table.
        empty: what to say, on stderr, where there are no rows.
    """
    if as_json:
        print_json(rows)
    elif as_csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([cell(row) for cell in columns.values()] for row in rows)
    elif rows:
        print_table(rows, columns)
    else:
        stderr.print(empty)


def print_table(rows: Sequence[dict[str, Any]], columns: Cells) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    *_, last = columns
    for heading in columns:
        table.add_column(heading, no_wrap=heading != last)
    for row in rows:
        table.add_row(*(cell(row) for cell in columns.values()))
    console = Console(highlight=False)
    console.print(table, width=None if console.is_terminal else WIDTH_OF_PIPES, crop=False)


def field(name: str) -> Callable[[Any], str]:
    """A cell that shows a value as it is; nothing for None."""
    return lambda row: "" if row[name] is None else str(row[name])


def number(name: str, form: str = ",") -> Callable[[Any], str]:
    return lambda row: "–" if row[name] is None else format(row[name], form)
