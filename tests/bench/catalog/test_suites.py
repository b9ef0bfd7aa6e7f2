"""Suites are frozen: their tasks exist, their settings are legal, their content is what was published."""

from inspect import signature

import pytest

from bench.catalog.registry import find_task, task_names
from bench.catalog.suites import SUITES, find_suite
from bench.catalog.tiers import TIERS
from bench.cli.compare import compare
from bench.cli.options import DEFAULT_SUITE
from bench.cli.probe import probe
from bench.cli.suite import suite
from bench.common.errors import RequestError
from bench.from_python.tables import leaderboard
from datamodules._generated import GeneratedTask
from datamodules._spec import SPLITS
from models.shared.training import Training
from tests.conftest import Bench

DEFAULTS = [(suite, "name"), (compare, "name"), (probe, "suite"), (leaderboard, "suite")]
"""A command and its argument that names a suite."""
PUBLISHED = {
    "quick-v1": "116bd0b76a610fdb",
    "quick-v2": "5cbb38b2273d7424",  # not frozen: docs/tasks.md
    "state-v1": "d1723e01474fdcc2",  # not frozen: docs/tuning.md
    # No result of the following was ever published, so protocol 2 did not have to give them new names.
    "paper-v1": "ccbd6b41befb42cc",
    "long-v1": "e6706c098b8eb1cb",
    "long-v2": "5ea1ea82faa2dade",
    "lra-v1": "318807ea63735e62",
    "lra-v2": "70d5434d874e4e82",
    "gpu-v1": "4fa215107b8198cf",
    "pixels-v1": "353306dbc88d48c5",
}


@pytest.mark.parametrize("name", SUITES)
def test_a_suite_is_what_was_published(name: str) -> None:
    """Never change a hash here: give the changed suite a new version."""
    assert SUITES[name].hash[:16] == PUBLISHED[name]


@pytest.mark.parametrize("name", SUITES)
def test_the_tasks_exist_and_the_settings_are_legal(name: str) -> None:
    suite = find_suite(name)
    assert set(suite.tasks) <= set(task_names())
    assert set(suite.tiers) <= set(TIERS)
    for settings in suite.tasks.values():
        Training(**settings)


def test_quick_is_trained_for_the_published_steps() -> None:
    steps = {task: settings["max_steps"] for task, settings in find_suite("quick-v1").tasks.items()}
    assert steps == {"digits": 1_000, "adding-200": 3_000, "copy-100": 3_000, "mix-sin": 2_000}


@pytest.mark.parametrize("task", find_suite("state-v1").tasks)
def test_state_tasks_are_validated_between_the_lengths_of_training_and_test(task: str) -> None:
    data = find_task(task).build()
    assert isinstance(data, GeneratedTask)
    drawn = {split: data.draw_split(split, 200, data.rng(f"test/{split}")) for split in SPLITS}
    lengths = {split: [part.x.shape[1]] if part.lengths is None else part.lengths for split, part in drawn.items()}
    assert max(lengths["train"]) < min(lengths["validation"])
    assert max(lengths["validation"]) < max(lengths["test"])


def test_no_run_of_a_state_task_ends_early() -> None:
    for settings in find_suite("state-v1").tasks.values():
        assert (settings["end_when_solved"], settings["patience"]) == (False, None)


def test_an_unknown_suite_is_refused_with_a_suggestion() -> None:
    with pytest.raises(RequestError, match="Did you mean 'quick-v1'"):
        find_suite("quick-1")


@pytest.mark.parametrize("words", [("suite", "--models", "gru"), ("tune", "--models", "gru"), ("compare", "gru")])
def test_a_superseded_suite_takes_no_new_runs(bench: Bench, words: tuple[str, ...]) -> None:
    assert "quick-v1 takes no new runs: its order can't be relied on." in bench.refused(*words, "--suite", "quick-v1")


def test_where_no_suite_is_named_the_current_one_is_meant() -> None:
    default = find_suite(DEFAULT_SUITE)
    assert (default.superseded, default.tiers[0]) == (None, "10k")
    named = [signature(command).parameters[name].default for command, name in DEFAULTS]
    assert named == [DEFAULT_SUITE] * len(DEFAULTS)
