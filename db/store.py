"""The one module that reads and writes results."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import URL, Engine, func, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session, defer

from db import migrate
from db.engine import DEFAULT_PATH, check_writable, connect, database_url, reason, use_wal
from db.errors import StoreError
from db.record import Record
from db.schema import EVENT_KINDS, OPEN, CurvePoint, Event, Run
from db.standing import Standing

LATEST = select(func.max(Run.id)).group_by(Run.run_id)
UNLISTED = (Run.metrics, Run.facts, Run.command)
"""Long columns that no list of runs shows; `find` has them."""


class Version(NamedTuple):
    """Differs whenever something was added."""

    attempts: int
    last_run_id: str
    """Of the newest attempt; "" where there is none."""
    events: int


@dataclass(frozen=True, kw_only=True)
class Submission:
    """A run that somebody else made."""

    record: Record
    corrected: Run | None = None
    """The row in whose place the run comes."""
    correction: Event | None = None
    """What is said of that row."""

    def add_to(self, session: Session) -> None:
        _add(session, self.record)
        if self.corrected and self.correction:
            self.correction.run_row = self.corrected.id
            session.add(self.correction)


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
            raise StoreError(f"there is no database at {path} yet; `python -m bench db upgrade --db {path}` makes one")
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
            use_wal(self._engine)

    def _path(self) -> Path | None:
        """The file of a SQLite database."""
        return Path(self.url.database) if self.url.get_backend_name() == "sqlite" and self.url.database else None

    @property
    def artifacts(self) -> Path:
        """The folder for checkpoints, weights and logs."""
        return self.beside("artifacts")

    def beside(self, what: str) -> Path:
        """The place of something that belongs to this database: beside a SQLite file, else beside the default one."""
        path = self._path() or DEFAULT_PATH
        return path.parent / f"{path.stem}-{what}"

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

        A run whose result is here stays as it is. Only one that came from a file before gets what the file has had
        since, a correction or events: a retraction reaches everybody.

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
                here = _counterpart(session, record.run)
                published = here and _published_attempt(session, here)
                if here is None or (published and record.run.corrects and record.run.attempt > published):
                    _add_from_file(session, record, here, source)
                    added.append(record.run)
                elif record.run.attempt == published:
                    _add_events(session, here, record.events)
        return added

    def record_together(self, submissions: Iterable[Submission]) -> None:
        """Add runs that others made, with what is to be said of each: all of it or nothing.

        Raises:
            StoreError: another process recorded one of them meanwhile.
        """
        try:
            with self._session() as session:
                for submission in submissions:
                    submission.add_to(session)
        except IntegrityError as error:
            raise StoreError("one of these runs was recorded meanwhile. Nothing was changed.") from error

    def result(self, run_id: str) -> Run | None:
        """The result of a run that counts, if it has one; interrupted attempts are none."""
        query = select(Run).where(Run.run_id == run_id, Run.status != OPEN).order_by(Run.id.desc()).limit(1)
        with self._session() as session:
            return session.scalar(query)

    def attempts(self, run_id: str) -> int:
        """How many attempts at a run are recorded."""
        with self._session() as session:
            return session.scalar(select(func.count()).where(Run.run_id == run_id)) or 0

    def find(self, prefix: str) -> list[Run]:
        """The latest attempt of every run whose id begins so."""
        return self._latest(Run.run_id.startswith(prefix, autoescape=True))

    def runs(self, *, task: str | None = None, model: str | None = None) -> list[Run]:
        """The latest attempt of every run, oldest first; a correction in the place of what it corrects."""
        wanted = [Run.task == task] * (task is not None) + [Run.model == model] * (model is not None)
        return self._latest(*wanted)

    def _latest(self, *conditions: object) -> list[Run]:
        query = select(Run).where(Run.id.in_(LATEST), *conditions).order_by(Run.id)  # type: ignore[arg-type]
        with self._session() as session:
            return list(session.scalars(query))

    def version(self) -> Version:
        """Of the content: rows are only ever added."""
        newest = select(Run.run_id).order_by(Run.id.desc()).limit(1)
        counts = (select(func.count()).select_from(table) for table in (Run, Event))
        attempts, events = (query.scalar_subquery() for query in counts)
        with self._session() as session:
            count, run_id, happened = session.execute(select(attempts, newest.scalar_subquery(), events)).one()
        return Version(count, run_id or "", happened)

    def attempts_after(self, row: int) -> list[Run]:
        """Every attempt in later rows than the given one, oldest first, without the columns of UNLISTED."""
        query = select(Run).where(Run.id > row).order_by(Run.id)
        with self._session() as session:
            return list(session.scalars(query.options(*map(defer, UNLISTED))))

    def curves(self, run: Run) -> list[CurvePoint]:
        query = select(CurvePoint).where(CurvePoint.run_row == run.id).order_by(CurvePoint.name, CurvePoint.step)
        with self._session() as session:
            return list(session.scalars(query))

    def add_event(self, run: Run, kind: str, reason: str, data: Mapping[str, Any] | None = None) -> Event:
        """Say what happened to a recorded run; nothing of the run itself changes.

        Args:
            kind: one of EVENT_KINDS, which say what `data` holds.
        """
        event = new_event(kind, reason, data)
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
        """Which runs no longer count, how far the others are verified, and what they are runs of.

        What was said of a corrected row is past, but for who asked for the run: it is the same run.
        """
        still_true = Event.run_row.in_(LATEST) | (Event.kind == "asked")
        with self._session() as session:
            return Standing.of(session.scalars(select(Event).where(still_true).order_by(Event.id)))


def _recorded(session: Session, run: Run) -> Run | None:
    """The result of the same run that counts or, where it has none, the same attempt."""
    taken = (Run.status != OPEN) | (Run.attempt == run.attempt)
    order = (Run.status == OPEN, Run.id.desc())
    return session.scalar(select(Run).where(Run.run_id == run.run_id, taken).order_by(*order).limit(1))


def _counterpart(session: Session, run: Run) -> Run | None:
    """What is here of a run in a file. An attempt that was interrupted here leaves room for its result."""
    here = _recorded(session, run)
    return None if here and here.status == OPEN != run.status else here


def _published_attempt(session: Session, here: Run) -> int | None:
    """The number of an imported attempt where it came from; None for one that was made here."""
    query = select(Event.data).where(Event.run_row == here.id, Event.kind == "imported").order_by(Event.id).limit(1)
    mark = session.scalar(query)
    return None if mark is None else mark.get("attempt", here.attempt)


def _add_from_file(session: Session, record: Record, corrected: Run | None, source: Mapping[str, Any]) -> None:
    """Add a run after the attempts at it that are here; where one is corrected, in its place."""
    run = record.run
    mark = new_event("imported", f"from {source['file']}", {**source, "attempt": run.attempt})
    last = session.scalar(select(func.max(Run.attempt)).where(Run.run_id == run.run_id)) or 0
    run.attempt = max(run.attempt, last + 1)
    run.corrects = corrected.attempt if corrected else run.corrects
    _add(session, replace(record, events=[*record.events, mark]))


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


def new_event(kind: str, reason: str, data: Mapping[str, Any] | None = None) -> Event:
    """An event that is yet to be stored."""
    assert kind in EVENT_KINDS, kind
    return Event(kind=kind, reason=reason, data=dict(data or {}), at=datetime.now(UTC))
