"""The series of the package aeon. Without it, its tasks say what to install; with it, they are what their file says."""

from importlib.util import find_spec

import pytest
import torch

from datamodules import series
from datamodules._base import Samples
from datamodules._files import DataError
from datamodules.series import Series
from tests.conftest import Bench

needs_aeon = pytest.mark.skipif(find_spec("aeon") is None, reason="aeon is not installed: long-bench[series]")
SIZES = {
    "series-japanese-vowels": (216, 54, 370), "series-basic-motions": (32, 8, 40), "series-osu-leaf": (160, 40, 242),
    "series-pickup-gesture": (40, 10, 50), "series-arrow-head": (28, 8, 175), "series-acsf1": (80, 20, 100),
}  # fmt: skip


def test_without_the_package_they_are_listed_and_say_what_to_install(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(series, "find_spec", lambda name: None)
    rows = {row["name"]: row for row in bench.json("tasks")}
    assert {rows[name]["available"] for name in SIZES} == {False}
    assert rows["series-acsf1"]["missing"] == "needs the package aeon: pip install 'long-bench[series]'"
    said = bench.refused("run", "--model", "gru", "--task", "series-acsf1")
    assert "series-acsf1 needs the package aeon: pip install 'long-bench[series]'" in said
    assert not bench.json("runs")
    assert bench.json("data", "check", "series-acsf1")[0]["status"] == "absent"


@pytest.mark.parametrize("name", SIZES)
def test_the_tiny_variant_has_the_form_of_the_real_one(name: str) -> None:
    task = Series(name, tiny=True)
    assert task.split("train").x.shape == (64, 12, task.channels)
    assert (task.split("train").lengths is not None) == (name in ("series-japanese-vowels", "series-pickup-gesture"))


@needs_aeon
@pytest.mark.parametrize("name", SIZES)
def test_the_splits_are_the_archives(name: str) -> None:
    task = Series(name)
    assert task.check()
    splits = [task.split(split) for split in task.split_names]
    assert tuple(len(split.y) for split in splits) == SIZES[name]
    assert all(set(split.y.tolist()) == set(range(task.classes)) for split in splits)
    lengths = torch.cat([inside(split).sum(1) for split in splits])
    assert (lengths.min(), lengths.max()) == (task.shortest, task.steps)


@needs_aeon
@pytest.mark.parametrize("name", SIZES)
def test_chance_is_the_commonest_class_of_training_on_the_test_part(name: str) -> None:
    task = Series(name)
    labels = torch.cat([task.split("train").y, task.split("validation").y])
    right = task.split("test").y == labels.bincount().argmax()
    assert right.float().mean().item() == pytest.approx(task.spec.chance)


@needs_aeon
@pytest.mark.parametrize("name", SIZES)
def test_each_channel_is_standardised_by_the_training_split(name: str) -> None:
    samples = Series(name).split("train")
    readings_MD = samples.x[inside(samples)]
    assert readings_MD.mean(0).abs().max() < 0.02
    assert (readings_MD.std(0) - 1).abs().max() < 0.02
    assert samples.x[~inside(samples)].eq(0).all()


@needs_aeon
def test_other_data_than_those_of_the_version_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    task = Series("series-arrow-head")
    monkeypatch.setattr(task, "digest", "0" * 64)
    with pytest.raises(DataError, match="other data of ArrowHead than version 1 of series-arrow-head"):
        task.split("train")


@needs_aeon
def test_a_run_on_real_series(bench: Bench) -> None:
    words = ("--model", "gru", "--set", "max_steps=4", "--set", "hidden_size=4")
    run = bench.json("run", "--task", "series", *words)
    assert (run["task"], run["status"]) == ("series-japanese-vowels", "finished")


def inside(samples: Samples) -> torch.Tensor:
    """Whether a step belongs to its series, (N, T)."""
    steps = samples.x.shape[1]
    lengths = torch.full((len(samples.y),), steps) if samples.lengths is None else samples.lengths
    return torch.arange(steps) < lengths[:, None]
