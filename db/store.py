"""The one module that reads and writes results."""

import shlex
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
from db.engine import DEFAULT_PATH, address, check_writable, connect, database_url, reason, shown, use_wal
from db.errors import StoreError
from db.record import Record
from db.schema import EVENT_KINDS, OPEN, CurvePoint, Event, Run, Trial
from db.standing import Standing
from db.trial_record import news

LATEST = select(func.max(Run.id)).group_by(Run.run_id)
UNLISTED = (Run.metrics, Run.facts, Run.command)
"""Long columns that no list of runs shows. `find` loads them."""


class Version(NamedTuple):
    """The version of a store's content. It differs whenever something was added."""

    attempts: int
    last_run_id: str
    """The run_id of the newest attempt; "" if there is none."""
    events: int


@dataclass(frozen=True, kw_only=True)
class Submission:
    """A run that somebody else made."""

    record: Record
    corrected: Run | None = None
    """The row that the run replaces."""
    correction: Event | None = None
    """The event to add to that row."""

    def add_to(self, session: Session) -> None:
        _add(session, self.record)
        if self.corrected and self.correction:
            self.correction.run_row = self.corrected.id
            session.add(self.correction)


class Store:
    """A database of results.

    Args:
        url: the value of `--db`: a SQLAlchemy URL or a path; None for BENCH_DB or the default.
        read_only: open without the right to write. The schema must then be current. Without `read_only`, opening
            brings it up to date.

    Raises:
        StoreError: the database is not a database, not ours, newer than the code, older than the code and opened
            read-only, or unreachable.
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
        path = self.path
        if path and not path.exists():
            raise StoreError(f"there is no database at {path} yet; `{self._upgrade_command()}` makes one")
        with self._engine.begin() as connection:
            found, head = migrate.revision(connection, str(self)), migrate.head()
        if found is None:
            raise StoreError(f"{self} is an empty database; `{self._upgrade_command()}` makes its tables")
        if found != head:
            raise StoreError(
                f"{self} has an older schema ({found}); bring it up to date with `{self._upgrade_command()}`"
            )

    def _upgrade_command(self) -> str:
        return shlex.join(["python", "-m", "bench", "db", "upgrade", "--db", str(self)])

    def _prepare(self) -> None:
        if path := self.path:
            check_writable(path)
        self.was_upgraded = migrate.upgrade(self._engine, str(self))
        if self.path:
            use_wal(self._engine)

    @property
    def is_default(self) -> bool:
        """Whether it is opened where no database is named."""
        return self.url == database_url(None)

    @property
    def path(self) -> Path | None:
        """The file of a SQLite database; None for another database."""
        return Path(self.url.database) if self.url.get_backend_name() == "sqlite" and self.url.database else None

    @property
    def address(self) -> str:
        """The text that opens this database when it is passed as `url`. It holds the password."""
        return address(self.url)

    @property
    def artifacts(self) -> Path:
        """The folder for checkpoints, weights and logs."""
        return self.beside("artifacts")

    def beside(self, what: str) -> Path:
        """Return the path of something that belongs to this database.

        It is next to the SQLite file or, for another kind of database, next to the default one.
        """
        path = self.path or DEFAULT_PATH
        return path.parent / f"{path.stem}-{what}"

    def __str__(self) -> str:
        return shown(self.url)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn a driver's error into a message for the user."""
        try:
            yield
        except IntegrityError:
            raise
        except DBAPIError as error:
            raise StoreError(f"database {self}: {reason(error, self.path)}. Nothing was changed.") from error

    @contextmanager
    def _session(self) -> Iterator[Session]:
        with self._translated(), Session(self._engine, expire_on_commit=False) as session, session.begin():
            yield session

    def record(self, run: Run, curves: Sequence[CurvePoint] = (), events: Sequence[Event] = ()) -> Run:
        """Add an attempt with its curves and events, together or not at all.

        Returns:
            The run as stored. If its result or this attempt was recorded before, nothing is added and that row is
            returned.
        """
        try:
            with self._session() as session:
                _add(session, Record(run, curves, events))
        except IntegrityError:
            with self._session() as session:
                recorded = _recorded(session, run)
            if recorded is None:
                raise
            return recorded
        return run

    def add_missing(self, records: Sequence[Record], source: Mapping[str, Any]) -> list[Run]:
        """Add the runs of a file that are not here, with their curves and events: all together or not at all.

        A run whose result is here stays as it is. Only if the run came from a file does it get the correction or events
        that the file has gained since. So a retraction reaches everybody.

        Args:
            source: where the runs come from, {"file": its name, …}, for the event that marks each added run.

        Returns:
            The runs that were added.
        """
        added = []
        with self._session() as session:
            if self.url.get_backend_name() == "postgresql":  # a SQLite writer locks the whole file
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

    def add_trials(self, trials: Sequence[Trial], source: str) -> list[Trial]:
        """Add the trials of a file that are not here. A study that is here with other trials stays as it is.

        Args:
            source: the SHA-256 of the file.

        Returns:
            The trials that were added.
        """
        with self._session() as session:
            if self.url.get_backend_name() == "postgresql":  # a SQLite writer locks the whole file
                session.execute(text("LOCK TABLE trials IN SHARE ROW EXCLUSIVE MODE"))
            names = {trial.study for trial in trials}
            added = news(session.scalars(select(Trial).where(Trial.study.in_(names))), trials)
            for trial in added:
                trial.source = source
            session.add_all(added)
        return added

    def trials(self, study: str | None = None) -> list[Trial]:
        """Return the published trials of a study, or of all studies, those of a study together and in their order."""
        query = select(Trial).order_by(Trial.study, Trial.number)
        with self._session() as session:
            return list(session.scalars(query if study is None else query.where(Trial.study == study)))

    def trial_files(self) -> set[str]:
        """Return the SHA-256 of the files that trials came from."""
        with self._session() as session:
            return set(session.scalars(select(Trial.source).distinct()))

    def record_together(self, submissions: Iterable[Submission]) -> None:
        """Add runs that others made, each with its events and correction: all together or not at all.

        Raises:
            StoreError: another process recorded one of the runs meanwhile.
        """
        try:
            with self._session() as session:
                for submission in submissions:
                    submission.add_to(session)
        except IntegrityError as error:
            raise StoreError("one of these runs was recorded meanwhile. Nothing was changed.") from error

    def result(self, run_id: str) -> Run | None:
        """Return the result of a run that counts, or None. Interrupted attempts are not results."""
        query = select(Run).where(Run.run_id == run_id, Run.status != OPEN).order_by(Run.id.desc()).limit(1)
        with self._session() as session:
            return session.scalar(query)

    def attempts(self, run_id: str) -> int:
        """Return how many attempts at a run are recorded."""
        with self._session() as session:
            return session.scalar(select(func.count()).where(Run.run_id == run_id)) or 0

    def find(self, prefix: str) -> list[Run]:
        """Return the latest attempt at every run whose id begins with `prefix`."""
        return self._latest(Run.run_id.startswith(prefix, autoescape=True))

    def runs(self, *, task: str | None = None, model: str | None = None) -> list[Run]:
        """Return the latest attempt at every run, oldest first. A correction replaces what it corrects.

        Args:
            task: return runs on this task only.
            model: return runs of this model only.
        """
        wanted = [Run.task == task] * (task is not None) + [Run.model == model] * (model is not None)
        return self._latest(*wanted)

    def _latest(self, *conditions: object) -> list[Run]:
        query = select(Run).where(Run.id.in_(LATEST), *conditions).order_by(Run.id)  # type: ignore[arg-type]
        with self._session() as session:
            return list(session.scalars(query))

    def version(self) -> Version:
        """Return the version of the content. It differs after every change, because rows are only ever added."""
        newest = select(Run.run_id).order_by(Run.id.desc()).limit(1)
        counts = (select(func.count()).select_from(table) for table in (Run, Event))
        attempts, events = (query.scalar_subquery() for query in counts)
        with self._session() as session:
            count, run_id, happened = session.execute(select(attempts, newest.scalar_subquery(), events)).one()
        return Version(count, run_id or "", happened)

    def attempts_after(self, row: int) -> list[Run]:
        """Return the attempts in rows after `row`, oldest first, without the columns of UNLISTED."""
        query = select(Run).where(Run.id > row).order_by(Run.id)
        with self._session() as session:
            return list(session.scalars(query.options(*map(defer, UNLISTED))))

    def curves(self, run: Run) -> list[CurvePoint]:
        query = select(CurvePoint).where(CurvePoint.run_row == run.id).order_by(CurvePoint.name, CurvePoint.step)
        with self._session() as session:
            return list(session.scalars(query))

    def add_event(self, run: Run, kind: str, reason: str, data: Mapping[str, Any] | None = None) -> Event:
        """Add an event to a recorded run. The run itself does not change.

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
        """Return the events of a run, or of all runs, oldest first."""
        query = select(Event).order_by(Event.id)
        with self._session() as session:
            return list(session.scalars(query if run_id is None else query.where(Event.run_id == run_id)))

    def imported(self) -> set[int]:
        """Return the rows (`Run.id`) that came from a file or a bundle; all others were made here."""
        with self._session() as session:
            return set(session.scalars(select(Event.run_row).where(Event.kind == "imported")))

    def standing(self) -> Standing:
        """Return which runs no longer count, how far the others are verified, and how their settings were chosen.

        Events about a corrected row no longer apply, except requests for the run: the corrected run is the same run.
        """
        still_true = Event.run_row.in_(LATEST) | (Event.kind == "asked")
        with self._session() as session:
            return Standing.of(session.scalars(select(Event).where(still_true).order_by(Event.id)))


def _recorded(session: Session, run: Run) -> Run | None:
    """Return the result of the same run that counts. If the run has none, return the same attempt, or None."""
    taken = (Run.status != OPEN) | (Run.attempt == run.attempt)
    order = (Run.status == OPEN, Run.id.desc())
    return session.scalar(select(Run).where(Run.run_id == run.run_id, taken).order_by(*order).limit(1))


def _counterpart(session: Session, run: Run) -> Run | None:
    """Return the row that matches a run of a file, or None. An interrupted attempt here does not match a result."""
    here = _recorded(session, run)
    return None if here and here.status == OPEN != run.status else here


def _published_attempt(session: Session, here: Run) -> int | None:
    """Return the number that an imported attempt has in its source; None for an attempt that was made here."""
    query = select(Event.data).where(Event.run_row == here.id, Event.kind == "imported").order_by(Event.id).limit(1)
    mark = session.scalar(query)
    return None if mark is None else mark.get("attempt", here.attempt)


def _add_from_file(session: Session, record: Record, corrected: Run | None, source: Mapping[str, Any]) -> None:
    """Add a run, numbered after the attempts at it that are here. If `corrected` is given, the run replaces it."""
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
    """Add the events that the run does not have."""
    here = {(event.kind, event.at) for event in session.scalars(select(Event).where(Event.run_row == run.id))}
    for event in events:
        if (event.kind, event.at) not in here:
            event.run_row = run.id
            session.add(event)


def new_event(kind: str, reason: str, data: Mapping[str, Any] | None = None) -> Event:
    """Return an event that is not stored yet."""
    assert kind in EVENT_KINDS, kind
    return Event(kind=kind, reason=reason, data=dict(data or {}), at=datetime.now(UTC))
