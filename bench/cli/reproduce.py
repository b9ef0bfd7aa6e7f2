"""`bench reproduce`."""

from typing import Annotated, Any, Literal

import typer

from bench.cli.database import open_store
from bench.cli.options import DataDir, Db, Json, seconds
from bench.cli.output import Cells, print_json, print_rows, stderr
from bench.cli.suite import announce
from bench.common.exit_codes import EXIT_INTERRUPTED

EPILOG = """Examples:

  python -m bench reproduce fru-paper --only mix-sin

  python -m bench reproduce fru-paper --models fru,lstm --protocol ours --seeds 3 --time-limit 2h

  python -m bench reproduce fru-paper --only fashion --models fru --seeds 1
"""
SEEDS = {"ours": 3, "authors": 1}
LONG = "*"  # marks a row that was not trained as long as the paper says


def reproduce(
    paper: Annotated[Literal["fru-paper"], typer.Argument(help="The paper whose protocol is run.")],
    only: Annotated[
        str | None,
        typer.Option(
            help="Tasks of the paper, with commas; or fashion, in place of smnist.", show_default="all of the paper"
        ),
    ] = None,
    models: Annotated[str | None, typer.Option(help="fru, sru, lstm, rnn.", show_default="all")] = None,
    protocol: Annotated[
        Literal["ours", "authors", "both"],
        typer.Option(help="The board's, the authors' (no validation, last epoch, their own split), or both."),
    ] = "both",
    seeds: Annotated[
        int | None,
        typer.Option(min=1, help="Seeds 0, 1, … of each experiment.", show_default="3, by the authors' protocol 1"),
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Train shorter than the paper; marked so.")] = None,
    time_limit: Annotated[str | None, typer.Option(help="Begin no run after this long: 90s, 30m, 2h.")] = None,
    data_dir: DataDir = None,
    db: Db = None,
    as_json: Json = False,
) -> int:
    """Run a paper's protocol, and print published next to measured values.

    Recorded runs are shown, not repeated, and a stopped run is resumed.
    """
    from bench.reproduce.fru_paper import PROTOCOLS, available, chosen, requests
    from bench.reproduce.report import Entry, document
    from bench.runs.request import Execution
    from bench.training.suite_runs import cost, run_missing

    limit, store = seconds(time_limit), open_store(db)
    protocols = PROTOCOLS if protocol == "both" else (protocol,)
    entries = []
    for experiment in chosen(_words(only), _words(models), protocols):
        by = [name for name in protocols if name in experiment.protocols]
        entries.append(
            Entry(experiment, {name: requests(experiment, name, seeds or SEEDS[name], epochs) for name in by})
        )
    todo = [run for entry in entries for runs in entry.runs.values() for run in runs]
    todo, skipped = available(todo, store, data_dir)
    execution = Execution(data_dir=data_dir, resume=True)
    interrupted = run_missing(sorted(todo, key=cost), store, execution, time_limit=limit, listener=announce)
    found = document(entries, skipped, store)
    if as_json:
        print_json(found)
    else:
        _show(found)
    if interrupted:
        return EXIT_INTERRUPTED
    failed = any((row[name] or {}).get("failed") for row in found["cells"] for name in MEASURED)
    return 1 if failed else 0


MEASURED = ("authors_protocol", "our_protocol")


def _words(text: str | None) -> list[str]:
    return [word.strip() for word in text.split(",")] if text else []


def _show(found: dict[str, Any]) -> None:
    print_rows(found["cells"], COLUMNS, as_json=False, as_csv=False, empty="The paper has no such experiment.")
    if not all(row["is_paper_length"] for row in found["cells"]):
        print(f"{LONG} not the paper's length: --epochs was given.")
    unread = {row["published"]["reason"] for row in found["cells"]} - {None}
    for reason in unread:
        stderr.print(f"published –: {reason}.", markup=False)
    for task in found["skipped"]:
        stderr.print(f"left out: {task['task']}: {task['reason']}", markup=False)
        stderr.print(f"  On a machine with a network:  {task['command']}", markup=False)
    if found["missing"]:
        stderr.print(f"Runs that are missing: {found['missing']}. The same command goes on from here.")


def _measured(name: str, part: str) -> Any:
    def cell(row: dict[str, Any]) -> str:
        result = row[name]
        if result is None or result[part] is None:
            return "–"
        failed = f" ({result['failed']} failed)" if part == "value" and result["failed"] else ""
        sign = "+" if part == "difference" else ""
        return f"{result[part]:{sign}.4g}{failed}"

    return cell


def _seeds(row: dict[str, Any]) -> str:
    return " + ".join(str(len(row[name]["values"])) for name in MEASURED if row[name])


COLUMNS: Cells = {
    "task": lambda row: row["task"],
    "model": lambda row: row["name"],
    "metric": lambda row: row["metric"],
    "published": lambda row: "–" if row["published"]["value"] is None else f"{row['published']['value']:.4g}",
    "authors'": _measured("authors_protocol", "value"),
    "Δ": _measured("authors_protocol", "difference"),
    "ours": _measured("our_protocol", "value"),
    "Δ ": _measured("our_protocol", "difference"),
    "seeds": _seeds,
    "params": lambda row: f"{row['params']['total']:,}",
    "their code": lambda row: f"{row['params']['authors_code']:,}",
    "published params": lambda row: "–" if row["params"]["published"] is None else f"{row['params']['published']:,}",
    "epochs": lambda row: f"{row['epochs']}{'' if row['is_paper_length'] else LONG}",
}
