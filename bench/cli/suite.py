"""`bench suite` and `bench suites`."""

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli.database import open_store
from bench.cli.options import Csv, DataDir, Db, Json, seconds
from bench.cli.output import field, left_out, print_json, print_rows, stderr
from bench.errors import RequestError
from bench.exits import EXIT_INTERRUPTED

if TYPE_CHECKING:
    from bench.request import RunRequest
    from db.store import Store

EPILOG = """Examples:

  python -m bench suite --suite quick-v1 --models fru,lstm --seeds 5 --time-limit 2h

  python -m bench suite --suite quick-v1 --models all --budget 100k --preset --workers 8
"""
SUITES_EPILOG = """Example:

  python -m bench suites --json
"""
SuiteName = Annotated[str, typer.Option("--suite", "-s", help="A name that `bench suites` lists.")]
SuiteBudget = Annotated[str | None, typer.Option(help="10k, 100k or 1M.", show_default="the suite's first")]
Seeds = Annotated[
    int | None, typer.Option("--seeds", min=1, help="Seeds 0, 1, … of each cell.", show_default="the suite's")
]


def suite(
    models: Annotated[str, typer.Option(help="Names or paths to .py files, with commas; or all.")],
    name: SuiteName = "quick-v1",
    seed_count: Seeds = None,
    budget: SuiteBudget = None,
    time_limit: Annotated[str | None, typer.Option(help="Begin no run after this long: 90s, 30m, 2h.")] = None,
    preset: Annotated[bool, typer.Option("--preset", help="Use what the suite's tuning budget found.")] = False,
    workers: Annotated[int, typer.Option(min=1, help="Runs at a time, each on one thread; they share the GPUs.")] = 1,
    accelerator: Annotated[str, typer.Option(help="Lightning's: auto, cpu, gpu, …")] = "auto",
    data_dir: DataDir = None,
    db: Db = None,
    as_json: Json = False,
) -> int:
    """Make every run of a suite that is missing, cheapest first, each recorded as it ends.

    Runs that are recorded are not repeated, and a stopped one is resumed, so the same command goes on where it ended.
    Where a task's data can't be had, the other tasks are run; exit code 2 then.
    """
    from bench.cells import carry_out, missing
    from bench.entries import note_asked
    from bench.report import summary
    from bench.request import Execution
    from bench.side_by_side import Crew, Plan
    from bench.suites import find_suite

    found, store = find_suite(name), open_store(db)
    tier = budget or found.tiers[0]
    plan = Plan(suite=found, models=models, budget=tier, preset=preset, seeds=seed_count or found.seeds)
    cells, impossible = plan.cells(left_out)
    for recorded in cells:
        note_asked(recorded, store)
    execution = Execution(accelerator=accelerator, data_dir=data_dir, resume=True)
    limit, unavailable = seconds(time_limit), dict[str, str]()
    if workers == 1:
        interrupted = carry_out(cells, store, execution, time_limit=limit, listener=announce, unavailable=unavailable)
    else:
        crew = Crew(workers, plan, db, execution, time_limit=limit, listener=announce, unavailable=unavailable)
        interrupted = crew.carry_out()
    left = missing(cells, store)
    runs = [run for cell in cells if (run := store.result(cell.run_id))]
    document = {
        "suite": found.name,
        "budget": tier,
        "runs": [summary(run) for run in runs],
        "missing": [_open(cell, store) for cell in left],
        "unavailable": unavailable,
        "impossible": [asdict(pair) for pair in impossible],
    }
    if as_json:
        print_json(document)
    else:
        _show(document)
    if interrupted:
        return EXIT_INTERRUPTED
    if unavailable:
        return RequestError.exit_code
    return 0 if all(run.status == "finished" for run in runs) else 1


def _open(cell: "RunRequest", store: "Store") -> dict[str, Any]:
    """A cell without a result, and why its last attempt stopped, if there was one."""
    attempts = store.find(cell.run_id)
    stopped = attempts[0].reason if attempts else None
    return {"model": cell.model.name, "task": cell.spec.name, "seed": cell.seed, "stopped": stopped}


def announce(request: "RunRequest", number: int, count: int) -> None:
    stderr.print(f"{number} of {count}: {request.model.name} on {request.spec.name}, seed {request.seed}", markup=False)


def _show(document: dict[str, Any]) -> None:
    runs, left, bad = document["runs"], document["missing"], document["impossible"]
    failed = [run for run in runs if run["status"] != "finished"]
    print(f"{document['suite']} at {document['budget']}: {len(runs)} runs recorded, {len(failed)} of them failed.")
    for run in failed:
        print(f"  {run['model']} on {run['task']}, seed {run['seed']}: {run['status']}: {run['reason']}")
    for pair in bad:
        print(f"  left out: {pair['reason']}")
    if left:
        for cell in left:
            if cell["stopped"]:
                print(f"  stopped: {cell['model']} on {cell['task']}, seed {cell['seed']}: {cell['stopped']}")
        names = Counter(f"{cell['model']} on {cell['task']}" for cell in left)
        print(f"{len(left)} runs are missing: {', '.join(f'{name} ({count})' for name, count in names.items())}.")
        for task, reason in document["unavailable"].items():
            print(f"  no data of {task}: {reason}")
        print("The same command goes on from here.")
    print(f"The board:  python -m bench leaderboard --suite {document['suite']} --budget {document['budget']}")


def suites(as_json: Json = False, as_csv: Csv = False) -> None:
    """List the suites: which tasks, how long training is, and what tuning may spend."""
    from bench.suites import SUITES

    rows = [asdict(each) for each in SUITES.values()]
    columns = {
        "suite": field("name"),
        "tasks": lambda row: str(len(row["tasks"])),
        "tiers": lambda row: " ".join(row["tiers"]),
        "trials": field("trials"),
        "seeds": field("seeds"),
        "what": field("summary"),
        "names": lambda row: ", ".join(row["tasks"]),
    }
    print_rows(rows, columns, as_json=as_json, as_csv=as_csv, empty="No suites.")
