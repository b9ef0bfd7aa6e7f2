"""Recorded results as pandas tables. Columns have types that know missing values."""

import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from bench.cli.database import open_to_show
from bench.cli.options import DEFAULT_SUITE, given_suite
from bench.common.errors import RequestError, require
from bench.ranking.rows import SuiteRow
from bench.reports.board import suite_boards
from bench.reports.board_formats import board_table
from bench.reports.run_document import PARTS, summary

if TYPE_CHECKING:
    from pandas import DataFrame

    from db.store import Store

RESULTS = {
    "run_id": "string", "model": "string", "wrapper": "string", "task": "string", "budget": "string",
    "tuning": "string", "seed": "Int64",
    "status": "string", "reason": "string", "withdrawn": "string", "metric": "string", "value": "Float64",
    "score": "Float64", **{f"params_{part}": "Int64" for part in PARTS}, "train_seconds": "Float64",
    "samples_per_second": "Float64", "epochs": "Int64", "steps": "Int64", "attempt": "Int64",
    "finished_at": "datetime64[us, UTC]", "config": "object",
}  # fmt: skip
"""Column of `load_results` → its type."""
TYPES = {str: "string", int: "Int64", float: "Float64", tuple: "string"}


def load_results(*, task: str | None = None, model: str | None = None, db: str | Path | None = None) -> "DataFrame":
    """Return every recorded run, oldest first, also those that failed or were withdrawn.

    Args:
        task: only the runs on this task, by its full name.
        model: only the runs of this architecture.
        db: a path or a SQLAlchemy URL; BENCH_DB or the project's database unless given.

    Returns:
        A row a run. The columns are what `bench runs --json` says, with the metric in `metric` and `value` and the
        parameters in `params_total`, `params_core`, …; `config` holds all settings, part by part.

    Raises:
        RequestError: pandas is not installed.
        StoreError: the database can't be read.
    """
    store = opened(db)
    withdrawn = store.standing().withdrawn
    runs = store.runs(task=task, model=model)
    return frame((_flat(summary(run, withdrawn.get(run.run_id))) | {"config": run.config} for run in runs), RESULTS)


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    params = {f"params_{part}": count for part, count in row["params"].items()}
    return {**row, "metric": row["metric"]["name"], "value": row["metric"]["value"], **params}


def leaderboard(
    suite: str = DEFAULT_SUITE, budget: str | None = None, wrapper: str | None = None, *, db: str | Path | None = None
) -> "DataFrame":
    """Rank architectures over a suite's tasks, as `bench leaderboard --suite` does.

    Args:
        suite: a name that `bench suites` lists, or the path of a .toml file. A superseded one warns with the reason.
        budget: a parameter tier of the suite; its first unless given.
        wrapper: "residual", the same block for all, or "plain", as in the papers on recurrent networks. Both unless
            given, one after the other, each ranked by itself.
        db: as in `load_results`.

    Returns:
        A row an entry, best first. The columns are the fields of `bench.ranking.rows.SuiteRow`, and for each task
        "score TASK" and "learned TASK".

    Raises:
        RequestError: no such suite, tier or wrapper, or pandas is not installed.
        StoreError: the database can't be read.
    """
    found = given_suite(suite)
    tier = budget or found.tiers[0]
    if tier not in found.tiers:
        raise RequestError(f"{found.name} has no tier {tier!r}; it has {', '.join(found.tiers)}.")
    if found.superseded:
        warnings.warn(f"{found.name} is superseded: {found.superseded}", stacklevel=2)
    rows = [row for board in suite_boards(opened(db), found, tier, wrapper) for row in board.rows]
    headings, cells = board_table(rows, list(found.tasks))
    hints = get_type_hints(SuiteRow)
    return frame(cells, {name: _type(hints.get(name, float)) for name in headings})


def _type(hint: Any) -> str:
    """Return the column type of a field: that of `int` also for `int | None`."""
    kinds = [TYPES[kind] for kind in (hint, *get_args(hint)) if kind in TYPES]
    return kinds[0] if kinds else "string"


def frame(rows: Iterable[Mapping[str, Any] | Sequence[Any]], types: Mapping[str, str]) -> "DataFrame":
    """Return a table.

    Args:
        rows: values by column, or in the order of the columns.
        types: column → its type.

    Raises:
        RequestError: pandas is not installed.
    """
    require("pandas", "app")
    from pandas import DataFrame

    return DataFrame(list(rows), columns=list(types)).astype(dict(types))


def opened(db: str | Path | None) -> "Store":
    """Open the database to read, as the commands that show something do."""
    return open_to_show(address(db))


def address(db: str | Path | None) -> str | None:
    """Return what the commands take as `--db`, also from BENCH_DB."""
    return str(db) if db else os.environ.get("BENCH_DB")
