"""The data that the pages read. Streamlit reruns a page's script at every click, so costly results are cached.

All visitors share the cached objects: don't modify them.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from threading import RLock
from typing import TYPE_CHECKING, TypeVar

import streamlit as st

from bench.catalog.suites import SUITES, Suite, find_suite
from bench.ranking.contest import Contest, InTier
from bench.ranking.rows import Board, SuiteRow
from bench.reports.board import ranked_board, wrappers_apart
from db.errors import StoreError
from db.schema import Run
from db.standing import Standing
from db.store import Store, Version

if TYPE_CHECKING:
    from bench.audit.audited import AuditedEntry

T = TypeVar("T")


@dataclass
class Snapshot:
    """One version of a database: its runs, and the results that were computed from them."""

    version: Version
    attempts: list[Run]
    runs: list[Run]
    """The latest attempt of every run, the first to finish first, without the columns that `UNLISTED` names."""
    standing: Standing
    _computed: dict[Hashable, object] = field(default_factory=dict)
    _lock: RLock = field(default_factory=RLock)

    def once(self, key: Hashable, compute: Callable[[], T]) -> T:
        """Return what `compute` returns, computed once per key. Each version of the database has its own snapshot."""
        with self._lock:
            if key not in self._computed:
                self._computed[key] = compute()
            return self._computed[key]  # type: ignore[return-value]


def open_store() -> Store:
    """Open the database read-only. If it can't be read, show the error and stop the page."""
    try:
        return Store(read_only=True)
    except StoreError as error:
        st.error(str(error), icon=":material/database_off:")
        st.stop()


def comparable(runs: Iterable[Run]) -> list[Run]:
    """Leave out runs by a paper's own protocol: their numbers can't be compared with others, so no board has them."""
    return [run for run in runs if run.is_comparable]


def load_rows(store: Store, suite_name: str, tier: str, wrapper: str | None = None) -> list[SuiteRow]:
    """Return the entries of a tier of a suite, as `bench leaderboard --suite … --budget … --wrapper …` prints them.

    Raises:
        RequestError: there is no such suite or wrapper, or the suite can't be ranked.
    """
    boards = (
        load_board(store, suite_name, InTier(tier, each)) for each in wrappers_apart(find_suite(suite_name), wrapper)
    )
    return [row for board in boards for row in board.rows]


def load_board(store: Store, suite_name: str, contest: Contest) -> Board:
    """Return the board of a contest.

    Raises:
        RequestError: there is no such suite, or it can't be ranked.
    """
    suite, seen = find_suite(suite_name), snapshot(store)
    return seen.once(("board", suite_name, contest), lambda: ranked_board(seen.runs, seen.standing, suite, contest))


def load_all_tiers(store: Store, suite: Suite, wrappers: Iterable[str | None]) -> tuple[SuiteRow, ...]:
    """Return the rows of every tier of a suite, in the contests of these wrappers.

    Raises:
        RequestError: the suite can't be ranked.
    """
    return tuple(
        row
        for wrapper in wrappers
        for tier in suite.tiers
        for row in load_board(store, suite.name, InTier(tier, wrapper)).rows
    )


def load_tiers(store: Store) -> dict[str, list[str]]:
    """Return the tiers that have a run which counts, for every suite that has one."""
    seen = snapshot(store)
    return seen.once("tiers", lambda: _tiers(seen.runs))


def _tiers(runs: list[Run]) -> dict[str, list[str]]:
    found = {suite.name: {run.budget for run in runs if suite.includes(run)} for suite in SUITES.values()}
    tiers = {name: [tier for tier in SUITES[name].tiers if tier in budgets] for name, budgets in found.items()}
    return {name: some for name, some in tiers.items() if some}


def first_suite(tiers: Mapping[str, Sequence[str]]) -> str | None:
    """Return the suite that a reader sees first: one that takes new runs if any of them has a result; None without any.

    Args:
        tiers: as `load_tiers` returns them.
    """
    return min(tiers, key=lambda name: SUITES[name].superseded is not None, default=None)


def load_audit(store: Store, suite: str) -> "list[AuditedEntry]":
    """Return the audit of a suite's entries of all tiers."""
    from bench.audit.entries import audit  # builds networks, so that torch is imported

    seen = snapshot(store)
    return seen.once(
        ("audit", suite),
        lambda: audit(store.runs(), seen.standing, store.events(), store.trials(), find_suite(suite)),
    )


def snapshot(store: Store) -> Snapshot:
    """Return the snapshot of the database's current version."""
    return _reader(str(store)).read(store)


class _Reader:
    def __init__(self) -> None:
        self.lock = RLock()
        self.latest: Snapshot | None = None

    def read(self, store: Store) -> Snapshot:
        with self.lock:
            version = store.version()
            if self.latest is None or self.latest.version != version:
                self.latest = self._next(store, version)
            return self.latest

    def _next(self, store: Store, version: Version) -> Snapshot:
        known = self.latest.attempts if self.latest else []
        attempts = [*known, *store.attempts_after(known[-1].id if known else 0)]
        # Read everything again if rows became visible out of order (several writers), or the file was replaced.
        if (len(attempts), attempts[-1].run_id if attempts else "") != (version.attempts, version.last_run_id):
            attempts = store.attempts_after(0)
        latest = {attempt.run_id: attempt for attempt in attempts}
        runs = sorted(latest.values(), key=lambda run: (run.finished_at, run.id))
        return Snapshot(version, attempts, runs, store.standing())


@lru_cache(maxsize=4)
def _reader(database: str) -> _Reader:
    return _Reader()
