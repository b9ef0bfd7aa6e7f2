"""Connect to SQLite or PostgreSQL."""

import json
import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError

from db.errors import ReadOnlyError, StoreError

DEFAULT_PATH = Path(__file__).resolve().parent / "leaderboard.sqlite"
BUSY_TIMEOUT = 30  # seconds to wait for another writer
LOCKED = "database is locked"  # SQLite's message after BUSY_TIMEOUT
NO_DATABASE = "file is not a database"  # SQLite's message
LFS_POINTER = b"version https://git-lfs.github.com/spec/"


def database_url(text: str | None) -> URL:
    """Return the URL of `--db`, else of BENCH_DB, else of the default database. A plain path means SQLite.

    Args:
        text: the value of `--db`, if it was given.

    Raises:
        StoreError: the path is a folder, or the URL is invalid, names another kind of database or no file.
    """
    text = text or os.environ.get("BENCH_DB") or str(DEFAULT_PATH)
    if "://" not in text:
        return _file_url(text)
    try:
        url = make_url(text)
    except ArgumentError as error:
        raise StoreError(
            f"{text!r} is not a database URL; try sqlite:///path or postgresql://user@host/name"
        ) from error
    backend = url.get_backend_name()
    if backend == "postgres":
        raise StoreError("a database URL can't begin with postgres://; write postgresql://user@host/name")
    if backend not in ("sqlite", "postgresql"):
        raise StoreError(f"database {backend!r} is not supported; legal: sqlite, postgresql")
    if backend == "sqlite":
        _check_names_file(text, url)
        return _file_url(url.database or "")
    return url.set(drivername="postgresql+psycopg") if url.drivername == "postgresql" else url


def _file_url(text: str) -> URL:
    path = Path(text).expanduser().resolve()
    if path.is_dir():
        raise StoreError(f"database {path} is a folder; give a file, such as {path / DEFAULT_PATH.name}")
    return URL.create("sqlite", database=str(path))


def _check_names_file(text: str, url: URL) -> None:
    """Refuse a SQLite URL that names no file, or has options: they may be the rest of a file's name."""
    if url.database in (None, "", ":memory:"):
        raise StoreError(f"{text} names no file, so results would be lost; give a path, such as {DEFAULT_PATH.name}")
    if "?" in text:
        raise StoreError(f"{text} has options after the ?, which a SQLite URL can't have here; give the file's path")


def address(url: URL) -> str:
    """Return the text that `database_url` reads as the same URL. It holds the password.

    SQLite's is the path: how a URL's text writes ?, # and % depends on SQLAlchemy's version.
    """
    return url.database or "" if url.get_backend_name() == "sqlite" else url.render_as_string(hide_password=False)


def shown(url: URL) -> str:
    """Return a database's name for messages, without the password."""
    return url.database or "" if url.get_backend_name() == "sqlite" else url.render_as_string(hide_password=True)


def connector(url: URL) -> Callable[[], Any]:
    """Return a function that opens a connection, for a library that takes addresses only as text."""
    dialect = create_engine(url).dialect
    words, options = dialect.create_connect_args(url)
    if url.get_backend_name() == "sqlite":
        options["timeout"] = BUSY_TIMEOUT
    return partial(dialect.connect, *words, **options)


def connect(url: URL, *, read_only: bool) -> Engine:
    """Return an engine. Its JSON columns refuse NaN and Infinity, which JSON does not have.

    Raises:
        StoreError: PostgreSQL's driver is missing, or results in a SQLite log can't be read without writing.
    """
    dumps = partial(json.dumps, allow_nan=False)
    url = read_only_url(url) if read_only else url
    if url.get_backend_name() == "sqlite":
        return _connect_sqlite(url, dumps, read_only=read_only)
    try:
        return create_engine(url, json_serializer=dumps, pool_pre_ping=True)
    except ImportError as error:
        raise StoreError("PostgreSQL needs a driver: pip install 'long-bench[postgres]'") from error


def read_only_url(url: URL) -> URL:
    """Return the URL that opens a database without the right to write or to create it."""
    if url.get_backend_name() == "sqlite":
        path = url.database or ""
        return URL.create("sqlite", database=f"file:{quoted(path)}", query=_read_only_query(path)) if path else url
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
        # A writer takes the lock at once. Upgrading a read lock could end in a deadlock that no timeout resolves.
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")

    return engine


def use_wal(engine: Engine) -> None:
    """Switch a SQLite file to WAL, so that its readers go on while somebody writes.

    SQLite ignores its timeout for this change and does not wait for another writer. So this function waits and retries.

    Raises:
        OperationalError: the mode could not be changed.
    """
    deadline, change = time.monotonic() + BUSY_TIMEOUT, "PRAGMA journal_mode = WAL"
    with closing(engine.raw_connection()) as connection:  # SQLite needs this outside a transaction
        while True:
            try:
                connection.cursor().execute(change)
            except sqlite3.OperationalError as error:
                if str(error) != LOCKED or time.monotonic() > deadline:
                    raise OperationalError(change, None, error) from error
                time.sleep(0.1)
            else:
                return


def _read_only_query(path: str) -> dict[str, str]:
    # On read-only media SQLite can't create the files that WAL needs; `immutable` reads without them. If these files
    # were left behind, they hold results that `immutable` would not see, and SQLite can read them as they are.
    log, index = Path(f"{path}-wal"), Path(f"{path}-shm")
    can_make_files = os.access(Path(path).parent, os.W_OK)
    has_log = log.exists() and log.stat().st_size > 0
    if has_log and not can_make_files and not index.exists():
        raise StoreError(
            f"{log} holds results that can't be read where no file can be made; copy it and {path} elsewhere."
        )
    return {"uri": "true", "mode": "ro"} | ({} if has_log or can_make_files else {"immutable": "1"})


def quoted(path: str) -> str:
    """Return a path as SQLite's own URLs (file:…) have it."""
    return quote(os.fsencode(path))


def reason(error: DBAPIError, path: Path | None) -> str:
    """Return a driver's error message. If the database is locked or a pointer of Git LFS, say what to do.

    Args:
        path: the file, if it is SQLite's.
    """
    text = str(error.orig).strip()
    if text == LOCKED:
        return f"another program has kept it locked for {BUSY_TIMEOUT} s; try again when that has ended"
    if text == NO_DATABASE and path and is_lfs_pointer(path):
        return "it is a pointer of Git LFS, not the file itself; fetch that: git lfs pull"
    return text


def is_lfs_pointer(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(LFS_POINTER)) == LFS_POINTER


def check_writable(path: Path) -> None:
    """Refuse a SQLite file that can't be written, now rather than at the end of a long training.

    Raises:
        ReadOnlyError: the file or its folder is read-only.
        StoreError: the folder does not exist.
    """
    for place in (path.parent, path):
        if place == path and not path.exists():
            continue
        if not os.access(place, os.W_OK):
            state, error = ("is read-only", ReadOnlyError) if place.exists() else ("does not exist", StoreError)
            raise error(f"{place} {state}, so results can't be recorded in {path}. Give another --db.")
