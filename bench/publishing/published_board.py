"""What the tables and figures of the documentation are made of."""

from typing import Any

from bench.catalog.suites import find_suite
from bench.common.errors import unknown
from bench.ranking.rows import SuiteRow
from bench.reports.board import suite_board
from db.schema import OPEN, Run
from db.store import Store


def counted(store: Store) -> list[Run]:
    return [run for run in store.standing().counted(store.runs()) if run.status != OPEN]


def board_rows(store: Store, suite: str, tier: str) -> tuple[SuiteRow, ...]:
    """Raises RequestError: there is no such suite, or it has no such tier."""
    found = find_suite(suite)
    if tier not in found.tiers:
        raise unknown("tier", tier, found.tiers)
    return suite_board(store, found, tier).rows


def probes(store: Store, probe: str) -> list[tuple[Run, dict[str, Any]]]:
    """The latest of each run, by architecture and then size."""
    runs = {run.run_id: run for run in counted(store)}
    latest = {
        event.run_id: event.data
        for event in store.events()
        if event.kind == "probe" and event.data["probe"] == probe and event.run_id in runs
    }
    found = [(runs[run_id], data) for run_id, data in latest.items()]
    return sorted(found, key=lambda pair: (pair[0].model, pair[0].wrapper, pair[0].params_total, pair[0].run_id))


def entry_label(row: SuiteRow) -> str:
    words = [row.settings] * bool(row.settings) + [row.tuning] * (row.tuning == "tuned")
    return f"{row.model} ({', '.join([row.wrapper, *words])})"


def name_of(run: Run) -> str:
    return f"{run.model} ({run.wrapper}, {run.params_total:,})"


def suite_command(suite: str, tier: str) -> str:
    return f"python -m bench suite --suite {suite} --budget {tier} --models all"


def probe_command(task: str) -> str:
    """For a task, or a family of them."""
    return f"python -m bench probe --model fru --task {task}"


def no_runs(command: str) -> str:
    """What stands in the place of results that are not there yet."""
    return f"*No runs yet:* `{command}`"
