"""A suite from a file: it is run, tuned, compared and ranked as others are, and it never passes for another one."""

import re
from pathlib import Path

import pytest

from tests.conftest import CHECKOUT, Bench

TINY = """
summary = "for tests"
tiers = ["10k"]
trials = 1
seeds = 1

[tasks.digits]
max_steps = 5
patience = "none"
"""


@pytest.fixture
def file(bench: Bench) -> Path:
    path = bench.folder / "my.toml"
    path.write_text(TINY)
    return path


def test_a_file_is_run_tuned_and_ranked_under_its_own_name(bench: Bench, file: Path) -> None:
    (listed,) = bench.json("suites", "my.toml")
    assert re.fullmatch("my@[0-9a-f]{8}", listed["name"])
    assert listed["tasks"] == {"digits": {"max_steps": 5, "patience": None}}
    words = ("--suite", "my.toml", "--models", "gru")
    (tuned,) = bench.json("tune", *words)
    assert listed["tasks"]["digits"].items() <= tuned["best"]["config"]["training"].items()
    done = bench.json("suite", *words)
    assert (done["suite"], [run["task"] for run in done["runs"]]) == (listed["name"], ["digits"])
    assert "leaderboard --suite my.toml --budget 10k --wrapper residual" in bench("suite", *words).stdout
    (row,) = bench.json("leaderboard", "--suite", "my.toml")
    assert (row["model"], row["seeds"]) == ("gru", 1)
    (entry,) = bench.json("audit", "--suite", "my.toml")
    assert (entry["suite"], entry["model"]) == (listed["name"], "gru")
    compared = bench.json("compare", "last-values", "--suite", "my.toml")
    assert {row["model"] for row in compared["suite_rows"]} == {"gru", "last-values"}


def test_several_processes_share_a_file(bench: Bench, file: Path) -> None:
    done = bench.json("suite", "--suite", "my.toml", "--models", "bag,last-values", "--workers", "2")
    assert [run["status"] for run in done["runs"]] == ["finished"] * 2


def test_an_edited_file_is_another_suite(bench: Bench, file: Path) -> None:
    def name() -> str:
        return bench.json("suites", "my.toml")[0]["name"]

    before = name()
    bench("suite", "--suite", "my.toml", "--models", "last-values")
    file.write_text(f"# only a remark{TINY}")
    assert name() == before
    file.write_text(TINY.replace("max_steps = 5", "max_steps = 6"))
    assert name() != before
    assert bench.json("leaderboard", "--suite", "my.toml") == []


def test_a_file_never_passes_for_a_registered_suite(bench: Bench, file: Path) -> None:
    file.rename(bench.folder / "quick-v2.toml")
    (listed,) = bench.json("suites", "quick-v2.toml")
    assert listed["name"].startswith("quick-v2@")
    assert "no suite named 'quick-v2@" in bench.refused("leaderboard", "--suite", listed["name"])


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("[tasks.digits]", "[task.digits]", "no field named 'task'. Did you mean 'tasks'? Fields: seeds, summary, "),
        ("trials = 1", "", "trials: Field required."),
        ("trials = 1", "trials = 0", "trials: Input should be greater than 0."),
        ("trials = 1", 'trials = "12"', "trials: Input should be a valid integer."),
        ('["10k"]', '["20k"]', "no tier named '20k'. Did you mean '30k'? Tiers: 100k, 10k, 1M, 30k, 3k."),
        ('["10k"]', "[]", "tiers: List should have at least 1 item"),
        ("seeds = 1", "trials_of.3k = 4", "no tier named '3k'. Tiers: 10k."),
        ("tasks.digits", "tasks.digit", "no task named 'digit'. Did you mean 'digits'?"),
        ("tasks.digits", "tasks.copy", "the task 'copy' is short for 'copy-100': write that."),
        ("tasks.digits", 'tasks."my/task.py"', "the task 'my/task.py' is a path. A suite has registered tasks only"),
        ("max_steps", "max_step", "no setting named 'max_step'. Did you mean 'max_steps'? Settings: batch_size, "),
        ("max_steps = 5", "max_steps = 5.5", "tasks.digits.max_steps: Input should be a valid integer, not 5.5."),
        ("max_steps = 5", "max_steps = -5", "tasks.digits: max_steps=-5 must be positive."),
        (
            "max_steps = 5",
            'lr_schedule = "cos"',
            "tasks.digits.lr_schedule: Input should be 'cosine', 'constant' or 'staircase', not 'cos'.",
        ),
        ("max_steps = 5", "max_steps", "it is not TOML: "),
    ],
)
def test_what_a_file_may_not_say(bench: Bench, file: Path, before: str, after: str, told: str) -> None:
    assert before in TINY
    file.write_text(TINY.replace(before, after))
    assert f"my.toml: {told}" in bench.refused("suites", "my.toml")


def test_a_missing_file_is_refused(bench: Bench) -> None:
    assert "none.toml: no such file can be read" in bench.refused("leaderboard", "--suite", "none.toml")


def test_the_example_of_the_documentation_is_legal(bench: Bench) -> None:
    (example,) = re.findall("```toml\n(.*?)```", (CHECKOUT / "docs" / "tuning.md").read_text("utf-8"), re.DOTALL)
    (bench.folder / "memory.toml").write_text(example)
    (listed,) = bench.json("suites", "memory.toml")
    assert listed["tiers"] == ["10k", "30k"]
