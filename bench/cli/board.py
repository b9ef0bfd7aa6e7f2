"""What is in the database: `bench runs`, `leaderboard`, `show` and `app`."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.catalog.task_names import stored_name
from bench.catalog.tiers import tier_size
from bench.cli import task_rows
from bench.cli.database import open_as_far_as_allowed, open_to_show, state_of
from bench.cli.options import A_SUITE, TIER_NAMES, Csv, Db, Json, Latex, TaskFilter, given_suite, moment
from bench.cli.output import Cells, Number, field, number, print_json, print_latex, print_rows, say_superseded
from bench.common.kept_answers import kept
from bench.common.text import counted, metric_text

if TYPE_CHECKING:
    from bench.catalog.suites import Suite
    from db.schema import Run
    from db.store import Store

SUITE_COLUMNS: Cells = {
    "rank": lambda row: "–" if row["rank_low"] is None else f"{row['rank_low']}–{row['rank_high']}",
    "model": field("model"),
    "wrapper": field("wrapper"),
    "score": number("score", ".1f"),
    "from": number("score_low", ".1f"),
    "to": number("score_high", ".1f"),
    "learned": number("learned", ".0%"),
    "params": number("params", ",.0f"),
    "done": lambda row: f"{row['tasks_done']} of {row['tasks_total']}",
    "seeds": field("seeds"),
    "failed": field("failures"),
    "on front": number("p_front", ".2f"),
    "verified": field("verification"),
    "tuning": field("tuning"),
    "settings": field("settings"),
}
"""Heading → a cell of a `bench.ranking.rows.SuiteRow`."""
RUN_COLUMNS: Cells = {
    "run": field("run_id"),
    "model": field("model"),
    "task": field("task"),
    "seed": field("seed"),
    "status": lambda row: row["withdrawn"] or row["status"],
    "value": Number(
        lambda row: row["metric"]["value"], lambda row: metric_text(row["metric"]["name"], row["metric"]["value"])
    ),
    "date": lambda row: row["finished_at"][:16].replace("T", " "),
    "tier": field("budget"),
    "wrapper": field("wrapper"),
    "tuning": field("tuning"),
    "metric": lambda row: row["metric"]["name"],
    "params": Number(lambda row: row["params"]["total"], lambda row: f"{row['params']['total']:,}"),
    "seconds": number("train_seconds", ".0f"),
    "reason": field("reason"),
}
"""Heading → a cell of a `bench.reports.run_document.summary`."""
RUNS_EPILOG = """Examples:

  python -m bench runs --model fru --task digits

  python -m bench runs --mine --limit 20

  python -m bench runs --csv > runs.csv
"""
LEADERBOARD_EPILOG = """Examples:

  python -m bench leaderboard --task digits

  python -m bench leaderboard --suite quick-v2 --budget 30k
"""
SHOW_EPILOG = """Example, with the first characters of an id that `bench runs` lists:

  python -m bench show 1f6a
"""
APP_EPILOG = """Example:

  python -m bench app --port 8502 --db my.sqlite
"""
EMPTY = "No runs yet. Make one:  python -m bench run --model fru"


def runs(
    task: TaskFilter = None,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Only this model: its name, or a path to its .py file.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(help="Only runs that ended on this date (UTC) or later: 2026-01-31.")
    ] = None,
    mine: Annotated[bool, typer.Option("--mine", help="Only runs that were made here, and not imported.")] = False,
    limit: Annotated[int | None, typer.Option(help="At most this many.", min=1, show_default="all")] = None,
    db: Db = None,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """List every run, newest first: finished, failed, interrupted and withdrawn ones."""
    from bench.reports.run_document import summary

    task, first = _task_name(task), moment(since)
    store = open_to_show(db)
    model = _model_name(model, store)
    imported = store.imported() if mine else set()
    found = [
        run for run in store.runs(task=task, model=model)
        if run.id not in imported and (first is None or run.finished_at >= first)
    ]  # fmt: skip
    found.sort(key=lambda run: (run.finished_at, run.id), reverse=True)
    withdrawn = store.standing().withdrawn
    rows = [summary(run, withdrawn.get(run.run_id)) for run in found[:limit]]
    empty = _empty(store, task=task, model=model, since=since, mine="" if mine else None)
    print_rows(rows, RUN_COLUMNS, as_json=as_json, as_csv=as_csv, empty=empty)


def leaderboard(
    task: TaskFilter = None,
    budget: Annotated[
        str | None,
        typer.Option(help=f"Only one tier: {TIER_NAMES}.", show_default="all; with --suite, its first"),
    ] = None,
    suite: Annotated[str | None, typer.Option(help=f"Rank over the tasks of a suite. {A_SUITE}")] = None,
    wrapper: Annotated[
        str | None,
        typer.Option(
            help="Only this wrapper: residual, the same block for all, or plain, as in the RNN papers.",
            show_default="both, each ranked by itself",
        ),
    ] = None,
    db: Db = None,
    as_json: Json = False,
    as_csv: Csv = False,
    as_latex: Latex = False,
) -> None:
    """Order architectures by score within each task; with --suite, rank them over its tasks.

    The score is 100 × the way from the trivial predictor to a solved task: the mean over all seeds, failures as 0.
    Suites of protocol 1 are shown as they were published, ranked across wrappers, unless --wrapper is given.
    """
    if suite is not None:
        _rank(suite, task, budget, wrapper, db, as_json=as_json, as_csv=as_csv, as_latex=as_latex)
        return
    if budget is not None:
        tier_size(budget)
    task = _task_name(task)
    store = open_to_show(db)
    every = task_rows.ranked(store, task, wrapper)
    rows = [row for row in every if budget in (None, row["budget"]) and wrapper in (None, row["wrapper"])]
    if as_latex:
        print_latex(rows, task_rows.COLUMNS)
    else:
        columns = task_rows.COLUMNS if as_csv else task_rows.in_terminal(rows)
        print_rows(
            rows,
            columns,
            as_json=as_json,
            as_csv=as_csv,
            empty=_empty(store, task=task, budget=budget, wrapper=wrapper),
            kept=task_rows.KEPT,
        )


def _rank(
    name: str, task: str | None, budget: str | None, wrapper: str | None, db: str | None, *,
    as_json: bool, as_csv: bool, as_latex: bool,
) -> None:  # fmt: skip
    from bench.common.errors import RequestError

    suite = given_suite(name)
    budget = budget or suite.tiers[0]
    if budget not in suite.tiers or task is not None:
        raise RequestError(f"--suite {name} needs --budget {' or '.join(suite.tiers)}, and no --task.")
    ranked = _ranked(open_to_show(db), suite, budget, wrapper)
    say_superseded(suite)
    if as_csv:
        print(ranked["csv"], end="")
    elif as_latex:
        print(ranked["latex"], end="")
    else:
        within = f" in {wrapper}" if wrapper else ""
        empty = f"No runs of {name} at {budget}{within} yet. Its tasks: {', '.join(suite.tasks)}."
        print_rows(ranked["rows"], SUITE_COLUMNS, as_json=as_json, as_csv=False, empty=empty)


def _ranked(store: "Store", suite: "Suite", budget: str, wrapper: str | None) -> dict[str, Any]:
    """Return the rows of a suite's boards, as they are and as CSV and LaTeX; kept for what the store holds."""

    def rank() -> dict[str, Any]:
        from bench.reports.board import suite_boards
        from bench.reports.board_formats import board_csv, board_latex

        rows = [row for board in suite_boards(store, suite, budget, wrapper) for row in board.rows]
        csv, latex = board_csv(rows, list(suite.tasks)), board_latex(rows)
        return {"rows": [asdict(row) for row in rows], "csv": csv, "latex": latex}

    return kept(rank, "suite", str(store), asdict(suite), budget, wrapper, state=state_of(store))


