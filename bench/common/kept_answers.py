"""Answers that are kept on disk, so that a command which was called before need not import torch.

An answer is kept with what it was made from: the project's code and settings, the installed packages, and each file
that was read or looked for meanwhile. It counts as long as all of that is as it was; else it is made again. Where
nothing can be kept, in a folder that is read-only, say, every answer is made.
"""

import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from bench.common.root import ROOT
from bench.common.whole_files import write_whole
from datamodules._files import LOOKED_FOR, cache_folder

CODE = (".py", ".toml", ".json", ".csv")
"""Files of the project that answers follow from, wherever they are in FOLDERS."""
FOLDERS = ("bench", "datamodules", "db", "models")
PUBLISHED = "published"  # results: large, and no answer follows from them before they are in a database
LIVE = ("/proc/", "/sys/", "/dev/")  # these change all the time
WRITES = os.O_WRONLY | os.O_RDWR
GRAIN = 2 * 10**9  # ns: the coarsest clock of a file system, FAT's

Stamp = list[int] | None
"""Time of change in ns, size and number of a file; None where there is none."""

_watched: list[dict[str, Stamp]] = []  # of the answers that are being made


def kept(make: Callable[[], Any], *question: Any, state: Any = None) -> Any:
    """Return what `make` returns, or what it returned to the same question when all that it follows from was the same.

    Args:
        make: returns what JSON can hold, and is given back as JSON holds it. It is called if no answer is kept.
        question: what was asked, as JSON can hold it. The first item is a name that no other kind of question has.
        state: what the answer follows from besides code, packages and files that Python opens, such as the version of
            a database. Of each question one answer is kept, to the last state.
    """
    place, basis = _place(question), _hash([_basis(), state])
    answer = _read(place, basis) if place else None
    if answer is None:
        with _watching() as seen:
            answer = {"basis": basis, "seen": seen, "answer": make()}
        text = json.dumps(answer)
        answer = json.loads(text)
        if place:
            with suppress(OSError):
                write_whole(place, text.encode())
    for outer in _watched:  # answers that this one is a part of: they follow from the same, not from where it is kept
        outer.update(answer["seen"])
        outer.pop(os.path.abspath(place or ""), None)
    return answer["answer"]


def folder() -> Path | None:
    """Return the folder of kept answers; None where nothing is to be kept."""
    return cache_folder() / "answers"


def _place(question: Iterable[Any]) -> Path | None:
    kept_in = folder()
    return kept_in / f"{_hash(question)}.json" if kept_in else None


def _basis() -> str:
    """Return the hash of the project's code and settings, of the installed packages, and of the places of data."""
    packages = [name for place in sys.path for name in _names(place) if name.endswith((".dist-info", ".egg-info"))]
    places = [os.path.abspath(os.environ.get(name, "")) for name in ("BENCH_DATA_DIR", "BENCH_CACHE_DIR")]
    return _hash([sys.version, sorted(packages), places, _code()])


def _code() -> list[tuple[str, str]]:
    found = []
    for top in FOLDERS:
        for place, inner, names in os.walk(ROOT / top):
            inner[:] = [name for name in inner if name != PUBLISHED]
            for name in names:
                if name.endswith(CODE):
                    path = os.path.join(place, name)
                    with open(path, "rb") as file:
                        found.append((path, hashlib.sha256(file.read()).hexdigest()))
    return sorted(found)


def _names(place: str) -> list[str]:
    try:
        return os.listdir(place)
    except OSError:  # an entry of sys.path need not exist, or be a folder
        return []


def _hash(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def stamp(path: str | Path) -> Stamp:
    """Return what tells a file from others, and from itself before a change.

    A file that has just been changed may change again before the clock of the file system moves on. Its stamp is
    therefore one that it never gets again.
    """
    try:
        found = os.stat(path)
    except OSError:
        return None
    now = time.time_ns()
    return [now] if abs(now - found.st_mtime_ns) < GRAIN else [found.st_mtime_ns, found.st_size, found.st_ino]


def sqlite_stamps(path: Path) -> list[Stamp]:
    """Return the stamps of an SQLite file and of its log. Readers make and remove an empty log: it counts as none."""
    log = Path(f"{path}-wal")
    return [stamp(path), stamp(log) if log.exists() and log.stat().st_size else None]


def _read(place: Path, basis: str) -> dict[str, Any] | None:
    """Return what is kept, if it still counts."""
    try:
        found = json.loads(place.read_bytes())
    except (OSError, ValueError):  # there is none, or it is damaged
        return None
    match found:
        case {"basis": before, "seen": dict(seen), "answer": _} if before == basis:
            return found if all(stamp(path) == then for path, then in seen.items()) else None
    return None


@contextmanager
def _watching() -> Iterator[dict[str, Stamp]]:
    """Yield path → stamp of the files that are read or looked for meanwhile."""
    _listen()
    seen: dict[str, Stamp] = {}
    _watched.append(seen)
    try:
        yield seen
    finally:
        _watched[:] = [each for each in _watched if each is not seen]  # `remove` would take an equal one


@cache
def _listen() -> None:
    """Begin to notice files. Python offers no end of that."""
    sys.addaudithook(_notice)


def _notice(event: str, details: tuple[Any, ...]) -> None:
    if not _watched or event not in ("open", LOOKED_FOR):
        return
    path = details[0]
    if event == "open" and (not isinstance(path, str | Path) or details[2] & WRITES):
        return
    name = os.path.abspath(path)
    if not name.endswith((".py", ".pyc")) and not name.startswith(LIVE):
        for seen in _watched:
            seen.setdefault(name, stamp(name))
