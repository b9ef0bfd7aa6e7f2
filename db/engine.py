"""Connecting to SQLite or PostgreSQL."""

import json
import os
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError

from db.errors import StoreError

DEFAULT_PATH = Path(__file__).resolve().parent / "leaderboard.sqlite"
BUSY_TIMEOUT = 30  # seconds to wait for another writer


def database_url(text: str | None) -> URL:
    """The URL of `--db`, of BENCH_DB or of the default database. A plain path means SQLite.

    Raises:
        StoreError: it is neither.
    """
    text = text or os.environ.get("BENCH_DB") or str(DEFAULT_PATH)
    if "://" not in text:
        return URL.create("sqlite", database=str(Path(text).expanduser().resolve()))
    try:
        url = make_url(text)
    except ArgumentError as error:
        raise StoreError(
            f"{text!r} is not a database URL; try sqlite:///path or postgresql://user@host/name"
        ) from error
    if url.get_backend_name() not in ("sqlite", "postgresql"):
        raise StoreError(f"database {url.get_backend_name()!r} is not supported; legal: sqlite, postgresql")
    return url.set(drivername="postgresql+psycopg") if url.drivername == "postgresql" else url


def connect(url: URL, *, read_only: bool) -> Engine:
    """An engine. JSON columns refuse NaN and Infinity, which JSON does not have."""
    dumps = partial(json.dumps, allow_nan=False)
    url = read_only_url(url) if read_only else url
    if url.get_backend_name() == "sqlite":
        return _connect_sqlite(url, dumps, read_only=read_only)
    try:
        return create_engine(url, json_serializer=dumps, pool_pre_ping=True)
    except ImportError as error:
        raise StoreError("PostgreSQL needs a driver: pip install 'long-bench[postgres]'") from error


def read_only_url(url: URL) -> URL:
    """The URL that opens a database without the right to write, or to create it."""
    if url.get_backend_name() == "sqlite":
        path = url.database or ""
        return URL.create("sqlite", database=f"file:{_quoted(path)}", query=_read_only_query(path)) if path else url
    options = url.query.get("options", "")
    return url.update_query_dict({"options": f"{options} -c default_transaction_read_only=on".strip()})


def _connect_sqlite(url: URL, dumps: Any, *, read_only: bool) -> Engine:
    engine = create_engine(url, json_serializer=dumps, connect_args={"timeout": BUSY_TIMEOUT})

    @event.listens_for(engine, "connect")
    def _on_connect(connection: Any, record: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves, so that DDL is transactional too
        connection.execute("PRAGMA foreign_keys = ON")

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Any) -> None:
        # A writer takes the lock at once: one that upgraded a read lock could meet a deadlock that no timeout resolves.
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")

    return engine


def _read_only_query(path: str) -> dict[str, str]:
    # On read-only media SQLite can't create the files that WAL needs; `immutable` reads without them. Where they were
    # left behind they hold results that `immutable` would not see, and SQLite can read them as they are.
    needs_files = not os.access(Path(path).parent, os.W_OK) and not Path(f"{path}-wal").exists()
    return {"uri": "true", "mode": "ro"} | ({"immutable": "1"} if needs_files else {})


def _quoted(path: str) -> str:
    return path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")


def check_writable(path: Path) -> None:
    """Refuse a SQLite file that can't be written, now rather than at the end of a long training."""
    for place in (path.parent, path):
        if place == path and not path.exists():
            continue
        if not os.access(place, os.W_OK):
            state = "is read-only" if place.exists() else "does not exist"
            raise StoreError(f"{place} {state}, so results can't be recorded in {path}. Give another --db.")
