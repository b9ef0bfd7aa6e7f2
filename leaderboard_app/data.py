"""What the pages read. Streamlit runs a page's script again at every click, so what is costly is kept between runs.

What is kept is shared by all visitors: don't change it.
"""

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from threading import RLock
from typing import TypeVar

import streamlit as st

from bench.catalog.suites import SUITES, find_suite
from bench.ranking.contest import Contest, InTier
from bench.ranking.rows import Board
from bench.reports.board import ranked_board
from db.errors import StoreError
from db.schema import Run
from db.standing import Standing
from db.store import Store, Version

T = TypeVar("T")


@dataclass
class Snapshot:
    """A database as of one version: what was read of it, and what was computed from that."""

    version: Version
    attempts: list[Run]
    runs: list[Run]
    """The latest attempt of every run, the first to finish first, without the columns that `UNLISTED` names."""
    standing: Standing
    _computed: dict[Hashable, object] = field(default_factory=dict)
    _lock: RLock = field(default_factory=RLock)

    def once(self, key: Hashable, compute: Callable[[], T]) -> T:
        """What `compute` returns, computed once; a later version of the database has a snapshot of its own."""
        with self._lock:
            if key not in self._computed:
                self._computed[key] = compute()
            return self._computed[key]  # type: ignore[return-value]


def open_store() -> Store:
    """The database, read-only; where it can't be read, the page says why and ends."""
    try:
        return Store(read_only=True)
    except StoreError as error:
        st.error(str(error), icon=":material/database_off:")
        st.stop()


def comparable(runs: Iterable[Run]) -> list[Run]:
    """Without those by a paper's own protocol, whose numbers can't be held against others: they are on no board."""
    return [run for run in runs if run.is_comparable]


def load_board(store: Store, suite_name: str, tier: str) -> Board:
    """The ranked entries of a tier of a suite: what `bench leaderboard --suite … --budget …` prints.

    Raises:
        RequestError: there is no such suite, or it can't be ranked.
    """
    return load_contest(store, suite_name, InTier(tier))


def load_contest(store: Store, suite_name: str, contest: Contest) -> Board:
    """As `load_board`, of any contest."""
    suite, seen = find_suite(suite_name), snapshot(store)
    return seen.once(("board", suite_name, contest), lambda: ranked_board(seen.runs, seen.standing, suite, contest))


def load_tiers(store: Store) -> dict[str, list[str]]:
    """Of every suite that has a run which counts, the tiers that have one."""
    seen = snapshot(store)
    return seen.once("tiers", lambda: _tiers(seen.runs))


def _tiers(runs: list[Run]) -> dict[str, list[str]]:
    found = {suite.name: {run.budget for run in runs if suite.includes(run)} for suite in SUITES.values()}
    tiers = {name: [tier for tier in SUITES[name].tiers if tier in budgets] for name, budgets in found.items()}
    return {name: some for name, some in tiers.items() if some}


def snapshot(store: Store) -> Snapshot:
    """The database as it is now."""
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
        # Rows may become visible out of order where several processes write, and a file may be replaced by another.
        if (len(attempts), attempts[-1].run_id if attempts else "") != (version.attempts, version.last_run_id):
            attempts = store.attempts_after(0)
        latest = {attempt.run_id: attempt for attempt in attempts}
        runs = sorted(latest.values(), key=lambda run: (run.finished_at, run.id))
        return Snapshot(version, attempts, runs, store.standing())


@lru_cache(maxsize=4)
def _reader(database: str) -> _Reader:
    return _Reader()
