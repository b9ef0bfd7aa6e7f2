"""The one module that reads and writes results."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine, func, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session

from db import migrate
from db.engine import DEFAULT_PATH, check_writable, connect, database_url, reason
from db.errors import StoreError
from db.record import Record
from db.schema import EVENT_KINDS, OPEN, CurvePoint, Event, Run
from db.standing import Standing


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
            raise StoreError(f"database {self}: {reason(error)}. Nothing was changed.") from error

    @contextmanager
    def _session(self) -> Iterator[Session]:
        with self._translated(), Session(self._engine, expire_on_commit=False) as session, session.begin():
            yield session

    def record(self, run: Run, curves: Sequence[CurvePoint] = ()) -> Run:
        """Add an attempt and its curves, together or not at all.

        Returns:
            The run as stored: where its result or this attempt was recorded before, that one.
        """
        try:
            with self._session() as session:
                _add(session, Record(run, curves))
        except IntegrityError:
            with self._session() as session:
                recorded = _recorded(session, run)
            if recorded is None:
                raise
            return recorded
        return run

    def add_missing(self, records: Sequence[Record], source: Mapping[str, Any]) -> list[Run]:
        """Add the runs of a file that are not here, with their curves and events: all together or not at all.

        A run whose result is here stays as it is, and so does an attempt. Only one that came from a file before gets
        the events that the file has had since: a retraction reaches everybody.

        Args:
            source: where the runs come from, for the event that marks each added one: {"file": its name, …}.

        Returns:
            Those that were added.
        """
        added = []
        with self._session() as session:
            if self.url.get_backend_name() == "postgresql":  # SQLite's writers hold the whole file
                session.execute(text("LOCK TABLE runs IN SHARE ROW EXCLUSIVE MODE"))
            for record in records:
                here = _recorded(session, record.run)
                if here is None:
                    mark = Event(kind="imported", reason=f"from {source['file']}", data=dict(source), at=_now())
                    _add(session, replace(record, events=[*record.events, mark]))
                    added.append(record.run)
                elif session.scalars(select(Event).where(Event.run_row == here.id, Event.kind == "imported")).first():
                    _add_events(session, here, record.events)
        return added

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
        event = Event(kind=kind, reason=reason, data=dict(data or {}), at=_now())
        event.run_row = run.id
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


def _now() -> datetime:
    return datetime.now(UTC)


def _recorded(session: Session, run: Run) -> Run | None:
    """The result of the same run or, where it has none, the same attempt."""
    taken = (Run.status != OPEN) | (Run.attempt == run.attempt)
    return session.scalar(select(Run).where(Run.run_id == run.run_id, taken).order_by(Run.status == OPEN))


def _add(session: Session, record: Record) -> None:
    session.add(record.run)
    session.flush()
    parts: list[CurvePoint | Event] = [*record.curves, *record.events]
    for part in parts:
        part.run_row = record.run.id
    session.add_all(parts)


def _add_events(session: Session, run: Run, events: Sequence[Event]) -> None:
    """Those that the run does not have."""
    here = {(event.kind, event.at) for event in session.scalars(select(Event).where(Event.run_row == run.id))}
    for event in events:
        if (event.kind, event.at) not in here:
            event.run_row = run.id
            session.add(event)
