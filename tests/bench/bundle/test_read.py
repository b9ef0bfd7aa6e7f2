"""The reader of bundles: what it gives back, what it refuses, and what that costs the host."""

import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.bundle.archive import identity, read_members, write_members
from bench.bundle.errors import BundleError
from bench.bundle.predictions import compact, read_predictions, write_predictions
from bench.bundle.read import read_bundle
from bench.bundle.schema import Record
from bench.catalog.tiers import TIERS
from bench.common.text import one_line
from db.schema import OPEN, STATUSES
from tests.conftest import CHECKOUT, Bench
from tests.support.hostile.arrays import MARK
from tests.support.hostile.cases import CASES
from tests.support.hostile.common import Members

FUZZ = settings(max_examples=400, derandomize=True, deadline=None, database=None)


def members_of(path: Path) -> Members:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def good(shared_bench: Bench) -> Path:
    """A bundle of one run."""
    run = shared_bench.json("runs", "--model", "gru")[-1]
    shared_bench("bundle", run["run_id"], "-o", "good.zip")
    return shared_bench.folder / "good.zip"


@pytest.fixture(scope="module")
def members(good: Path) -> Members:
    return members_of(good)


# What it gives back


def test_a_bundle_holds_what_was_recorded(good: Path, shared_bench: Bench) -> None:
    (claim,) = read_bundle(good.read_bytes()).claims
    shown = shared_bench.json("show", claim.record.run_id)
    assert claim.record.metrics["test"].model_dump() == {**shown["metric"], "loss": shown["metrics"]["test"]["loss"]}
    assert claim.config.model_dump() == shown["config"]
    assert claim.record.facts.splits == shown["facts"]["splits"]
    assert claim.record.params.model_dump() == shown["params"]
    assert [point._asdict() for point in claim.curves] == shown["curves"]
    assert claim.environment["packages"] == shown["environment"]["packages"]
    assert "data_dir" not in claim.environment["execution"], "a path on the submitter's machine is nobody's business"
    assert claim.fingerprints == shown["facts"]["predictions"]
    assert sum(tensor.count for tensor in claim.tensors.values()) == shown["params"]["total"]


def test_the_record_states_the_metric(members: Members) -> None:
    record = json.loads(members["bundle.json"])
    assert record["schema"] == 1
    assert record["metrics"]["test"].keys() == {"name", "value", "loss"}
    assert set(members) == {"bundle.json", "config.json", "environment.txt", "curves.csv", "predictions.npz",
                            "weights.safetensors"}  # fmt: skip


def test_members_are_stored_and_equal_runs_give_equal_bytes(good: Path, shared_bench: Bench) -> None:
    with zipfile.ZipFile(good) as archive:
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
    run_id = read_bundle(good.read_bytes()).claims[0].record.run_id
    shared_bench("bundle", run_id, "-o", "again.zip")
    assert (shared_bench.folder / "again.zip").read_bytes() == good.read_bytes()


def test_several_runs_have_a_folder_each_and_keep_their_identities(good: Path, shared_bench: Bench) -> None:
    ids = [run["run_id"] for run in reversed(shared_bench.json("runs"))]
    shared_bench("bundle", *ids, "-o", "all.zip")
    path = shared_bench.folder / "all.zip"
    bundle = read_bundle(path.read_bytes())
    assert {claim.record.run_id for claim in bundle.claims} == set(ids)
    assert {name.partition("/")[0] for name in members_of(path)} == set(ids)
    (alone,) = read_bundle(good.read_bytes()).claims
    assert alone.identity in {claim.identity for claim in bundle.claims}
    (failed,) = [claim for claim in bundle.claims if not claim.record.finished]
    assert (failed.record.status, failed.predictions, failed.weights) == ("diverged", {}, b"")


def test_a_bundle_is_named_by_its_content(good: Path, members: Members) -> None:
    reordered = write_members(dict(reversed(members.items())))
    assert read_bundle(reordered).identity == read_bundle(good.read_bytes()).identity
    other = members | {"curves.csv": members["curves.csv"] + b"lr,9,9,1.0\n"}
    assert read_bundle(write_members(other)).identity != read_bundle(good.read_bytes()).identity
    assert identity([b"a", b"b"]) == "ab19ec537f09499b26f0f62eed7aefad46ab9f498e06a7328ce8e8ef90da6d86"


