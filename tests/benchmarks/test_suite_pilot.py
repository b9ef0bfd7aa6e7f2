"""`benchmarks/suite_pilot.py`: the scores of its table, and what speaks against a task."""

import importlib
from types import ModuleType
from typing import Any

import pytest

from bench.catalog.suites import find_suite
from tests.conftest import ROOT

TASK, IMAGES = "recall-32", "digits-by-writer"


@pytest.fixture(scope="module")
def pilot() -> Any:
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(ROOT / "benchmarks")
        yield importlib.import_module("suite_pilot")


def trial(
    pilot: ModuleType, model: str, lr: float, seed: int, score: float, status: str = "finished"
) -> dict[str, Any]:
    """A trial whose best evaluation has this score."""
    chance = pilot.spec_of(TASK).chance
    best = chance + score / 100 * (1 - chance)
    return {"task": TASK, "model": model, "lr": lr, "seed": seed, "status": status, "steps": 2, "core_seconds": 60.0,
            "curve": [[1, best], [2, chance]]}  # fmt: skip


def trials(pilot: ModuleType, scores: dict[str, tuple[float, float]]) -> list[dict[str, Any]]:
    return [trial(pilot, model, 4e-3, seed, each)
            for model, both in scores.items() for seed, each in zip(pilot.SEEDS, both, strict=True)]  # fmt: skip


CLEAR = {"gru": (90, 94), "lstm": (48, 50), "rnn": (20, 22), "lru": (10, 14)}


def test_a_task_that_tells_architectures_apart_is_kept(pilot: ModuleType) -> None:
    (row,) = pilot.rows([TASK], trials(pilot, CLEAR | {"none": (30, 40)}))
    assert row.verdict == "keep"
    assert "none" not in row.scores
    assert row.floor == pytest.approx(35)
    assert row.scores["gru"] == pytest.approx([90, 94])
    within = (8 + 2 + 2 + 8) / 4  # the mean variance of two seeds
    means = [92, 49, 21, 12]
    between = sum((mean - 43.5) ** 2 for mean in means) / 3 - within / 2
    assert row.ratio == pytest.approx(between / within)


@pytest.mark.parametrize(
    ("scores", "against"),
    [
        (CLEAR | {"gru": (60, 64)}, "nobody reaches 90"),
        (CLEAR | {"rnn": (60, 62), "lstm": (60, 62)}, "fewer than 3 under 50"),
        ({"gru": (100, 90), "lstm": (0, 60), "rnn": (60, 0), "lru": (0, 50)}, "seeds vary too much"),
    ],
)
def test_what_speaks_against_a_task(pilot: ModuleType, scores: dict[str, tuple[float, float]], against: str) -> None:
    (row,) = pilot.rows([TASK], trials(pilot, scores))
    assert row.verdict == against


def test_of_images_the_variance_is_enough(pilot: ModuleType) -> None:
    scores = {"gru": (60, 62), "lstm": (70, 72), "rnn": (80, 82)}
    recorded = [trial | {"task": IMAGES} for trial in trials(pilot, scores)]
    (row,) = pilot.rows([IMAGES], recorded)
    assert row.verdict == "keep"


def test_the_rate_with_the_best_mean_counts_and_an_unfinished_trial_is_worth_nothing(
    pilot: ModuleType,
) -> None:
    first, second = pilot.SEEDS
    recorded = [
        trial(pilot, "gru", 1e-2, first, 80), trial(pilot, "gru", 4e-3, first, 50),
        trial(pilot, "gru", 1.5e-3, first, 90, "diverged"), trial(pilot, "gru", 1e-2, second, 60),
    ]  # fmt: skip
    (row,) = pilot.rows([TASK], recorded[:3])
    assert row.scores["gru"] == pytest.approx([80])
    assert row.ratio is None
    (row,) = pilot.rows([TASK], recorded)
    assert row.scores["gru"] == pytest.approx([80, 60])
    unlucky = [*recorded[:3], trial(pilot, "gru", 1e-2, second, 10), trial(pilot, "none", 4e-3, first, 0)]
    assert pilot.missing_jobs([TASK], ["gru"], unlucky) == [pilot.Job(TASK, "gru", 4e-3, second)]
    (row,) = pilot.rows([TASK], [*unlucky, trial(pilot, "gru", 4e-3, second, 44)])
    assert row.scores["gru"] == pytest.approx([50, 44])


def test_other_rates_are_tried_where_they_may_help_and_the_second_seed_comes_last_but_not_for_the_floor(
    pilot: ModuleType,
) -> None:
    scores = {
        ("gru", 4e-3): 95, ("lstm", 4e-3): 10, ("lstm", 1e-2): 20, ("rnn", 4e-3): 10, ("rnn", 1e-2): 10,
        ("rnn", 1.5e-3): 5, ("none", 4e-3): 0,
    }  # fmt: skip
    recorded: list[dict[str, Any]] = []
    stages = []
    while jobs := pilot.missing_jobs([TASK], ["gru", "lstm", "rnn"], recorded):
        stages.append([(job.model, job.lr, job.seed) for job in jobs])
        recorded += [trial(pilot, job.model, job.lr, job.seed, scores[job.model, job.lr]) for job in jobs]
    first, second = pilot.SEEDS
    assert stages == [
        [("gru", 4e-3, first), ("lstm", 4e-3, first), ("rnn", 4e-3, first), ("none", 4e-3, first)],
        [("lstm", 1e-2, first), ("rnn", 1e-2, first)],
        [("rnn", 1.5e-3, first)],
        [("gru", 4e-3, second), ("lstm", 1e-2, second), ("rnn", 4e-3, second)],
    ]


def test_the_documentation_has_the_table_of_what_is_recorded(pilot: ModuleType) -> None:
    tasks = list(find_suite("quick-v2").tasks)
    table = pilot.as_markdown(list(pilot.rows(tasks, pilot.read(pilot.RECORDED / "quick-v2.jsonl"))))
    assert table in (ROOT / "docs" / "tasks.md").read_text(encoding="utf-8")
