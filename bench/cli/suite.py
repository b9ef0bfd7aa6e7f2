"""`bench suite` and `bench suites`."""

import shlex
from collections import Counter
from contextlib import nullcontext
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli.code_note import say_missing_commit
from bench.cli.database import open_store
from bench.cli.estimate import LEAST_SECONDS, say_estimate
from bench.cli.options import (
    A_SUITE,
    DEFAULT_SUITE,
    TIER_NAMES,
    Block,
    Csv,
    DataDir,
    Db,
    Json,
    SomeModels,
    given_suite,
    seconds,
)
from bench.cli.output import field, left_out, print_json, print_rows, stderr
from bench.common.errors import RequestError
from bench.common.exit_codes import EXIT_INTERRUPTED
from bench.common.text import counted

if TYPE_CHECKING:
    from bench.runs.request import Execution, RunRequest
    from db.store import Store

EPILOG = """Examples:

  python -m bench suite --suite quick-v2 --models fru,lstm --seeds 5 --time-limit 2h

  python -m bench suite --suite quick-v2 --models all --budget 30k --preset --workers 8
"""
SUITES_EPILOG = """Examples:

  python -m bench suites --json

  python -m bench suites my.toml

A file of your own (docs/tuning.md says more):

  summary = "two small tasks"

  tiers = ["10k"]

  trials = 12

  tasks.digits = {max_steps = 1000, patience = "none"}

  tasks.copy-50 = {max_steps = 2000, patience = "none"}
"""
SuiteName = Annotated[str, typer.Option("--suite", "-s", help=A_SUITE)]
SuiteBudget = Annotated[str | None, typer.Option(help=f"{TIER_NAMES}.", show_default="the suite's first")]
Seeds = Annotated[
    int | None, typer.Option("--seeds", min=1, help="Seeds 0, 1, … of each cell.", show_default="the suite's")
]


def suite(
    models: SomeModels,
    name: SuiteName = DEFAULT_SUITE,
    seed_count: Seeds = None,
    budget: SuiteBudget = None,
    wrapper: Block = "residual",
    time_limit: Annotated[str | None, typer.Option(help="Begin no run after this long: 90s, 30m, 2h.")] = None,
    preset: Annotated[bool, typer.Option("--preset", help="Use what the suite's tuning budget found.")] = False,
    workers: Annotated[int, typer.Option(min=1, help="Runs at a time, each on one thread; they share the GPUs.")] = 1,
    accelerator: Annotated[str, typer.Option(help="Lightning's: auto, cpu, gpu, …")] = "auto",
    data_dir: DataDir = None,
    db: Db = None,
    as_json: Json = False,
) -> int:
    """Train every missing run of a suite, cheapest first. Each is recorded as it ends.

    Recorded runs are not repeated, and a stopped run is resumed, so the same command goes on where it ended. A task
    whose data are missing is skipped: the other tasks run, and the exit code is 2.
    """
    from bench.reports.run_document import summary
    from bench.runs.recorded import note_asked
    from bench.runs.request import Execution
    from bench.training.parallel_runs import Crew, Plan
    from bench.training.suite_runs import missing, run_missing

    found, store = given_suite(name), open_store(db)
    tier = budget or found.tiers[0]
    plan = Plan(
        suite=found, models=models, budget=tier, wrapper=wrapper, preset=preset, seeds=seed_count or found.seeds
    )
    requests, impossible = plan.requests(left_out)
    note_asked(requests, store)
    execution = Execution(accelerator=accelerator, data_dir=data_dir, resume=True)
    limit, unavailable = seconds(time_limit), dict[str, str]()
    if limit > LEAST_SECONDS:
        _say_estimate(missing(requests, store), store, execution, workers)
    if workers == 1:
        interrupted = run_missing(
            requests, store, execution, time_limit=limit, listener=announce, unavailable=unavailable
        )
    else:
        say_missing_commit()
        crew = Crew(workers, plan, db, execution, time_limit=limit, listener=announce, unavailable=unavailable)
        interrupted = crew.run()
    left = missing(requests, store)
    runs = [run for request in requests if (run := store.result(request.run_id))]
    document = {
        "suite": found.name,
        "budget": tier,
        "wrapper": wrapper,
        "runs": [summary(run) for run in runs],
        "missing": [_open(request, store) for request in left],
        "unavailable": unavailable,
        "impossible": [asdict(pair) for pair in impossible],
    }
    if as_json:
        print_json(document)
    else:
        _show(document, name)
    if interrupted:
        return EXIT_INTERRUPTED
    if unavailable:
        return RequestError.exit_code
    return 0 if all(run.status == "finished" for run in runs) else 1