def test_what_zipfile_writes_is_read(members: Members) -> None:
    """Dates, and the fields that numpy puts in front of an array, are no reason to refuse."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    assert len(read_bundle(buffer.getvalue()).claims) == 1
    predictions = io.BytesIO()
    np.savez(predictions, test=np.arange(3, dtype=np.uint8))
    assert read_predictions(predictions.getvalue(), "npz")["test"].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("array", "kind"),
    [(np.array([0, 255]), "|u1"), (np.array([0, 256]), "<u2"), (np.array([0, 1 << 16]), "<i4"),
     (np.array([], np.int32), "|u1"), (np.array([[0.5, -1.5]]), "<f4")],
)  # fmt: skip
def test_predictions_come_back_in_a_compact_type(array: Any, kind: str) -> None:
    (back,) = read_predictions(write_predictions({"test": compact(array)}), "npz").values()
    assert back.dtype.str == kind
    assert np.array_equal(back, array)


def test_the_schema_knows_the_tiers_and_the_statuses() -> None:
    def legal(name: str) -> set[Any]:
        return set(Record.model_json_schema()["properties"][name].get("enum", []))

    assert legal("status") == set(STATUSES) - {OPEN}
    assert set(Record.model_json_schema()["properties"]["budget"]["anyOf"][0]["enum"]) == set(TIERS)


# What it refuses


@pytest.mark.parametrize("name", CASES)
def test_a_hostile_bundle_is_refused_in_one_line(members: Members, name: str) -> None:
    make, message = CASES[name]
    with pytest.raises(BundleError) as refusal:
        read_bundle(make(members))
    assert message in str(refusal.value)
    assert str(refusal.value).isprintable()
    assert len(str(refusal.value)) <= 400


def test_refusing_costs_little_and_does_nothing(good: Path) -> None:
    """Every hostile bundle in one process without torch, each within 512 MiB: nothing is run, opened or written."""
    command = [sys.executable, "-m", "tests.support.hostile.guard", str(good)]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert set(report["cases"]) == set(CASES)
    bad = {name: seen for name, seen in report["cases"].items() if seen["outcome"] != "refused" or seen["deeds"]}
    assert bad == {}
    assert report["torch"] is False
    assert not Path(MARK).exists()


# Fuzzing


def judged(data: bytes) -> str:
    """What a bundle is told: nothing where it is read; no other exception may leave the reader."""
    try:
        read_bundle(data)
    except BundleError as error:
        return str(error)
    return ""


edits = st.lists(
    st.tuples(st.integers(0, 999), st.integers(0, 40), st.one_of(st.binary(max_size=40), st.sampled_from(
        [b"PK\1\2", b"PK\3\4", b"PK\5\6", b"\xff" * 4, bytes(4), b"\x80" * 8, b"}", b'"', b"[" * 500]))),
    min_size=1, max_size=4,
)  # fmt: skip


def edited(data: bytes, changes: list[tuple[int, int, bytes]]) -> bytes:
    """Pieces replaced by others, of the same length or not."""
    for where, length, piece in changes:
        start = where * len(data) // 1_000
        data = data[:start] + piece + data[start + length :]
    return data


@FUZZ
@given(changes=edits)
def test_fuzzed_zips(good: Path, changes: list[tuple[int, int, bytes]]) -> None:
    assert judged(edited(good.read_bytes(), changes)).isprintable()


@FUZZ
@given(data=st.data())
def test_fuzzed_members(members: Members, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(members)))
    assert judged(write_members(members | {name: edited(members[name], data.draw(edits))})).isprintable()


FLOATS = st.floats(allow_subnormal=False)  # training in this process flushes denormals
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.integers(2**62, 2**66) | FLOATS | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


@FUZZ
@given(data=st.data())
def test_fuzzed_documents(members: Members, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(["bundle.json", "config.json"]))
    document = json.loads(members[name])
    place = document
    while True:
        key = data.draw(st.sampled_from(sorted(place)))
        if not isinstance(place[key], dict) or not place[key] or data.draw(st.booleans()):
            break
        place = place[key]
    place[key] = data.draw(json_values)
    assert judged(write_members(members | {name: json.dumps(document).encode()})).isprintable()


@FUZZ
@given(text=st.text(st.characters(), max_size=300))
def test_a_line_of_any_text_is_printable(text: str) -> None:
    line = one_line(text)
    assert line.isprintable()
    assert len(line) <= 200
    assert one_line(line) == line


@FUZZ
@given(content=st.dictionaries(st.text("abc", min_size=1, max_size=3), st.binary(max_size=50), min_size=1, max_size=5))
def test_an_archive_comes_back_as_it_went_in(content: Members) -> None:
    assert read_members(write_members(content), most=5, size_limit=lambda name: 50) == content
