"""`bench compare`."""

from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.database import open_store
from bench.cli.options import DataDir, Db, Json
from bench.cli.output import print_json, print_table
from bench.cli.suite import Seeds, SuiteBudget, SuiteName, announce
from bench.cli.task_rows import COLUMNS
from bench.cli.watch import watching
from bench.errors import RequestError, require
from bench.exits import EXIT_INTERRUPTED

if TYPE_CHECKING:
    from bench.ranking import Row

EPILOG = """Example:

  python -m bench compare my_rnn.py --suite quick-v1 --budget 10k
"""


def compare(
    model: Annotated[str, typer.Argument(help="A path to a .py file, or a model's name.")],
    name: SuiteName = "quick-v1",
    budget: SuiteBudget = None,
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
    """Tune a model with a suite's budget, run its seeds, and show it beside the recorded entries.

    Nothing is kept unless --record is given; with it, the same command goes on where it was stopped.
    """
    require("optuna", "tune")
    from bench.compare import Comparison, stand
    from bench.compare import compare as carry_out
    from bench.registry import find_model_or_file
    from bench.request import Execution
    from bench.studies import Studies
    from bench.suites import find_suite
    from db.store import Store

    suite = find_suite(name)
    if trials and trials > suite.trials:
        raise RequestError(f"--trials {trials}: an entry of {name} may spend {suite.trials} on a task.")
    comparison = Comparison(
        suite=suite, model=find_model_or_file(model), budget=budget or suite.tiers[0],
        trials=trials or suite.trials, seeds=seeds or suite.seeds,
    )  # fmt: skip
    board = open_store(db)
    with ExitStack() as stack:
        place = db if record else str(Path(stack.enter_context(TemporaryDirectory(prefix="bench-"))) / "own.sqlite")
        store = Store(place)
        execution = Execution(accelerator=accelerator, data_dir=data_dir, resume=True)
        interrupted = carry_out(comparison, Studies(place), store, execution, watching=watching, on_cell=announce)
        own = store.standing().counted(store.runs(model=comparison.model.name))
        rows = stand(comparison, own, board.standing().counted(board.runs()))
    if as_json:
        print_json({"model": comparison.model.name, "suite": suite.name, "budget": comparison.budget,
                    "rows": [asdict(row) for row in rows]})  # fmt: skip
    else:
        _show(rows, comparison.model.name, recorded=record)
    return EXIT_INTERRUPTED if interrupted else 0


def _show(rows: list["Row"], model: str, *, recorded: bool) -> None:
    arrow = {"task": COLUMNS["task"], "": lambda row: "→" if row["model"] == model else ""}
    columns = arrow | {name: cell for name, cell in COLUMNS.items() if name not in ("task", "budget")}
    print_table([asdict(row) for row in rows], columns)
    own = [row.score for row in rows if row.model == model]
    if own:
        print(f"\n{model}: mean score {fmean(own):.1f} over {len(own)} tasks.")
    if not recorded:
        print("Nothing was recorded; --record keeps the study and the runs.")
