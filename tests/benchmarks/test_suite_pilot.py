"""`benchmarks/suite_pilot.py`: the scores of its table, and what speaks against a task."""

import importlib
from types import ModuleType
from typing import Any

import pytest

from tests.conftest import ROOT

TASK = "digits-by-writer"


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
    return [trial(pilot, model, 4e-3, seed, each) for model, both in scores.items() for seed, each in enumerate(both)]


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


def test_of_the_rates_with_most_seeds_the_best_counts_and_an_unfinished_trial_is_worth_nothing(
    pilot: ModuleType,
) -> None:
    recorded = [
        trial(pilot, "gru", 1e-2, 0, 99), trial(pilot, "gru", 4e-3, 0, 50), trial(pilot, "gru", 4e-3, 1, 60),
        trial(pilot, "gru", 1e-3, 0, 80), trial(pilot, "gru", 1e-3, 1, 90, "diverged"),
    ]  # fmt: skip
    (row,) = pilot.rows([TASK], recorded)
    assert row.scores["gru"] == pytest.approx([50, 60])
    assert row.ratio is None
