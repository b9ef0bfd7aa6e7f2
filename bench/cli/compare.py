"""`bench compare`."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.board import SUITE_COLUMNS
from bench.cli.database import open_store
from bench.cli.estimate import say_estimate, seconds_of_trials
from bench.cli.options import DEFAULT_SUITE, Block, DataDir, Db, Json, given_suite, known_model
from bench.cli.output import Cells, field, print_json, print_table, stderr
from bench.cli.suite import Seeds, SuiteBudget, SuiteName, announce
from bench.cli.task_rows import KEPT, in_terminal
from bench.cli.watch import watching
from bench.common.errors import RequestError, require
from bench.common.exit_codes import EXIT_INTERRUPTED
from bench.common.text import counted

if TYPE_CHECKING:
    from bench.ranking.by_task import Row
    from bench.ranking.rows import SuiteRow
    from bench.runs.request import Execution
    from bench.tuning.newcomer import Comparison
    from db.store import Store

RANKED: Cells = {
    "rank": SUITE_COLUMNS["rank"],
    "entry": field("entry"),
    "score": SUITE_COLUMNS["score"],
    "95%": lambda row: "–" if row["score_low"] is None else f"{row['score_low']:.1f}–{row['score_high']:.1f}",
    **{heading: SUITE_COLUMNS[heading] for heading in ("params", "done", "seeds", "failed")},
}
"""Heading → a cell of a `bench.ranking.rows.SuiteRow` and its entry's label."""
EPILOG = """Example:

  python -m bench compare my_rnn.py --suite quick-v2 --budget 10k
"""


def compare(
    model: Annotated[str, typer.Argument(help="A path to a .py file, or a model's name.", callback=known_model)],
    name: SuiteName = DEFAULT_SUITE,
    budget: SuiteBudget = None,
    wrapper: Block = "residual",
    trials: Annotated[
        int | None, typer.Option(min=1, help="Tuning trials on a task.", show_default="the suite's")
    ] = None,
    seeds: Seeds = None,
    record: Annotated[bool, typer.Option("--record", help="Keep the study and the runs in the database.")] = False,
    accelerator: Annotated[str, typer.Option(help="Lightning's: auto, cpu, gpu, …")] = "auto",
    data_dir: DataDir = None,
    db: Db = None,
    as_json: Json = False,
) -> int:
    """Tune a model with a suite's budget, run its seeds, and show it next to the recorded entries.

    Nothing is kept unless --record is given. With --record, the same command resumes where it was stopped.
    """
    require("optuna", "tune")
    from bench.catalog.registry import find_model_or_file
    from bench.runs.request import Execution
    from bench.tuning.newcomer import Comparison, missing_tasks, stand, suite_rows, tune_and_run
    from bench.tuning.storage import Studies
    from db.store import Store

    suite = given_suite(name)
    suite.require_open()
    tier = budget or suite.tiers[0]
    most = suite.trials_at(tier)
    if trials and trials > most:
        raise RequestError(f"--trials {trials}: an entry of {name} may spend {most} on a task.")
    comparison = Comparison(
        suite=suite, model=find_model_or_file(model), budget=tier, wrapper=wrapper,
        trials=trials or most, seeds=seeds or suite.seeds,
    )  # fmt: skip
    board = open_store(db)
    suite_rows(comparison, [], [], board.runs(), board.standing())  # refuse now, not after all the training
    execution = Execution(accelerator=accelerator, data_dir=data_dir, resume=True)
    _say_plan(comparison, board, execution, recorded=record)
    with ExitStack() as stack:
        place = db if record else str(Path(stack.enter_context(TemporaryDirectory(prefix="bench-"))) / "own.sqlite")
        store = Store(place)
        requests = tune_and_run(
            comparison, Studies(place), store, execution, watching=watching, on_task=_announce_task, on_run=announce
        )
        missing = missing_tasks(comparison, requests, store)
        own, standing = store.standing().counted(store.runs(model=comparison.model.name)), board.standing()
        rows = stand(comparison, own, standing.counted(board.runs()))
        ranked = suite_rows(comparison, requests, own, board.runs(), standing)
    if as_json:
        print_json({"model": comparison.model.name, "suite": suite.name, "budget": comparison.budget,
                    "rows": [asdict(row) for row in rows], "suite_rows": [asdict(row) for row in ranked],
                    "missing": missing})  # fmt: skip
    else:
        _show(rows, ranked, comparison, recorded=record)
    if missing:
        goes_on = " The same command goes on from here." if record else ""
        stderr.print(f"stopped; missing: {', '.join(missing)}.{goes_on}", markup=False)
    return EXIT_INTERRUPTED if missing else 0


def _say_plan(comparison: "Comparison", board: "Store", execution: "Execution", *, recorded: bool) -> None:
    from bench.training.time_estimate import estimated_seconds, planned

    count = len(comparison.suite.tasks)
    trials, seeds = counted(comparison.trials, "trial"), counted(comparison.seeds, "seed")
    stderr.print(f"{trials} × {counted(count, 'task')}, then {seeds} × {count}, task by task.")
    requests = [tuning.base for tuning in comparison.tunings()]
    tuning = seconds_of_trials([(request, comparison.trials) for request in requests], execution)
    runs = planned([(request, comparison.seeds) for request in requests], execution.data_dir)
    say_estimate("All", tuning, estimated_seconds(runs, execution, board))
    if not recorded:
        stderr.print("Nothing will be kept: --record keeps it, and lets the same command resume if it is stopped.")


def _announce_task(task: str, number: int, count: int) -> None:
    stderr.print(f"task {number} of {count}: {task}", markup=False)


def _show(rows: list["Row"], ranked: Sequence["SuiteRow"], comparison: "Comparison", *, recorded: bool) -> None:
    from bench.publishing.published_board import entry_label
    from bench.ranking.suite import LEAST_SEEDS

    name = comparison.model.name
    arrow: Cells = {"": lambda row: "→" if row["model"] == name else ""}
    by_task = [asdict(row) for row in rows]
    columns = in_terminal(by_task)
    print_table(by_task, {"task": columns["task"], **arrow, **columns}, ("", *KEPT))
    print(f"\n{comparison.suite.name} at {comparison.budget}:")
    entries = [asdict(row) | {"entry": entry_label(row)} for row in ranked]
    print_table(entries, {**arrow, **RANKED}, ("", "rank", "entry", "score"))
    if any(row.model == name and row.rank_low is None for row in ranked):
        print(f"{name} has no rank: that takes {LEAST_SEEDS} seeds on each task of the suite.")
    if not recorded:
        print("Nothing was recorded; --record keeps the study and the runs.")
