"""`bench audit`."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli.database import open_store, open_to_show
from bench.cli.options import A_SUITE, Csv, DataDir, Db, Json, given_suite
from bench.cli.output import field, print_rows, stderr
from bench.common.text import counted

if TYPE_CHECKING:
    from bench.audit.audited import AuditedEntry
    from db.store import Store

EPILOG = """Examples:

  python -m bench audit --model fru

  python -m bench audit --suite quick-v2 --budget 10k --json

  python -m bench audit --model fru --measure
"""
ModelName = Annotated[str | None, typer.Option("--model", "-m", help="Only this architecture.")]


def audit(
    model: ModelName = None,
    suite: Annotated[str | None, typer.Option(help=f"Only this suite. {A_SUITE}", show_default="all")] = None,
    budget: Annotated[str | None, typer.Option(help="Only this tier.", show_default="all")] = None,
    wrapper: Annotated[str | None, typer.Option(help="Only this block: residual or plain.")] = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="Measure first which networks are dead at the start, and record it.")
    ] = False,
    data_dir: DataDir = None,
    db: Db = None,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Show what a sceptic would ask of each entry: sizes, seeds that learned, what tuning chose, what is not as in
    the authors' code.

    An entry without flags has nothing that must be explained.
    """
    store = open_store(db) if measure else open_to_show(db)
    wanted = {"model": model, "budget": budget, "wrapper": wrapper}
    entries = [entry for entry in _audited(store, suite) if _is_wanted(entry, wanted)]
    if measure:
        _measure(entries, store, data_dir)
        entries = [entry for entry in _audited(store, suite) if _is_wanted(entry, wanted)]
    rows = [asdict(entry) | {"flags": [flag._asdict() for flag in entry.flags]} for entry in entries]
    if model and not (as_json or as_csv):
        _show_each(rows)
        return
    columns = {
        "suite": field("suite"),
        "entry": lambda row: " ".join(filter(None, (row["model"], row["wrapper"], row["tuning"], row["settings"]))),
        "tier": field("budget"),
        "tasks": lambda row: str(len(row["cells"])),
        "flags": lambda row: str(len(row["flags"])),
        "what": lambda row: ", ".join(dict.fromkeys(flag["name"] for flag in row["flags"])) or "–",
    }
    print_rows(rows, columns, as_json=as_json, as_csv=as_csv, empty="No entries.")


def _audited(store: "Store", name: str | None) -> list["AuditedEntry"]:
    from bench.audit.entries import audit as audit_suite
    from bench.catalog.suites import SUITES

    suites = [given_suite(name)] if name else list(SUITES.values())
    runs, standing, events, trials = store.runs(), store.standing(), store.events(), store.trials()
    return [entry for suite in suites for entry in audit_suite(runs, standing, events, trials, suite)]


def _measure(entries: "list[AuditedEntry]", store: "Store", data_dir: str | None) -> None:
    from bench.audit.measure import measure

    measure(entries, store, data_dir=data_dir, tell=lambda text: stderr.print(text, markup=False))


def _is_wanted(entry: "AuditedEntry", wanted: dict[str, str | None]) -> bool:
    return all(value is None or getattr(entry, name) == value for name, value in wanted.items())


def _show_each(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        settings = f" {row['settings']}" if row["settings"] else ""
        print(f"{row['suite']}, {row['budget']}: {row['model']} ({row['wrapper']}, {row['tuning']}){settings}")
        for cell in row["cells"]:
            print(f"  {_cell_line(cell)}")
        print(f"  {counted(len(row['flags']), 'flag')}")
        for flag in row["flags"]:
            print(f"    {flag['name']}: {flag['what']}")


def _cell_line(cell: dict[str, Any]) -> str:
    units = ", ".join(f"{name} {number}" for name, number in cell["units"].items())
    share = "" if cell["mixer_share"] is None else f", mixers {cell['mixer_share']:.0%}"
    over = "" if cell["over_none"] is None else f", {cell['over_none']:+.1f} over none"
    dead = "" if cell["dead"] is None else f", {cell['dead']:.0%} dead at the start"
    seeds = f"{counted(cell['seeds'], 'seed')}, {cell['learned']:.0%} learned"
    size = f"{cell['params']:,} parameters, {cell['fill']:.0%} of the tier{share}"
    return f"{cell['task']}: {cell['score']:.1f} from {seeds}{over}; depth {cell['depth']}, {units}; {size}{dead}"
