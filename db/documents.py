"""Rows of the tables as JSON documents that people can read and `diff` can compare."""

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar, cast

from sqlalchemy import JSON, BigInteger, Column, Table

from db.errors import DamagedError
from db.schema import Base, UtcDateTime

T = TypeVar("T")
OPENED = 4  # levels of a document that have a line for each value: such as document, runs, run, field
KINDS = {JSON: dict, UtcDateTime: datetime}
"""Column type → Python type of its values, where the column type does not say it."""


def to_lines(value: Any, depth: int = 0) -> str:
    """Write JSON: the values of the first OPENED levels have a line each, and each deeper value stays on its line."""
    if depth == OPENED or not value or not isinstance(value, dict | list):
        return json.dumps(value, sort_keys=True, allow_nan=False)
    indent = "\n" + " " * (depth + 1)
    if isinstance(value, list):
        parts, (opening, closing) = [to_lines(part, depth + 1) for part in value], "[]"
    else:
        parts = [f"{json.dumps(name)}: {to_lines(part, depth + 1)}" for name, part in value.items()]
        opening, closing = "{}"
    return opening + indent + f",{indent}".join(parts) + indent[:-1] + closing


def columns(row: Base, without: set[str]) -> dict[str, Any]:
    """Return a row's values for a document, in the order of its table."""
    names = [column.key for column in row.__table__.columns if column.key not in without]
    values = {name: getattr(row, name) for name in names}
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in values.items()}


def typed(row: type[Base], given: Mapping[str, Any], without: set[str]) -> dict[str, Any]:
    """Return a row's values, checked for their columns' types. A nullable column may be newer than the file.

    Raises:
        ValueError: a value is missing, too much or not of its column's type.
    """
    table = {c.key: c for c in cast(Table, row.__table__).columns if c.key not in without}
    needed = {name for name, column in table.items() if not column.nullable}
    if odd := (given.keys() - table.keys()) | (needed - given.keys()):
        names = ", ".join(sorted(map(str, odd)))
        raise ValueError(f"the fields of {row.__tablename__} are not these: {names} is missing or too much")
    return {name: _value(column, given.get(name)) for name, column in table.items()}


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


def parse(text: str, version: int, build: Callable[[dict[str, Any]], T]) -> T:
    """Return what `build` makes of the document that a text holds.

    Args:
        version: what its field `format` must be.
        build: may raise ValueError, TypeError, KeyError or AttributeError where the document is damaged.

    Raises:
        DamagedError: the text is not such a document.
    """
    try:
        document = json.loads(text, parse_constant=_refuse_constant)
        if document["format"] != version:
            raise ValueError(f"format {document['format']!r}, where this code knows {version}: update it (git pull)")
        return build(document)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise DamagedError(f"missing {error}" if isinstance(error, KeyError) else str(error)) from error


def parse_file(path: Path, from_text: Callable[[str], T]) -> T:
    """Return what `from_text` makes of a file.

    Raises:
        DamagedError: the file can't be read. The message has the file's name and the reason.
    """
    try:
        return from_text(path.read_bytes().decode())
    except (OSError, UnicodeDecodeError, DamagedError) as error:
        raise DamagedError(f"{path} is damaged: {error}") from error


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is not a number of JSON")
