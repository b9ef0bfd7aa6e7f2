"""What the documentation's tables and figures are made from."""

from typing import Any

from bench.catalog.names import display_name
from bench.catalog.suites import find_suite
from bench.common.errors import unknown
from bench.ranking.rows import Board, SuiteRow
from bench.reports.board import suite_boards
from db.schema import OPEN, Run
from db.store import Store


def counted(store: Store) -> list[Run]:
    return [run for run in store.standing().counted(store.runs()) if run.status != OPEN]


def boards(store: Store, suite: str, tier: str, wrapper: str | None = None) -> list[Board]:
    """Return the boards of a suite's tier, one for each of its contests, or that of one wrapper.

    Raises:
        RequestError: there is no such suite or wrapper, or the suite has no such tier.
    """
    found = find_suite(suite)
    if tier not in found.tiers:
        raise unknown("tier", tier, found.tiers)
    return suite_boards(store, found, tier, wrapper)


def board_rows(store: Store, suite: str, tier: str, wrapper: str | None = None) -> tuple[SuiteRow, ...]:
    """Return the rows of `boards`. Ranks are those within each contest.

    Raises:
        RequestError: there is no such suite or wrapper, or the suite has no such tier.
    """
    return tuple(row for board in boards(store, suite, tier, wrapper) for row in board.rows)


def probes(store: Store, probe: str) -> list[tuple[Run, dict[str, Any]]]:
    """Return each run with its latest answer to a probe, in the order of architecture and then size."""
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
    return f"{display_name(row.model)} ({', '.join([row.wrapper, *words])})"


def name_of(run: Run) -> str:
    return f"{display_name(run.model)} ({run.wrapper}, {run.params_total:,})"


def suite_command(suite: str, tier: str) -> str:
    return f"python -m bench suite --suite {suite} --budget {tier} --models all"


def probe_command(task: str) -> str:
    """Return the command that probes a task or a family of tasks."""
    return f"python -m bench probe --model fru --task {task}"


def no_runs(command: str) -> str:
    """Return the text in place of results that do not exist yet."""
    return f"*No runs yet:* `{command}`"
