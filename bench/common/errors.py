"""Errors that the command line shows to a user whose request was wrong."""

from collections.abc import Iterable
from difflib import get_close_matches
from importlib.util import find_spec

from bench.common.text import plural


class RequestError(Exception):
    """The request can't be met. The message says what was given, what is legal and what to do."""

    exit_code = 2


class BusyError(RequestError):
    """Another process is working on the same thing."""


def unknown(what: str, given: str, legal: Iterable[str], listing: str | None = None) -> RequestError:
    """Return an error for a name that does not exist; it suggests the nearest legal name.

    Args:
        what: the kind of thing that is named, in the singular, such as "model".
        legal: the names that exist.
        listing: the command that shows all of them.
    """
    names = sorted(legal)
    near = nearest(given, names)
    suggestion = f" Did you mean {near!r}?" if near else ""
    shown = f" ({listing} shows them all)" if listing else ""
    return RequestError(
        f"no {what} named {given!r}.{suggestion} {plural(what).capitalize()}: {', '.join(names)}{shown}."
    )


def nearest(given: str, names: Iterable[str]) -> str | None:
    """Return the name that was probably meant; None where no name is close."""
    return next(iter(get_close_matches(given, sorted(names), n=1, cutoff=0.5)), None)


def require(package: str, extra: str) -> None:
    """Check that a command's package is installed.

    Args:
        extra: the project's extra that installs it.

    Raises:
        RequestError: the package is missing; the message says what to install.
    """
    if find_spec(package) is None:
        raise RequestError(f"this command needs {package}: pip install -e '.[{extra}]'")
