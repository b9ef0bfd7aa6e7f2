"""A run with its curves and events, and their text form: a JSON document that people can read and `diff` can compare.

The document is {"format": 1, "runs": [...]}. A run has the columns of its table, in their order, then
`curves` ({name: {"epoch": […], "step": […], "value": […]}}) and `events`. Writing and reading lose nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from db.documents import columns, parse, parse_file, to_lines, typed
from db.identity import run_id
from db.schema import EVENT_KINDS, LADDER, STATUSES, CurvePoint, Event, Run

FORMAT = 1
POINT = ("epoch", "step", "value")


@dataclass(frozen=True)
class Record:
    """An attempt at a run, with its learning curves and its events."""

    run: Run
    curves: Sequence[CurvePoint] = ()
    events: Sequence[Event] = ()


def to_text(records: Iterable[Record]) -> str:
    """Return the document that holds the given runs."""
    return to_lines({"format": FORMAT, "runs": [_run_document(record) for record in records]}) + "\n"


def from_text(text: str) -> list[Record]:
    """Return the runs of a document.

    Raises:
        DamagedError: the text is not such a document, or a run's id is not the hash of the run's content.
    """
    return parse(text, FORMAT, lambda document: [_record(run) for run in document["runs"]])


def read_file(path: Path) -> list[Record]:
    """Return the runs of a file.

    Raises:
        DamagedError: the file can't be read. The message has the file's name and the reason.
    """
    return parse_file(path, from_text)


def _run_document(record: Record) -> dict[str, Any]:
    curves: dict[str, dict[str, list[Any]]] = {}
    for point in record.curves:
        curve = curves.setdefault(point.name, {part: [] for part in POINT})
        for part in POINT:
            curve[part].append(getattr(point, part))
    events = [columns(event, without={"id", "run_row"}) for event in record.events]
    return {**columns(record.run, without={"id"}), "curves": curves, "events": events}


def _record(document: dict[str, Any]) -> Record:
    curves, events = document.pop("curves"), document.pop("events")
    run = Run(**typed(Run, document, without={"id"}))
    if run.run_id != run_id(document):
        raise ValueError(f"run {run.run_id} is {run_id(document)} by its content: something of it was changed")
    if run.status not in STATUSES:
        raise ValueError(f"status {run.status!r} of run {run.run_id} is none of {', '.join(STATUSES)}")
    if (run.metric_value is not None) != (run.status == "finished"):
        raise ValueError(f"run {run.run_id} is {run.status} with the metric {run.metric_value}")
    return Record(run, _points(curves), [_event(event) for event in events])


def _points(curves: Mapping[str, Mapping[str, list[Any]]]) -> list[CurvePoint]:
    return [
        CurvePoint(**typed(CurvePoint, {"name": name, **dict(zip(POINT, point, strict=True))}, without={"run_row"}))
        for name, curve in curves.items()
        for point in zip(*(curve[part] for part in POINT), strict=True)
    ]


def _event(document: dict[str, Any]) -> Event:
    event = Event(**typed(Event, document, without={"id", "run_row"}))
    if event.kind not in EVENT_KINDS:
        raise ValueError(f"event {event.kind!r} is none of {', '.join(EVENT_KINDS)}")
    if event.kind == "verified" and event.data.get("rung") not in LADDER:
        raise ValueError(f"rung {event.data.get('rung')!r} is none of {', '.join(LADDER)}")
    if event.kind == "timed" and not (
        isinstance(event.data.get("seconds"), float) and isinstance(event.data.get("hardware"), str)
    ):
        raise ValueError(f"{event.data!r:.80} of an event is no step time: it needs seconds and hardware")
    if event.kind == "asked" and not isinstance(event.data.get("config_source"), dict):
        raise ValueError(
            f"config_source of an event is {event.data.get('config_source')!r:.80}, where dict is expected"
        )
    return event
