"""Check the structure of a bundle: the app does this with an upload, and `bench verify` does it first.

A bundle is a zip of the members of one run, or of several runs, each in a folder named by its run_id. Everything is
read in memory, by a fixed list of names. Nothing is unpacked, unpickled, imported or executed, and torch is not needed.
"""

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.bundle.archive import identity, read_members
from bench.bundle.curves import Point, read_curves
from bench.bundle.documents import load, parse, validate
from bench.bundle.errors import BundleError
from bench.bundle.predictions import Array, fingerprint, read_predictions
from bench.bundle.schema import Config, Environment, Record
from bench.bundle.tensors import TensorInfo, read_tensors
from bench.catalog.names import families_of, stems
from bench.common.text import one_line

LARGEST_BUNDLE = 128 << 20  # bytes
MOST_RUNS = 50
LIMITS = {
    "bundle.json": 1 << 16,
    "config.json": 1 << 16,
    "environment.txt": 1 << 16,
    "curves.csv": 4 << 20,
    "predictions.npz": 64 << 20,
    "weights.safetensors": 128 << 20,
}
"""Member → the most bytes that it may have."""
OF_FINISHED = {"predictions.npz", "weights.safetensors"}
"""Members that only a finished run has."""
SEND_AS_IT_IS = "Send the file that `bench bundle` wrote, as it is: unpacking and zipping it again makes another file"
FOLDER = re.compile(r"(?:[0-9a-f]{16}/)?")


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A run as a bundle states it: well-formed, but not yet verified."""

    identity: str
    """Hash of the run's own members, the same in every bundle that holds them."""
    record: Record
    config: Config
    environment: dict[str, Any]
    curves: list[Point]
    predictions: dict[str, Array]
    """Test split → its predictions; empty, as `tensors`, for a run that did not finish."""
    weights: bytes
    tensors: dict[str, TensorInfo]

    @property
    def fingerprints(self) -> dict[str, str]:
        """Test split → the hash of its predictions."""
        return {split: fingerprint(array) for split, array in self.predictions.items()}


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """The runs of a file that was submitted."""

    identity: str
    """Hash of all members."""
    size: int
    """Bytes."""
    claims: list[Claim]


def read_bundle(data: bytes) -> Bundle:
    """Return the runs of a bundle.

    Raises:
        BundleError: what is wrong with it, in one line.
    """
    if len(data) > LARGEST_BUNDLE:
        raise BundleError(f"the bundle has {len(data):,} bytes; {LARGEST_BUNDLE:,} are legal")
    try:
        members = read_members(data, most=MOST_RUNS * len(LIMITS), size_limit=_size_limit)
    except BundleError as error:
        raise BundleError(f"{one_line(error, longest=250)}. {SEND_AS_IT_IS}") from None
    folders: defaultdict[str, dict[str, bytes]] = defaultdict(dict)
    for path, content in members.items():
        folder, _, name = path.rpartition("/")
        folders[folder][name] = content
    if "" in folders and len(folders) > 1:
        raise BundleError("a bundle of several runs has each in a folder; members outside a folder belong to no run")
    claims = [_read_claim(folder, content) for folder, content in sorted(folders.items())]
    return Bundle(identity=identity(members.values()), size=len(data), claims=claims)


def _size_limit(path: str) -> int | None:
    folder, slash, name = path.rpartition("/")
    return LIMITS.get(name) if FOLDER.fullmatch(folder + slash) else None


def _read_claim(folder: str, members: Mapping[str, bytes]) -> Claim:
    prefix = f"{folder}/" if folder else ""
    missing = [name for name in LIMITS if name not in members]
    if "bundle.json" in missing:
        raise BundleError(f"there is no {prefix}bundle.json")
    record: Record = parse(members["bundle.json"], Record, f"{prefix}bundle.json")
    if set(missing) != (set() if record.finished else OF_FINISHED):
        wanted = [name for name in LIMITS if record.finished or name not in OF_FINISHED]
        raise BundleError(f"{prefix or 'the bundle'}: a run that is {record.status} must have {', '.join(wanted)}")
    if folder not in ("", record.run_id):
        raise BundleError(f"the folder {folder} holds run {record.run_id}; a folder is named by its run")
    _check_names(record, prefix)
    claim = Claim(
        identity=identity(members.values()),
        record=record,
        config=parse(members["config.json"], Config, f"{prefix}config.json"),
        environment=_read_environment(members["environment.txt"], f"{prefix}environment.txt"),
        curves=read_curves(members["curves.csv"], f"{prefix}curves.csv"),
        predictions=read_predictions(members["predictions.npz"], f"{prefix}predictions.npz") if record.finished else {},
        weights=members.get("weights.safetensors", b""),
        tensors=read_tensors(members["weights.safetensors"], f"{prefix}weights.safetensors") if record.finished else {},
    )
    _check_agreement(claim, prefix)
    return claim


def _check_names(record: Record, prefix: str) -> None:
    """Compare names with those of the files of this project. No path is made of a name."""
    if record.model not in stems("models"):
        raise BundleError(f"{prefix}bundle.json: there is no model {record.model!r} here; a model is a registered name")
    if not families_of(record.task):
        raise BundleError(f"{prefix}bundle.json: there is no task {record.task!r} here")


def _read_environment(content: bytes, where: str) -> dict[str, Any]:
    """Read a line for each fact, as `name: JSON`."""
    lines = [line.partition(b": ") for line in content.split(b"\n") if line]
    facts = {name.decode("ascii", "replace"): load(value, where) for name, _, value in lines}
    if len(facts) < len(lines):
        raise BundleError(f"{where}: a name is given twice")
    return validate(facts, Environment, where)


def _check_agreement(claim: Claim, prefix: str) -> None:
    """Check that the members agree with one another."""
    record = claim.record
    unknown = record.config_source.keys() - claim.config.flat().keys()
    if unknown:
        raise BundleError(f"{prefix}bundle.json: config_source names no setting: {', '.join(sorted(unknown))}")
    if not record.finished:
        return
    held = sum(tensor.count for tensor in claim.tensors.values())
    if held != record.params.total:
        raise BundleError(f"{prefix}weights.safetensors has {held:,} numbers, bundle.json says {record.params.total:,}")
    tests = record.metrics.keys() - {"train", "validation"}
    if claim.predictions.keys() != tests:
        raise BundleError(f"{prefix}predictions.npz is for {', '.join(sorted(claim.predictions))}; the metrics are not")
