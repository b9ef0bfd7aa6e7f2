"""Making a bundle of recorded runs."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.bundle.archive import write_members
from bench.bundle.curves import Point, write_curves
from bench.bundle.documents import validate
from bench.bundle.read import LARGEST_BUNDLE, MOST_RUNS, OF_FINISHED
from bench.bundle.schema import Record
from bench.common.errors import RequestError
from bench.common.text import counted
from bench.submissions.rows import record_of
from db.schema import OPEN, CurvePoint, Run
from db.store import Store

PRIVATE = ("data_dir",)
"""Fields of `Execution` that a bundle leaves out: paths on the submitter's machine."""


def write_bundle(runs: Sequence[Run], store: Store) -> bytes:
    """Return the zip of runs, with the weights and predictions that they left next to the database.

    Raises:
        RequestError: a run has not ended, its model or task is not registered, its files are missing, or the runs are
            too much for one bundle.
    """
    members: dict[str, bytes] = {}
    for run in runs:
        prefix = f"{run.run_id}/" if len(runs) > 1 else ""
        members |= {prefix + name: content for name, content in _members(run, store).items()}
    data = write_members(members)
    if len(runs) > MOST_RUNS or len(data) > LARGEST_BUNDLE:
        raise RequestError(
            f"{counted(len(runs), 'run')} of {len(data):,} bytes are too much for one bundle: at most {MOST_RUNS} and "
            f"{LARGEST_BUNDLE:,} bytes. Make several bundles."
        )
    return data


def _members(run: Run, store: Store) -> dict[str, bytes]:
    if run.status == OPEN:
        raise RequestError(f"run {run.run_id} was interrupted. Go on with it first:\n  {_go_on(run, store)}")
    if "@" in run.model:
        raise RequestError(
            f"run {run.run_id} is of the file {run.model}, which no host has: contribute the architecture first "
            "(CONTRIBUTING.md), then run it under its name."
        )
    if "@" in run.task:
        raise RequestError(f"run {run.run_id} is of the task {run.task}, which is in no suite and on no board.")
    record = record_of(run)
    validate(record, Record, f"run {run.run_id}")
    return {
        "bundle.json": json.dumps(record, indent=1).encode(),
        "config.json": json.dumps(run.config, indent=1).encode(),
        "environment.txt": _environment(run.environment),
        "curves.csv": write_curves(map(_point, store.curves(run))),
        **(_files(run, store.artifacts / run.run_id) if run.status == "finished" else {}),
    }


def _go_on(run: Run, store: Store) -> str:
    from bench.runs.commands import resume_command  # needs torch, which bundles can do without

    return resume_command(run.command, store, run.environment.get("execution", {}))


def _point(point: CurvePoint) -> Point:
    return Point(point.name, point.epoch, point.step, point.value)


def _environment(facts: Mapping[str, Any]) -> bytes:
    execution = {name: value for name, value in facts.get("execution", {}).items() if name not in PRIVATE}
    return "".join(
        f"{name}: {json.dumps(value)}\n" for name, value in {**facts, "execution": execution}.items()
    ).encode()


def _files(run: Run, folder: Path) -> dict[str, bytes]:
    try:
        return {name: (folder / name).read_bytes() for name in sorted(OF_FINISHED)}
    except OSError as error:
        raise RequestError(
            f"run {run.run_id} can't be bundled: {error.filename} is not there. A bundle is made where the run was; "
            "a run that an older version recorded kept no predictions."
        ) from error
