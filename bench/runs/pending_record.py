"""Keep a result in a file until the database has it, so that no failure of the database loses a training."""

import shlex
import tempfile
from pathlib import Path

from bench.common.whole_files import write_whole
from bench.runs.commands import resume_command
from db.errors import StoreError
from db.record import Record, read_file, to_text
from db.schema import OPEN, Run
from db.store import Store

KEPT = "unrecorded.json"


def record(store: Store, result: Record, folder: Path) -> Run:
    """Record a result. A file in the run's folder keeps it until the database has it.

    Raises:
        StoreError: the database can't take the result; the message says where it is kept and what to do.
    """
    kept = _keep(result, folder / KEPT)
    try:
        recorded = store.record(result.run, result.curves, result.events)
    except Exception as error:
        raise StoreError(f"{error}\n{_advice(result, kept, store)}") from error
    if kept:
        kept.unlink()
    return recorded


def record_kept(store: Store, folder: Path) -> None:
    """Record the result that an earlier attempt could not record, if there is one."""
    kept = folder / KEPT
    if kept.exists():
        (result,) = read_file(kept)
        store.record(result.run, result.curves, result.events)
        kept.unlink()


def _keep(result: Record, place: Path) -> Path | None:
    """Write the result to `place` or, if that fails, to the system's temporary folder. Return the path, if any.

    An attempt that will be resumed is not worth a file outside the run's folder.
    """
    elsewhere = Path(tempfile.gettempdir()) / f"{place.parent.name}-{place.name}"
    for path in [place] if result.run.status == OPEN else [place, elsewhere]:
        try:
            write_whole(path, to_text([result]).encode())
        except OSError:
            continue
        return path
    return None


def _advice(result: Record, kept: Path | None, store: Store) -> str:
    run = result.run
    if run.status == OPEN:
        go_on = resume_command(run.command, store, run.environment["execution"])
        return f"The run had stopped before ({run.reason}). Resume it with:\n  {go_on}"
    if kept is None:
        return f"No file can be written either. Save this and pass it to `bench db import` later:\n{to_text([result])}"
    command = ["python", "-m", "bench", "db", "import", str(kept), "--db", str(store)]
    return f"The result is kept. Record it later with:\n  {shlex.join(command)}"
