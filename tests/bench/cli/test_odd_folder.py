"""A database in a folder whose name has letters that mean something in URLs, by every command that opens it."""

import re
import shlex
from pathlib import Path

import pytest

from tests.conftest import QUICK, Bench

ODD = "exp #1 lr=0.1?50%20x"
TUNE = ("tune", "--model", "gru", "--task", "digits", "--set", "max_steps=2", "--set", "hidden_size=8")


@pytest.fixture
def odd_bench(tmp_path: Path) -> Bench:
    (tmp_path / ODD).mkdir()
    return Bench(tmp_path / ODD)


def test_a_study_is_resumed_in_the_same_file(odd_bench: Bench) -> None:
    odd_bench(*TUNE, "--trials", "1")
    odd_bench(*TUNE, "--trials", "2", "--resume")
    (study,) = odd_bench.json("studies")
    assert study["trials"]["finished"] == 2
    assert [path.name for path in odd_bench.folder.parent.iterdir()] == [ODD]


def test_runs_are_recorded_and_shown(odd_bench: Bench) -> None:
    run = odd_bench.json("run", "--model", "gru", *QUICK)
    assert odd_bench.json("runs")[-1]["run_id"] == run["run_id"]
    assert [path.name for path in odd_bench.folder.parent.iterdir()] == [ODD]


def test_the_command_that_a_message_gives_can_be_copied(odd_bench: Bench) -> None:
    told = odd_bench.refused("runs")
    (command,) = re.findall("`(.*)`", told)
    odd_bench(*shlex.split(command)[3:])
    assert odd_bench.json("runs") == []