def show(
    run: Annotated[str, typer.Argument(help="A run's id, or its first characters.")],
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Show one run: result, settings, provenance and the command that repeats it."""
    from bench.reports.run_document import full

    store = open_to_show(db)
    found = one_run(run, store)
    document = full(found, store.curves(found), store.events(found.run_id))
    if as_json:
        print_json(document)
    else:
        _print_record(document)


def one_run(prefix: str, store: "Store") -> "Run":
    """Return the run whose id begins with a prefix.

    Raises:
        RequestError: there is no such run, or there are several.
    """
    from bench.common.errors import RequestError

    found = store.find(prefix)
    if len(found) != 1:
        ids = ", ".join(each.run_id for each in found[:8])
        given = f"{len(found)} runs begin with {prefix!r}: {ids}" if found else f"no run begins with {prefix!r}"
        raise RequestError(f"{given}. `bench runs` lists them.")
    return found[0]


def serve(
    port: Annotated[int, typer.Option(help="Port to serve on.", min=1, max=65535)] = 8501,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    db: Db = None,
) -> None:
    """Serve the leaderboard in the browser. A database that can't be written is shown as it is."""
    from leaderboard_app.server import serve as serve_app

    serve_app(open_as_far_as_allowed(db), host=host, port=port)


def _print_record(document: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.tree import Tree

    tree = Tree(f"[bold]{document['run_id']}[/]")
    curves = document.pop("curves")
    for name, value in document.items():
        _add(tree, name, value)
    tree.add(f"curves: {counted(len(curves), 'point')} (--json prints them)")
    Console(highlight=False).print(tree)


def _add(tree: Any, name: str, value: Any) -> None:
    from rich.markup import escape

    if isinstance(value, dict):
        branch = tree.add(escape(name))
        for key, each in value.items():
            _add(branch, key, each)
    else:
        tree.add(f"{escape(name)}: {escape(str(value))}")


def _task_name(task: str | None) -> str | None:
    """Return the stored name of a task. One given by path has a hash in its name; either finds its runs.

    Raises:
        RequestError: there is no such task.
    """
    if task is None or "@" in task:
        return task
    if ".py" not in task:
        return stored_name(task)
    from bench.catalog.registry import find_task_or_file  # this imports torch

    return find_task_or_file(task).name


def _model_name(model: str | None, store: "Store") -> str | None:
    """Return the stored name of a model.

    Raises:
        RequestError: there is neither an architecture of that name nor a run of one.
    """
    from bench.catalog.names import dashed, given_file, name_by_path, stems
    from bench.common.errors import RequestError, nearest

    if model is None:
        return None
    if model.endswith(".py"):
        path = given_file(model)
        return name_by_path(path, path.read_bytes())
    name, registered = dashed(model), stems("models")
    if name not in registered and not store.runs(model=name):
        near = nearest(name, {*registered, *(run.model for run in store.runs())})
        suggestion = f"; did you mean {near!r}?" if near else "."
        raise RequestError(f"no run of a model {model!r}{suggestion} `bench runs` lists all of them.")
    return name


def _empty(store: "Store", **wanted: str | None) -> str:
    """Return the message for a list without runs."""
    given = [f"--{name} {value}".rstrip() for name, value in wanted.items() if value is not None]
    return f"No run with {' '.join(given)} is recorded yet." if given and store.version().attempts else EMPTY
