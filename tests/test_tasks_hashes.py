"""Every task draws the same samples in every process and on every machine: hashes are compared with recorded ones.

`golden/task_hashes.json` has, for each variant, the hash of its test split as it is held, where that is generated, and
of the first batch of the tiny test split as a model sees it. A change there means other data: raise the task's
`version` and record anew with `python -m tests.test_tasks_hashes`.
"""

import json
from pathlib import Path

import pytest

from bench.registry import find_task, task_names
from datamodules._base import samples_hash
from datamodules._generated import GeneratedTask

RECORDED = Path(__file__).parent / "golden" / "task_hashes.json"
NAMES = task_names()
GENERATED = [name for name in NAMES if isinstance(find_task(name).build(), GeneratedTask)]
SLOW = ("pathfinder", "path-x")


def seen_hash(name: str) -> str:
    task = find_task(name).build(tiny=True)
    return samples_hash(next(iter(task.test_dataloader())))


def split_hash(name: str) -> str:
    return find_task(name).build().split_hash("test")


@pytest.mark.parametrize("name", NAMES)
def test_the_tiny_test_split_is_as_recorded(name: str) -> None:
    assert seen_hash(name) == json.loads(RECORDED.read_text())[name]["tiny"]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in GENERATED]
)
def test_the_test_split_is_as_recorded(name: str) -> None:
    assert split_hash(name) == json.loads(RECORDED.read_text())[name]["test"]


if __name__ == "__main__":
    record = {name: {"tiny": seen_hash(name)} for name in NAMES}
    for name in GENERATED:
        record[name]["test"] = split_hash(name)
    RECORDED.write_text(json.dumps(record, indent=2) + "\n")
