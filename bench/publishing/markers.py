"""Finding the markers in a Markdown file and filling what is between them."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from bench.common.errors import RequestError, unknown

OPENING = re.compile(r"^<!-- results: (?P<words>[^>]+?) -->$", re.MULTILINE)
CLOSING = "<!-- end -->"

Render = Callable[[list[str]], str]
T = TypeVar("T")


def filled(path: Path, render: Render) -> str:
    """Return the file's text, with `render` of each marker's words between the marker and its end.

    Raises:
        RequestError: a marker has no end before the next one, or `render` does not know its words. The message names
            the file and the line.
    """
    text, parts, done = path.read_text(encoding="utf-8"), [], 0
    for marker in OPENING.finditer(text):
        where = f"{path}, line {text.count(chr(10), 0, marker.start()) + 1}"
        following = OPENING.search(text, marker.end())
        closing = text.find(f"\n{CLOSING}", marker.end(), following.start() if following else len(text))
        if closing < 0:
            raise RequestError(f"{where}: no line {CLOSING!r} follows {marker[0]!r}.")
        try:
            content = render(marker["words"].split())
        except RequestError as error:
            raise RequestError(f"{where}: {error}") from error
        parts += [text[done : marker.end()], f"\n{content.strip()}"]
        done = closing
    return "".join([*parts, text[done:]])


def looked_up(
    kind: str, words: Sequence[str], known: Mapping[str, tuple[T, tuple[str, ...]]]
) -> tuple[T, Sequence[str]]:
    """Look up the first of a marker's words. Return what it names, and the other words.

    Args:
        kind: what `known` contains, for the error message.
        known: name → what it names and the arguments that this takes; those in brackets may be left out.

    Raises:
        RequestError: the word names nothing, or takes other arguments.
    """
    name, *arguments = words or [""]
    if name not in known:
        raise unknown(kind, name, known)
    found, wanted = known[name]
    needed = [each for each in wanted if not each.startswith("[")]
    if not len(needed) <= len(arguments) <= len(wanted):
        raise RequestError(f"{name} takes {' '.join(wanted) or 'nothing'}; got {' '.join(arguments) or 'nothing'}.")
    return found, arguments


def documents(root: Path) -> list[Path]:
    """Return the README and the pages of docs/, if they have a marker."""
    pages = (root / "README.md", *sorted((root / "docs").glob("*.md")))
    return [path for path in pages if OPENING.search(path.read_text(encoding="utf-8"))]
