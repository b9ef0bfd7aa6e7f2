"""A run by the path of a file, and the same file registered later: one run, one entry."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import models
from bench.catalog import names, registry
from bench.runs.registration import take_over_drafts
from db.record import Record, from_text, to_text
from db.store import Store
from tests.conftest import Bench
from tests.support.runs import make_run

SHORT = ("--set", "max_steps=4")
Register = Callable[[Path], None]


@pytest.fixture
def register(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Register]:
    """Adds a file to the architectures of the project, from a folder that stands for `models/`."""
    folder = tmp_path / "models"
    folder.mkdir()
    monkeypatch.setattr(models, "__path__", [*models.__path__, str(folder)])
    stems = names.stems

    def with_ours(of: str) -> dict[str, Path]:
        ours = {names.dashed(path.stem): path for path in folder.glob("*.py")} if of == "models" else {}
        return stems(of) | ours

    for module in (names, registry):
        monkeypatch.setattr(module, "stems", with_ours)
    yield lambda path: (folder / path.name).write_bytes(path.read_bytes()) and None
    sys.modules.pop("models.mine", None)


@pytest.fixture
def draft(write_model: Callable[[str, str], Path]) -> Path:
    return write_model("mine", "pass")


def test_it_is_not_trained_again(bench: Bench, draft: Path, register: Register) -> None:
    made = [bench.json("run", "--model", str(draft), *SHORT, "--seed", seed) for seed in "01"]
    register(draft)
    found = bench.json("run", "--model", "mine", *SHORT)
    assert (found["model"], found["finished_at"]) == ("mine", made[0]["finished_at"])
    assert "it is shown, not repeated" in bench("run", "--model", "mine", *SHORT, "--seed", "1").stderr
    board = bench.json("leaderboard", "--task", "digits")
    assert [(row["model"], row["seeds"]) for row in board] == [("mine", [0, 1])]


def test_its_command_weights_curves_and_export_follow(bench: Bench, draft: Path, register: Register) -> None:
    made = bench.json("run", "--model", str(draft), *SHORT)
    store = Store(str(bench.db))
    store.add_event(store.find(made["run_id"])[0], "probe", "measured", {"probe": "gradient-flow"})
    register(draft)
    found = bench.json("run", "--model", "mine", *SHORT)
    assert {"weights.safetensors", "predictions.npz"} <= {
        path.name for path in (store.artifacts / found["run_id"]).iterdir()
    }
    before, after = (store.result(run["run_id"]) for run in (made, found))
    assert after.command == before.command.replace(str(draft), "mine")
    assert [point.value for point in store.curves(after)] == [point.value for point in store.curves(before)]
    assert from_text(to_text([Record(after)]))[0].run.run_id == found["run_id"]
    assert [(event.kind, event.data) for event in store.events(found["run_id"])] == [
        ("registered", {"draft": made["run_id"]}),
        ("probe", {"probe": "gradient-flow"}),
    ]
    assert [(event.kind, event.data) for event in store.events(made["run_id"])[1:]] == [
        ("superseded", {"by": found["run_id"]})
    ]


def test_a_repeated_run_never_counts(bench: Bench, draft: Path, register: Register) -> None:
    for _ in range(2):
        bench("run", "--model", str(draft), *SHORT, "--again")
    register(draft)
    assert "it is shown" not in bench("run", "--model", "mine", *SHORT).stderr
    assert [row["seeds"] for row in bench.json("leaderboard", "--task", "digits")] == [[0]]


def test_another_file_of_the_same_name_is_another_model(
    bench: Bench, draft: Path, register: Register, write_model: Callable[[str, str], Path]
) -> None:
    bench("run", "--model", str(draft), *SHORT)
    register(write_model("mine", "x_BTD = x_BTD * 2"))
    assert "it is shown" not in bench("run", "--model", "mine", *SHORT).stderr
    assert len(bench.json("leaderboard", "--task", "digits")) == 2


def test_a_run_of_its_own_stays(bench: Bench, draft: Path, register: Register) -> None:
    """The draft's, made after it, is withdrawn, and that once."""
    register(draft)
    own = bench.json("run", "--model", "mine", *SHORT)
    made = bench.json("run", "--model", str(draft), *SHORT)
    for _ in range(2):
        assert bench.json("run", "--model", "mine", *SHORT)["finished_at"] == own["finished_at"]
    assert [row["seeds"] for row in bench.json("leaderboard", "--task", "digits")] == [[0]]
    assert [event.kind for event in Store(str(bench.db)).events(made["run_id"])] == ["superseded"]


def test_the_runs_of_a_suite(bench: Bench, draft: Path, register: Register) -> None:
    (bench.folder / "mine.toml").write_text(
        'summary = "one task"\ntiers = ["3k"]\ntrials = 2\nseeds = 2\n'
        'tasks.digits = {max_steps = 4, patience = "none"}\n'
    )
    words = ("suite", "--suite", "mine.toml", "--models")
    made = bench.json(*words, str(draft))["runs"]
    register(draft)
    assert "1 of 2" not in bench(*words, "mine").stderr
    assert len(bench.json("runs", "--model", "mine")) == len(made) == 2


@pytest.mark.parametrize("other", [{"source_hash": "12345678" + "1" * 56}, {"status": "interrupted"}])
def test_what_is_left_alone(tmp_path: Path, other: dict[str, str]) -> None:
    """A file whose hash begins alike, and a run without a result."""
    store, source_hash = Store(str(tmp_path / "board.sqlite")), "12345678" + "0" * 56
    store.record(make_run(**{"model": "mine@12345678", "source_hash": source_hash} | other))
    take_over_drafts("mine", source_hash, store)
    assert [run.model for run in store.runs()] == ["mine@12345678"]
    assert store.events() == []
