"""Published results: a folder of text files, a file for each entry of a suite, and getting them into a database.

`<suite>/<tier>/<entry>.json` holds runs as `db.record` writes them; `ranking.json` next to them has the boards' rows.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.common.errors import RequestError
from bench.common.root import ROOT
from bench.publishing.study_tables import is_study_file, study_files
from db import trial_record
from db.errors import DamagedError
from db.record import read_file
from db.store import Store

PUBLISHED = ROOT / "db" / "published"
RANKING = "ranking.json"


@dataclass(frozen=True)
class FileOutcome:
    """The result of importing a file."""

    path: Path
    added: int = 0
    """Runs that the database lacked."""
    trials: int = 0
    """Trials of tuning studies that the database lacked."""
    problem: str | None = None


def published_folder() -> Path | None:
    """Where published results are: in the project, or where BENCH_PUBLISHED says; None if it is set to nothing."""
    given = os.environ.get("BENCH_PUBLISHED")
    return PUBLISHED if given is None else Path(given) if given else None


def open_store(db: str | None) -> tuple[Store, list[FileOutcome]]:
    """Open the database for a command that writes: bring it up to date, and add the published results.

    Args:
        db: as `Store` takes it.

    Returns:
        The database, and the result of importing each published file.
    """
    store, folder = Store(db), published_folder()
    return store, list(import_files(store, [folder])) if folder and folder.is_dir() else []


def import_files(store: Store, places: Iterable[Path]) -> Iterator[FileOutcome]:
    """Add what files, and all files in folders, have and the database lacks: runs, and trials of tuning studies.

    Each file is added whole or not at all. A damaged file does not keep the others from being added.

    Raises:
        RequestError: there is no such file or folder.
    """
    seen = {event.data.get("sha256") for event in store.events() if event.kind == "imported"} | store.trial_files()
    for place in places:
        if not place.exists():
            raise RequestError(f"no file or folder {str(place)!r}.")
        for path in [*entry_files(place), *study_files(place)] if place.is_dir() else [place]:
            name = str(path.relative_to(place)) if place.is_dir() else path.name
            yield _import_file(store, path, name, seen)


def entry_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.json") if path.name != RANKING and not is_study_file(path))


def _import_file(store: Store, path: Path, name: str, seen: set[str | None]) -> FileOutcome:
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        if is_study_file(path):
            trials = [] if digest in seen else store.add_trials(trial_record.read_file(path), digest)
            return FileOutcome(path, trials=len(trials))
        records = [] if digest in seen else read_file(path)
    except (OSError, DamagedError) as error:
        return FileOutcome(path, problem=str(error))
    added = store.add_missing(records, {"file": name, "sha256": digest})
    return FileOutcome(path, added=len(added))
