"""Each file on the page of one's own tasks is run as it stands there; other data give another run."""

import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.conftest import Bench
from tests.docs.test_code_blocks import blocks

GESTURES, KUZUSHIJI, ITEMS_OF_HUGGING_FACE, READINGS = blocks("your-own-task.md")
SHORT = ("--set", "max_steps=4", "--set", "hidden_size=4")
SPLITS = ("train", "validation", "test")


def written(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def write_table(folder: Path, step: float) -> None:
    rows = (
        (split, ("circle", "line")[i % 2], [step * i * t for t in range(1 + i)]) for i in range(6) for split in SPLITS
    )
    lines = [",".join([split, label, *map(str, values)]) for split, label, values in rows]
    written(folder, "gestures.csv", "\n".join(lines))


def task_of_a_run(bench: Bench, path: str) -> str:
    run = bench.json("run", "--model", "gru", "--task", path, *SHORT)
    assert run["status"] == "finished"
    return run["task"]


def test_a_table_of_series(bench: Bench, tmp_path: Path) -> None:
    path, names = written(tmp_path, "gestures.py", GESTURES), set()
    for step in (0.1, 0.2):
        write_table(tmp_path, step)
        names.add(task_of_a_run(bench, path))
    assert len(names) == 2
    assert {name.partition("@")[0] for name in names} == {"gestures"}
    assert task_of_a_run(bench, f"{path}:gestures-start").startswith("gestures-start@")
    assert bench.json("check", path)["passed"]
    for floor in ("bag", "last-values"):
        assert bench.json("run", "--model", floor, "--task", path, "--set", "max_steps=2")["status"] == "finished"


def test_a_table_of_series_passes_in_the_sandbox(bench: Bench, tmp_path: Path, sandbox: None) -> None:
    assert bench.json("check", written(tmp_path, "gestures.py", GESTURES), "--sandbox")["passed"]


def test_the_message_that_the_page_shows(bench: Bench, tmp_path: Path) -> None:
    path = written(tmp_path, "gestures.py", GESTURES)
    write_table(tmp_path, 0.1)
    table = tmp_path / "gestures.csv"
    table.write_text(re.sub(r"(validation,line,0.0),0.3\d*", r"\1,nan", table.read_text(), count=1))
    said = bench.refused("run", "--model", "gru", "--task", path, *SHORT)
    assert "gestures, validation, sample 3: x has numbers that are not finite. Nothing is recorded." in said
    assert not bench.db.exists()


class Images:
    """Stands for a data set of torchvision or Hugging Face: `seed` stands for its content."""

    seed = 0

    def __init__(self, count: int) -> None:
        rng = np.random.default_rng([count, self.seed])
        self.pixels, self.labels = rng.integers(256, size=(count, 28, 28), dtype=np.uint8), rng.integers(10, size=count)

    def __len__(self) -> int:
        return len(self.labels)


class KMNIST(Images):
    def __init__(self, root: Path, train: bool, download: bool) -> None:
        super().__init__(24 if train else 12)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        return Image.fromarray(self.pixels[index]), int(self.labels[index])


class Rows(Images):
    def with_format(self, name: str) -> "Rows":
        assert name == "numpy"
        return self

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"image": self.pixels[index], "label": self.labels[index]}


def load_dataset(name: str, split: str) -> Rows:
    return Rows({"train": 24, "test": 12}[split])


@pytest.mark.parametrize("rest", ["", f"\n\n{ITEMS_OF_HUGGING_FACE}"], ids=["torchvision", "hugging-face"])
def test_a_data_set_with_items(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rest: str) -> None:
    for name, member in {"torchvision.datasets": KMNIST, "datasets": load_dataset}.items():
        module = ModuleType(name)
        setattr(module, member.__name__, member)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setitem(sys.modules, "torchvision", ModuleType("torchvision"))
    path = written(tmp_path, "kuzushiji.py", KUZUSHIJI + rest)
    names = {task_of_a_run(bench, path)}
    monkeypatch.setattr(Images, "seed", 1)
    names.add(task_of_a_run(bench, path))
    assert len(names) == 2
    assert bench.json("check", path)["passed"]


def test_a_lightning_data_module(bench: Bench, tmp_path: Path) -> None:
    path = written(tmp_path, "readings.py", READINGS)
    first = task_of_a_run(bench, path)
    assert "it is shown, not repeated" in bench("run", "--model", "gru", "--task", path, *SHORT).stderr
    assert bench.json("check", path)["passed"]
    written(tmp_path, "readings.py", READINGS.replace("manual_seed(0)", "manual_seed(1)"))
    assert task_of_a_run(bench, path) != first
