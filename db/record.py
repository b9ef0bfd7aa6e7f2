"""A run with its curves and events, and their text form: a JSON document that people can read and `diff` can compare.

The document is {"format": 1, "runs": [...]}. A run has the columns of its table, in their order, then
`curves` ({name: {"epoch": […], "step": […], "value": […]}}) and `events`. Writing and reading lose nothing.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from sqlalchemy import JSON, BigInteger, Column, Table

from db.errors import StoreError
from db.identity import run_id
from db.schema import EVENT_KINDS, LADDER, STATUSES, CurvePoint, Event, Run, UtcDateTime

FORMAT = 1
OPENED = 4  # levels of the document that have a line for each value: document, runs, run, field
POINT = ("epoch", "step", "value")
KINDS = {JSON: dict, UtcDateTime: datetime}
"""Column type → Python type of its values, where the column type does not say it."""


@dataclass(frozen=True)
class Record:
    """An attempt at a run, with its learning curves and its events."""

    run: Run
    curves: Sequence[CurvePoint] = ()
    events: Sequence[Event] = ()


class DamagedError(StoreError):
    """A file's content is not what it should be."""


def to_text(records: Iterable[Record]) -> str:
    """Return the document that holds the given runs."""
    return _lines({"format": FORMAT, "runs": [_run_document(record) for record in records]}) + "\n"


def from_text(text: str) -> list[Record]:
    """Return the runs of a document.

    Raises:
        DamagedError: the text is not such a document, or a run's id is not the hash of the run's content.
    """
    try:
        document = json.loads(text, parse_constant=_refuse_constant)
        if document["format"] != FORMAT:
            raise ValueError(f"format {document['format']!r}, where this code knows {FORMAT}: update it (git pull)")
        return [_record(run) for run in document["runs"]]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise DamagedError(f"missing {error}" if isinstance(error, KeyError) else str(error)) from error


def read_file(path: Path) -> list[Record]:
    """Return the runs of a file.

    Raises:
        DamagedError: the file can't be read. The message has the file's name and the reason.
    """
    try:
        return from_text(path.read_bytes().decode())
    except (OSError, UnicodeDecodeError, DamagedError) as error:
        raise DamagedError(f"{path} is damaged: {error}") from error


def _run_document(record: Record) -> dict[str, Any]:
    curves: dict[str, dict[str, list[Any]]] = {}
    for point in record.curves:
        curve = curves.setdefault(point.name, {part: [] for part in POINT})
        for part in POINT:
            curve[part].append(getattr(point, part))
    events = [_columns(event, dropped={"id", "run_row"}) for event in record.events]
    return {**_columns(record.run, dropped={"id"}), "curves": curves, "events": events}


def _columns(row: Run | Event, dropped: set[str]) -> dict[str, Any]:
    columns = [column.key for column in row.__table__.columns if column.key not in dropped]
    values = {name: getattr(row, name) for name in columns}
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in values.items()}


def _lines(value: Any, depth: int = 0) -> str:
    """Write JSON: the values of the first OPENED levels have a line each, and each deeper value stays on its line."""
    if depth == OPENED or not value or not isinstance(value, dict | list):
        return json.dumps(value, sort_keys=True, allow_nan=False)
    indent = "\n" + " " * (depth + 1)
    if isinstance(value, list):
        parts, (opening, closing) = [_lines(part, depth + 1) for part in value], "[]"
    else:
        parts = [f"{json.dumps(name)}: {_lines(part, depth + 1)}" for name, part in value.items()]
        opening, closing = "{}"
    return opening + indent + f",{indent}".join(parts) + indent[:-1] + closing


def _record(document: dict[str, Any]) -> Record:
    curves, events = document.pop("curves"), document.pop("events")
    run = Run(**_typed(Run, document, without={"id"}))
    if run.run_id != run_id(document):
        raise ValueError(f"run {run.run_id} is {run_id(document)} by its content: something of it was changed")
    if run.status not in STATUSES:
        raise ValueError(f"status {run.status!r} of run {run.run_id} is none of {', '.join(STATUSES)}")
    if (run.metric_value is not None) != (run.status == "finished"):
        raise ValueError(f"run {run.run_id} is {run.status} with the metric {run.metric_value}")
    return Record(run, _points(curves), [_event(event) for event in events])


def _points(curves: Mapping[str, Mapping[str, list[Any]]]) -> list[CurvePoint]:
    return [
        CurvePoint(**_typed(CurvePoint, {"name": name, **dict(zip(POINT, point, strict=True))}, without={"run_row"}))
        for name, curve in curves.items()
        for point in zip(*(curve[part] for part in POINT), strict=True)
    ]


def _event(document: dict[str, Any]) -> Event:
    event = Event(**_typed(Event, document, without={"id", "run_row"}))
    if event.kind not in EVENT_KINDS:
        raise ValueError(f"event {event.kind!r} is none of {', '.join(EVENT_KINDS)}")
    if event.kind == "verified" and event.data.get("rung") not in LADDER:
        raise ValueError(f"rung {event.data.get('rung')!r} is none of {', '.join(LADDER)}")
    if event.kind == "asked" and not isinstance(event.data.get("config_source"), dict):
        raise ValueError(
            f"config_source of an event is {event.data.get('config_source')!r:.80}, where dict is expected"
        )
    return event


def _typed(row: type[Run | CurvePoint | Event], given: Mapping[str, Any], without: set[str]) -> dict[str, Any]:
    """Return a row's values, checked for their columns' types. A nullable column may be newer than the file."""
    columns = {c.key: c for c in cast(Table, row.__table__).columns if c.key not in without}
    needed = {name for name, column in columns.items() if not column.nullable}
    if odd := (given.keys() - columns.keys()) | (needed - given.keys()):
        names = ", ".join(sorted(map(str, odd)))
        raise ValueError(f"the fields of {row.__tablename__} are not these: {names} is missing or too much")
    return {name: _value(column, given.get(name)) for name, column in columns.items()}


def _value(column: Column[Any], given: Any) -> Any:
    kind = KINDS.get(type(column.type)) or column.type.python_type
    if given is None and column.nullable:
        return None
    if kind is float and type(given) is int:
        return float(given)
    if kind is datetime and isinstance(given, str):
        moment = datetime.fromisoformat(given)
        if moment.tzinfo is None:
            raise ValueError(f"{column.key} {given} has no time zone")
        return moment
    if type(given) is not kind:
        raise ValueError(f"{column.key} is {given!r:.80}, where {kind.__name__} is expected")
    if isinstance(given, int) and abs(given) >= (2**63 if isinstance(column.type, BigInteger) else 2**31):
        raise ValueError(f"{column.key} is more than the database holds")
    if isinstance(given, str) and b"\0" in given.encode():
        raise ValueError(f"{column.key} holds a character that the database does not")
    return given


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is not a number of JSON")
