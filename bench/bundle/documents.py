"""Reading untrusted JSON."""

import json
from typing import Any, NoReturn, TypeVar

from pydantic import TypeAdapter, ValidationError

from bench.bundle.errors import BundleError

T = TypeVar("T")


def parse(content: bytes, kind: type[T], where: str) -> T:
    """Return a JSON document as a value of a strict type.

    Args:
        where: what messages call the document.

    Raises:
        BundleError: the first thing that is wrong, and where.
    """
    return validate(load(content, where), kind, where)


def load(content: bytes, where: str) -> Any:
    """Return the value of a JSON document. A name given twice, NaN and Infinity are refused.

    Raises:
        BundleError: it is not JSON in UTF-8, or Python's parser gives up on its depth or on a number's length.
    """
    try:
        return json.loads(content.decode(), object_pairs_hook=_distinct, parse_constant=_refuse_constant)
    except RecursionError:
        raise BundleError(f"{where}: nested too deeply") from None
    except ValueError as error:  # not UTF-8, not JSON, a number of too many digits
        raise BundleError(f"{where}: {error}") from None


def validate(document: Any, kind: type[T], where: str) -> T:
    """Return a document as a value of a strict type.

    Raises:
        BundleError: the document is not of that type.
    """
    try:
        return TypeAdapter(kind).validate_python(document)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        # pydantic puts the kind of our own exceptions before their messages.
        message = first["msg"].removeprefix("Value error, ")
        raise BundleError(": ".join(filter(None, [where, ".".join(map(str, first["loc"])), message]))) from None


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) < len(pairs):
        raise ValueError("a name is given twice")
    return document


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number of JSON")
