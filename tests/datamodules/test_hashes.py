"""Every task draws the same samples in every process and on every machine: hashes are compared with recorded ones.

`golden/task_hashes.json` has, for each variant, the hash of its test split as it is held, where that is generated, and
of the first batch of the tiny test split as a model sees it. A change there means other data: raise the task's
`version` and record again with `python -m tests.datamodules.test_hashes TASK…`. Without a name it records all, slowly.
"""

import json
import sys
from pathlib import Path

import pytest

from bench.catalog.registry import find_task, task_names
from datamodules._base import samples_hash
from datamodules._generated import GeneratedTask
from tests.conftest import GOLDEN

RECORDED = GOLDEN / "task_hashes.json"
NAMES = task_names()
GENERATED = [name for name in NAMES if isinstance(find_task(name).build(), GeneratedTask)]
SLOW = ("pathfinder", "pathfinder-2", "path-x", "path-x-2")


def seen_hash(name: str) -> str:
    task = find_task(name).build(tiny=True)
    return samples_hash(next(iter(task.test_dataloader())))


def split_hash(name: str) -> str:
    return find_task(name).build().split_hash("test")


def recorded(name: str, what: str) -> str:
    hashes = json.loads(RECORDED.read_text()).get(name, {})
    assert what in hashes, (
        f"{name} has no recorded hash ({what}) in {RECORDED}. "
        f"For a new task: python -m tests.datamodules.test_hashes {name}"
    )
    return hashes[what]


def record(words: list[str]) -> None:
    """Record the hashes of some tasks, by the names of variants or of families; of all unless given."""
    chosen = [name for name in NAMES if not words or any(f"{name}-".startswith(f"{word}-") for word in words)]
    if not chosen:
        sys.exit(f"no task named {' or '.join(words)}. Tasks: {', '.join(NAMES)}")
    hashes = json.loads(RECORDED.read_text())
    for name in chosen:
        hashes[name] = {"tiny": seen_hash(name)} | ({"test": split_hash(name)} if name in GENERATED else {})
    text = json.dumps({name: hashes[name] for name in NAMES if name in hashes}, indent=2)
    RECORDED.write_text(text + "\n")


def test_a_task_without_a_recorded_hash_says_how_to_record_it() -> None:
    with pytest.raises(AssertionError, match=r"For a new task: python -m tests\.datamodules\.test_hashes my-task"):
        recorded("my-task", "tiny")


def test_hashes_of_a_task_are_recorded_beside_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = RECORDED.read_text()
    path = tmp_path / "hashes.json"
    path.write_text(json.dumps({name: each for name, each in json.loads(before).items() if name != "digits"}))
    monkeypatch.setattr(sys.modules[__name__], "RECORDED", path)
    record(["digits"])
    assert path.read_text() == before
    with pytest.raises(SystemExit, match="no task named digts"):
        record(["digts"])


@pytest.mark.parametrize("name", NAMES)
def test_the_tiny_test_split_is_as_recorded(name: str) -> None:
    assert seen_hash(name) == recorded(name, "tiny")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in GENERATED]
)
def test_the_test_split_is_as_recorded(name: str) -> None:
    assert split_hash(name) == recorded(name, "test")


if __name__ == "__main__":
    record(sys.argv[1:])
