"""`bench new-model` and `bench new-task`: each draft passes its contract as it is, and nothing is written over."""

import doctest
from pathlib import Path

import pytest

from bench.catalog.registry import _import_file
from bench.contributing import drafts
from tests.conftest import Bench

SHORT = ("--set", "max_steps=4", "--set", "hidden_size=4", "--json")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that stands for the checkout."""
    for name in ("models", "datamodules"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(drafts, "ROOT", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("command", "name", "path", "following"),
    [
        ("new-model", "my-rnn", "models/my_rnn.py", ["check", "run --model"]),
        ("new-task", "my-task", "datamodules/my_task.py", ["check", "check --task", "run --model gru --task"]),
    ],
)
def test_a_draft_passes_every_command_that_is_named(
    bench: Bench, root: Path, command: str, name: str, path: str, following: list[str]
) -> None:
    said = bench(command, name).stderr.splitlines()
    assert said[0] == f"Wrote {root / path}. Next:"
    assert said[1:] == [f"  python -m bench {each} {root / path}" for each in following]
    for each in said[1:]:
        words = each.split()[3:]
        bench(*words, *(SHORT if words[0] == "run" else ()))


def test_the_draft_of_a_task_is_ready_to_be_contributed(bench: Bench, root: Path) -> None:
    bench("new-task", "my-task")
    path = root / "datamodules" / "my_task.py"
    module = _import_file(path)
    assert len((module.__doc__ or "").partition(">>>")[0]) > 100
    assert doctest.testmod(module) == (0, 5)
    document = bench.json("check", "--task", f"{path}:my-task-256")
    assert document["task"].startswith("my-task-256@")
    scores = {each["name"]: each["score"] for each in document["shortcuts"]}
    assert max(score for name, score in scores.items() if name != "least-squares") < 5
    assert {"bag", "first-16", "last-16"} < scores.keys()


def test_a_draft_that_is_edited_draws_other_data(bench: Bench, root: Path) -> None:
    bench("new-task", "my-task")
    path = root / "datamodules" / "my_task.py"
    names = {bench.json("run", "--model", "gru", "--task", str(path), *SHORT[:-1])["task"]}
    path.write_text(path.read_text("utf-8").replace("symbols_N2[:, 0])", "symbols_N2[:, 1])"), "utf-8")
    names.add(bench.json("run", "--model", "gru", "--task", str(path), *SHORT[:-1])["task"])
    assert len(names) == 2


@pytest.mark.parametrize("command", ["new-model", "new-task"])
def test_nothing_is_written_over(bench: Bench, root: Path, command: str) -> None:
    bench(command, "mine")
    assert "exists already" in bench.refused(command, "mine")


@pytest.mark.parametrize(
    ("command", "name", "said"),
    [
        ("new-task", "adding-200", "'adding-200' is a task already"),
        ("new-task", "tokens", "'tokens' would hide Tokens, which the draft imports"),
        ("new-model", "tensor", "'tensor' would hide Tensor, which the draft imports"),
    ],
)
def test_a_name_that_is_taken_is_refused(bench: Bench, root: Path, command: str, name: str, said: str) -> None:
    assert said in bench.refused(command, name)
    assert not list(root.rglob("*.py"))


@pytest.mark.parametrize("command", ["new-model", "new-task"])
@pytest.mark.parametrize("name", ["", "MyRnn", "my_rnn", "../x", "9rnn", "a--b", "rnn-"])
def test_an_illegal_name_is_refused(bench: Bench, root: Path, command: str, name: str) -> None:
    assert "no legal name" in bench.refused(command, name)
