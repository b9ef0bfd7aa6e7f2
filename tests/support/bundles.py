"""Forging bundles: what a cheat would do with the members of an honest one."""

import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bench.bundle.archive import write_members
from bench.bundle.predictions import write_predictions

Members = dict[str, bytes]
Change = Callable[[dict[str, Any]], object]


def members_of(path: Path) -> Members:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def predictions_of(members: Members) -> Any:
    with np.load(io.BytesIO(members["predictions.npz"])) as arrays:
        return arrays["test"]


def forged(members: Members, record: Change | None = None, config: Change | None = None, **files: bytes) -> Members:
    """With changes to the record and the settings, the run's id made to fit them, and other members replaced."""
    documents = {name: json.loads(members[f"{name}.json"]) for name in ("bundle", "config")}
    for name, change in (("bundle", record), ("config", config)):
        if change is not None:
            change(documents[name])
    documents["bundle"]["run_id"] = run_id(documents["bundle"], documents["config"])
    texts = {f"{name}.json": json.dumps(document).encode() for name, document in documents.items()}
    return members | texts | {name.replace("_", "."): content for name, content in files.items()}


def run_id(record: dict[str, Any], config: dict[str, Any]) -> str:
    """As the harness names a run, written once more."""
    names = ("protocol", "model", "wrapper", "task", "task_version", "budget", "seed")
    identity = {name: record[name] for name in names} | {"config": config}
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def with_predictions(members: Members, array: Any, **metric: Any) -> Members:
    """With other predictions, and the metric that is claimed for them."""

    def claim(record: dict[str, Any]) -> None:
        record["metrics"]["test"] |= metric

    return forged(members, claim, predictions_npz=write_predictions({"test": array}))


def write(members: Members, path: Path) -> str:
    path.write_bytes(write_members(members))
    return str(path)


def together(*runs: Members) -> Members:
    """One bundle of several."""
    return {f"{json.loads(run['bundle.json'])['run_id']}/{name}": c for run in runs for name, c in run.items()}


def set_to(path: str, value: Any) -> Change:
    """A change that sets a field; the path has a dot between the objects to go into."""
    *parents, name = path.split(".")

    def change(document: dict[str, Any]) -> None:
        for parent in parents:
            document = document[parent]
        document[name] = value

    return change
