"""The one module that reads and writes results."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import URL, Engine, func, select
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session, defer

from db import migrate
from db.engine import DEFAULT_PATH, check_writable, connect, database_url
from db.errors import StoreError
from db.schema import EVENT_KINDS, OPEN, CurvePoint, Event, Run
from db.standing import Standing

UNLISTED = (Run.metrics, Run.facts, Run.command)
"""Long columns that no list of runs shows; `find` has them."""


class Version(NamedTuple):
    """Differs whenever something was added."""

    attempts: int
    last_run_id: str
    """Of the newest attempt; "" where there is none."""
    events: int


class Store:
    """A database of results.

    Args:
        url: as `--db` takes it: a SQLAlchemy URL or a path; None for BENCH_DB or the default.
        read_only: open without the right to write; the schema must be current. Otherwise it is brought up to date.

    Raises:
        StoreError: not a database, not ours, newer than the code, older than it and read-only, or not reachable.
    """

    def __init__(self, url: str | None = None, *, read_only: bool = False) -> None:
        self.url: URL = database_url(url)
        self._engine: Engine = connect(self.url, read_only=read_only)
        with self._translated():
            if read_only:
                self._check_current()
            else:
                self._prepare()

    def _check_current(self) -> None:
        path = self._path()
        if path and not path.exists():
            raise StoreError(f"there is no database at {path} yet; `python -m bench run --model fru` makes one")
        with self._engine.begin() as connection:
            found, head = migrate.revision(connection), migrate.head()
        if found != head:
            raise StoreError(
                f"{self} has an older schema ({found}); bring it up to date with `python -m bench db upgrade`"
            )

    def _prepare(self) -> None:
        if path := self._path():
            check_writable(path)
        self.was_upgraded = migrate.upgrade(self._engine)
        if self._path():
            with closing(self._engine.raw_connection()) as connection:  # outside a transaction, as SQLite wants it
                connection.cursor().execute("PRAGMA journal_mode = WAL")

    def _path(self) -> Path | None:
        """The file of a SQLite database."""
        return Path(self.url.database) if self.url.get_backend_name() == "sqlite" and self.url.database else None

    @property
    def artifacts(self) -> Path:
        """The folder for checkpoints, weights and logs: beside a SQLite file, else beside the default database."""
        path = self._path() or DEFAULT_PATH
        return path.parent / f"{path.stem}-artifacts"

    def __str__(self) -> str:
        return str(self._path() or self.url.render_as_string(hide_password=True))

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn a driver's error into a message for the user."""
        try:
            yield
        except IntegrityError:
            raise
        except DBAPIError as error:
            raise StoreError(f"database {self}: {str(error.orig).strip()}. Nothing was changed.") from error

    @contextmanager
    def _session(self) -> Iterator[Session]:
        with self._translated(), Session(self._engine, expire_on_commit=False) as session, session.begin():
            yield session

    def record(self, run: Run, curves: Sequence[CurvePoint] = ()) -> Run:
        """Add an attempt and its curves, together or not at all.

        Returns:
            The run as stored: where another process recorded the same run first, that one.
        """
        try:
            with self._session() as session:
                session.add(run)
                session.flush()
                for point in curves:
                    point.run_row = run.id
                session.add_all(curves)
        except IntegrityError:
            recorded = self.result(run.run_id)
            if recorded is None:
                raise
            return recorded
        return run

    def result(self, run_id: str) -> Run | None:
        """The recorded result of a run, if it has one; interrupted attempts are none."""
        with self._session() as session:
            return session.scalar(select(Run).where(Run.run_id == run_id, Run.status != OPEN))

    def attempts(self, run_id: str) -> int:
        """How many attempts at a run are recorded."""
        with self._session() as session:
            return session.scalar(select(func.count()).where(Run.run_id == run_id)) or 0

    def find(self, prefix: str) -> list[Run]:
        """The latest attempt of every run whose id begins so."""
        return self._latest(Run.run_id.startswith(prefix, autoescape=True))

    def runs(self, *, task: str | None = None, model: str | None = None) -> list[Run]:
        """The latest attempt of every run, oldest first."""
        wanted = [Run.task == task] * (task is not None) + [Run.model == model] * (model is not None)
        return self._latest(*wanted)

    def _latest(self, *conditions: object) -> list[Run]:
        latest = select(func.max(Run.id)).group_by(Run.run_id)
        query = select(Run).where(Run.id.in_(latest), *conditions).order_by(Run.id)  # type: ignore[arg-type]
        with self._session() as session:
            return list(session.scalars(query))

    def version(self) -> Version:
        """Of the content: rows are only ever added."""
        newest = select(Run.run_id).order_by(Run.id.desc()).limit(1)
        attempts, events = (select(func.count()).select_from(table) for table in (Run, Event))
        with self._session() as session:
            return Version(session.scalar(attempts) or 0, session.scalar(newest) or "", session.scalar(events) or 0)

    def attempts_after(self, row: int) -> list[Run]:
        """Every attempt in later rows than the given one, oldest first, without the columns of UNLISTED."""
        query = select(Run).where(Run.id > row).order_by(Run.id)
        with self._session() as session:
            return list(session.scalars(query.options(*(defer(column, raiseload=True) for column in UNLISTED))))

    def curves(self, run: Run) -> list[CurvePoint]:
        query = select(CurvePoint).where(CurvePoint.run_row == run.id).order_by(CurvePoint.name, CurvePoint.step)
        with self._session() as session:
            return list(session.scalars(query))

    def add_event(self, run: Run, kind: str, reason: str, data: Mapping[str, Any] | None = None) -> Event:
        """Say what happened to a recorded run; nothing of the run itself changes.

        Args:
            kind: one of EVENT_KINDS, which say what `data` holds.
        """
        assert kind in EVENT_KINDS, kind
        event = Event(run_row=run.id, kind=kind, reason=reason, data=dict(data or {}), at=datetime.now(UTC))
        with self._session() as session:
            session.add(event)
            session.flush()
            session.refresh(event)
        return event

    def events(self, run_id: str | None = None) -> list[Event]:
        """What happened to a run, or to all of them, oldest first."""
        query = select(Event).order_by(Event.id)
        with self._session() as session:
            return list(session.scalars(query if run_id is None else query.where(Event.run_id == run_id)))

    def standing(self) -> Standing:
        """Which runs no longer count, and how far the others are verified."""
        return Standing.of(self.events())
