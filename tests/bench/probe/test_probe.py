"""`bench probe`: what it measures, keeps and leaves alone."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.catalog.registry import find_model, find_task, task_names
from bench.probe import rungs
from bench.probe.dependency import ends, ladder
from bench.probe.events import UNLESS_ASKED
from bench.probe.extrapolation import extrapolate
from bench.runs.network import build
from bench.runs.settings import Settings
from datamodules._base import SequenceDataModule
from datamodules._generated import GeneratedTask
from datamodules.copy import Copy
from db.store import Store
from models.last_values import LastValues
from models.shared.wrappers import WRAPPERS
from tests.conftest import Bench

SHORT = ("--model", "gru", "--task", "copy", "--set", "max_steps=6", "--lengths", "40,130")
RESIZABLE = ("adding-200", "copy-100", "parity-40", "selective-copy-200", "temporal-order-100", "s3-64", "subtract-100")


@pytest.fixture(scope="module")
def small_data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Generated tasks have few samples, which are kept apart from the real ones."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GeneratedTask, "counts", {"train": 128, "validation": 64, "test": 64})
        yield str(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def bench(tmp_path_factory: pytest.TempPathFactory, small_data: str) -> Bench:
    bench = Bench(tmp_path_factory.mktemp("probes"))
    bench.env["BENCH_CACHE_DIR"] = small_data
    return bench


@pytest.fixture(scope="module")
def probed(tmp_path_factory: pytest.TempPathFactory, small_data: str) -> tuple[Bench, dict[str, Any]]:
    bench = Bench(tmp_path_factory.mktemp("probes"))
    bench.env["BENCH_CACHE_DIR"] = small_data
    return bench, bench.json("probe", *SHORT)


def events(bench: Bench) -> list[Any]:
    return [event for event in Store(str(bench.db), read_only=True).events() if event.kind == "probe"]


# Fresh samples


def generated(name: str) -> GeneratedTask:
    task = find_task(name).build()
    assert isinstance(task, GeneratedTask)
    return task


@pytest.mark.parametrize("name", RESIZABLE)
def test_samples_are_drawn_at_any_length_and_belong_to_no_split(name: str, small_data: str) -> None:
    task = generated(name)
    own_spec, own = task.fresh(50, task.spec.seq_len)
    assert own_spec.output == task.spec.output
    assert own_spec.seq_len == task.spec.seq_len
    for split in ("train", "validation", "test"):
        rows = task.decode(task.draw(50, task.rng(f"{split}/0"))).x.flatten(1)
        assert not (rows[:, None] == own.x.flatten(1)).all(2).any()
    longer_spec, longer = task.fresh(3, 3 * task.spec.seq_len)
    assert longer.x.shape[:2] == (3, 3 * task.spec.seq_len)
    assert longer_spec.seq_len == 3 * task.spec.seq_len
    assert task.spec == own_spec  # the task itself is as it was
    again = generated(name).fresh(3, 3 * task.spec.seq_len)[1]
    assert torch.equal(again.x, longer.x)
    with pytest.raises(ValueError, match="must be at least"):
        task.fresh(1, 0)


def test_longer_samples_are_of_the_same_task() -> None:
    x_NTD, y_N1, _ = generated("adding").fresh(20, 500)[1]
    torch.testing.assert_close((x_NTD[..., 0] * x_NTD[..., 1]).sum(1, keepdim=True), y_N1)
    tokens_NT, answer_N, _ = generated("parity").fresh(20, 77)[1]
    assert torch.equal(tokens_NT.sum(1) % 2, answer_N)
    asked_NT, said_NT, _ = generated("copy").fresh(20, 333)[1]
    assert torch.equal(asked_NT[:, :10], said_NT[:, -10:])


def test_every_family_of_variants_by_length_can_be_drawn_at_any() -> None:
    """Where the variants of a generated task are its name and a length, the probes must reach it."""
    by_length = {find_task(name).family for name in task_names() if name.rpartition("-")[2].isdigit()}
    reached = {find_task(name).family for name in RESIZABLE}
    assert by_length - reached == {"mqar", "mix-poly", "recall", "delay", "fashion", "listops", "pathfinder", "path-x"}
    # pairs, degrees, lengths that are fixed, widths of images, and editions


# The search for the longest dependency


def test_the_ladder_rises() -> None:
    lengths = [variant.build().spec.seq_len for variant in ladder(find_task("copy-1000"))]
    assert lengths == sorted(lengths) == [30, 45, 70, 120, 220, 1020, 2020]


@pytest.mark.parametrize(
    ("solved", "expected"),
    [([True, False], (10, 20)), ([False], (None, 10)), ([True, True], (20, None))],
)
def test_where_the_search_ends(solved: list[bool], expected: tuple[int | None, int | None]) -> None:
    rungs = [{"length": 10 * (index + 1), "solved": each} for index, each in enumerate(solved)]
    assert tuple(ends(rungs).values()) == expected


def test_the_search_climbs_until_a_variant_is_not_solved(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Copy, "variants", {"copy-200": {"delay": 200}, "copy-100": {"delay": 100}})
    words = ("probe", *SHORT[:-2], "--probes", "dependency-length", "--seeds", "2", "--suite", "lra-v2")
    (found,) = bench.json(*words)["probes"]
    assert [(rung["task"], rung["length"], rung["solved"]) for rung in found["rungs"]] == [("copy-100", 120, False)]
    assert (found["longest_solved"], found["first_unsolved"]) == (None, 120)
    assert {(run["task"], run["seed"]) for run in bench.json("runs")} >= {("copy-100", 0), ("copy-100", 1)}
    monkeypatch.setattr(rungs, "THRESHOLD", 0.0)
    (found,) = bench.json(*words)["probes"]
    assert [rung["task"] for rung in found["rungs"]] == ["copy-100", "copy-200"]
    assert (found["longest_solved"], found["first_unsolved"]) == (220, None)
    assert all(len(rung["run_ids"]) == 2 for rung in found["rungs"])


# The training that a task needs


@pytest.mark.slow
def test_training_goes_on_for_longer_until_the_task_is_solved(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("probe", *SHORT[:-2], "--probes", "training-length", "--seeds", "2")
    document = bench.json(*words)
    (found,) = document["probes"]
    assert [(rung["factor"], rung["training"], rung["solved"]) for rung in found["rungs"]] == [
        (1, "6 steps", False), (2, "12 steps", False), (4, "24 steps", False), (8, "48 steps", False),
    ]  # fmt: skip
    assert found["solved_at"] is None
    runs = {run["run_id"]: run for run in bench.json("runs")}
    assert [[runs[each]["steps"] for each in rung["run_ids"]] for rung in found["rungs"]] == [
        [6, 6], [12, 12], [24, 24], [48, 48],
    ]  # fmt: skip
    assert found["rungs"][0]["run_ids"][0] == document["run_id"]
    assert bench.json(*words) == document
    assert len(runs) == len(bench.json("runs")) == 8
    monkeypatch.setattr(rungs, "THRESHOLD", 0.0)
    (found,) = bench.json(*words)["probes"]
    assert ([rung["factor"] for rung in found["rungs"]], found["solved_at"]) == ([1], 1)
    assert "Training length of copy-100: solved at × 1" in bench(*words).stdout


def test_training_in_epochs_is_lengthened_in_epochs(bench: Bench) -> None:
    words = ("--model", "gru", "--task", "digits", "--suite", "long-v2", "--budget", "10k")
    probing = ("probe", *words, "--set", "epochs=1", "--probes", "training-length")
    (found,) = bench.json(*probing)["probes"]
    assert [rung["training"] for rung in found["rungs"]] == ["1 epochs", "2 epochs", "4 epochs", "8 epochs"]


# Length extrapolation


def test_extrapolation_scores_a_known_network() -> None:
    """The last value of a parity sequence is right half the time, at any length."""
    task = generated("parity")
    torch.manual_seed(0)
    model = find_model("last-values").cls
    assert model is LastValues
    network = build(model, WRAPPERS[model.wrapper], Settings.at_width(model, WRAPPERS[model.wrapper], 2), task.spec)
    rows = extrapolate(network, task, 400)
    assert [(row["length"], row["factor"]) for row in rows] == [(40, 1), (80, 2), (160, 4)]
    assert all(abs(row["value"] - 0.5) < 0.1 and 0 <= row["utility"] < 0.2 for row in rows)


# The command


def test_every_probe_is_kept_with_the_run(probed: tuple[Bench, dict[str, Any]]) -> None:
    bench, document = probed
    assert [data["probe"] for data in document["probes"]] == list(UNLESS_ASKED)
    assert document["left_out"] == []
    kept = events(bench)
    assert [event.data for event in kept] == document["probes"]
    assert {event.run_id for event in kept} == {document["run_id"]}
    flow, dependency_length, extrapolation = document["probes"]
    assert [(row["when"], row["length"]) for row in flow["measured"]] == [
        ("initialisation", 40), ("initialisation", 130), ("trained", 40), ("trained", 130),
    ]  # fmt: skip
    assert flow["measured"][0]["input"] != flow["measured"][2]["input"]
    assert len(flow["measured"][1]["input"]) <= 128
    assert dependency_length["training"] == "6 steps"
    assert [row["factor"] for row in extrapolation["lengths"]] == [1, 2, 4]


def test_asked_again_it_is_shown_not_measured_again(probed: tuple[Bench, dict[str, Any]]) -> None:
    bench, document = probed
    assert bench.json("probe", *SHORT) == document
    assert len(events(bench)) == len(UNLESS_ASKED)
    table = bench("probe", *SHORT).stdout
    for words in ("Gradient flow", "Dependency length of copy: none is solved", "Length extrapolation, from T = 120"):
        assert words in table


def test_probes_read_no_test_split(
    probed: tuple[Bench, dict[str, Any]], monkeypatch: pytest.MonkeyPatch, small_data: str
) -> None:
    bench, _ = probed
    forbid_tests(monkeypatch)
    other = bench.json("probe", *SHORT[:-1], "50", "--probes", "gradient-flow,length-extrapolation")
    assert other["probes"][0]["lengths"] == [50]


def forbid_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    split = SequenceDataModule.split

    def refuse(task: SequenceDataModule, name: str) -> Any:
        assert name in ("train", "validation"), "a probe read a test split"
        return split(task, name)

    monkeypatch.setattr(SequenceDataModule, "split", refuse)


def test_a_network_that_is_elsewhere_is_trained_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = bench.json("run", *SHORT[:-2], "--budget", "10k", "--set", "batch_size=64", "--set", "patience=none")[
        "run_id"
    ]
    probe = ("probe", *SHORT[:-1])
    own = bench.json(*probe, "40", "--probes", "gradient-flow")
    assert own["run_id"] == run_id  # the suite's training, and the same run
    (bench.folder / "board-artifacts" / run_id / "weights.safetensors").unlink()
    forbid_tests(monkeypatch)
    document = bench.json(*probe, "40,50", "--probes", "gradient-flow,length-extrapolation")
    again, extrapolation = document["probes"]
    assert [each["trained_again"] for each in (*own["probes"], again, extrapolation)] == [False, True, True]
    assert again["measured"][2] == own["probes"][0]["measured"][1]  # the trained network at 40 steps
    assert [(run["run_id"], run["attempt"]) for run in bench.json("runs")] == [(run_id, 1)]


def test_a_run_that_diverged_has_no_trained_network(bench: Bench) -> None:
    bad = ("--set", "lr=1e20", "--set", "clip_norm=none", "--set", "max_steps=60")
    document = bench.json("probe", *SHORT[:4], *bad, "--lengths", "30", "--probes", "gradient-flow")
    assert {row["when"] for row in document["probes"][0]["measured"]} == {"initialisation"}


def test_a_task_of_one_length_is_measured_there(bench: Bench) -> None:
    document = bench.json("probe", "--model", "gru", "--task", "digits", "--set", "max_steps=3")
    assert document["probes"][0]["lengths"] == [64]
    assert {left["probe"]: "64 steps only" in left["reason"] for left in document["left_out"]} == {
        "dependency-length": True, "length-extrapolation": True,
    }  # fmt: skip


def test_wrong_requests_are_refused(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.runs.presets.FOLDER", tmp_path / "presets")
    fast = ("--set", "max_steps=1")
    assert "at least 21" in bench.refused("probe", "--model", "gru", "--task", "copy", *fast, "--lengths", "20")
    assert "leave --lengths out" in bench.refused(
        "probe", "--model", "gru", "--task", "digits", *fast, "--lengths", "9"
    )
    assert "list of numbers" in bench.refused("probe", "--model", "gru", "--lengths", "many")
    assert "Did you mean 'gradient-flow'?" in bench.refused("probe", "--model", "gru", "--probes", "gradient")
    assert "no preset" in bench.refused("probe", "--model", "gru", "--preset")
    assert not Store(str(bench.db)).runs()  # and nothing was trained