def _say_estimate(requests: list["RunRequest"], store: "Store", execution: "Execution", workers: int) -> None:
    from bench.training.process_settings import one_thread
    from bench.training.time_estimate import estimated_seconds, planned

    work = planned([(request, 1) for request in requests], execution.data_dir)
    with one_thread() if workers > 1 else nullcontext():
        took = estimated_seconds(work, replace(execution, beside=workers - 1), store, workers=workers)
    say_estimate(counted(len(requests), "run"), took)


def _open(request: "RunRequest", store: "Store") -> dict[str, Any]:
    """A run without a result, and why its last attempt stopped, if there was one."""
    attempts = store.find(request.run_id)
    stopped = attempts[0].reason if attempts else None
    return {"model": request.model.name, "task": request.spec.name, "seed": request.seed, "stopped": stopped}


def announce(request: "RunRequest", number: int, count: int) -> None:
    say_missing_commit()
    stderr.print(f"{number} of {count}: {request.model.name} on {request.spec.name}, seed {request.seed}", markup=False)


def _show(document: dict[str, Any], suite_name: str) -> None:
    runs, left, bad = document["runs"], document["missing"], document["impossible"]
    failed = [run for run in runs if run["status"] != "finished"]
    print(f"{document['suite']} at {document['budget']}: {counted(len(runs), 'run')} recorded, {len(failed)} failed.")
    for run in failed:
        print(f"  {run['model']} on {run['task']}, seed {run['seed']}: {run['status']}: {run['reason']}")
    for pair in bad:
        print(f"  left out: {pair['reason']}")
    if left:
        for run in left:
            if run["stopped"]:
                print(f"  stopped: {run['model']} on {run['task']}, seed {run['seed']}: {run['stopped']}")
        names = Counter(f"{run['model']} on {run['task']}" for run in left)
        listed = ", ".join(f"{name} ({count})" for name, count in names.items())
        print(f"{counted(len(left), 'run')} missing: {listed}.")
        for task, reason in document["unavailable"].items():
            print(f"  no data of {task}: {reason}")
        print("The same command goes on from here.")
    print(
        f"The board:  python -m bench leaderboard --suite {shlex.quote(suite_name)} --budget {document['budget']} "
        f"--wrapper {document['wrapper']}"
    )


def suites(
    name: Annotated[str | None, typer.Argument(help=f"{A_SUITE} All suites unless given.")] = None,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """List the suites: which tasks, how long training is, and what tuning may spend."""
    from bench.catalog.suites import SUITES

    rows = [asdict(each) for each in ([given_suite(name)] if name else SUITES.values())]
    columns = {
        "suite": field("name"),
        "tasks": lambda row: str(len(row["tasks"])),
        "tiers": lambda row: " ".join(row["tiers"]),
        "trials": field("trials"),
        "seeds": field("seeds"),
        "protocol": field("protocol"),
        "what": lambda row: f"superseded: {row['summary']}" if row["superseded"] else row["summary"],
        "names": lambda row: ", ".join(row["tasks"]),
        **({"superseded": field("superseded")} if as_csv else {}),
    }
    print_rows(rows, columns, as_json=as_json, as_csv=as_csv, empty="No suites.")
