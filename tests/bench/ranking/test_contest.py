"""Entries that train within an equal time, and what they were trained on."""

from collections.abc import Sequence
from typing import Any

import pytest

from bench.ranking.contest import WRAPPERS, InTier, InTime
from bench.ranking.hardware import hardware
from bench.ranking.rows import SuiteRow
from bench.ranking.suite import rank, rank_suite
from db.schema import Run
from db.standing import Standing, StepTime
from models.shared import wrappers
from tests.bench.ranking.test_suite import FIVE, only_row, runs_of

EPYC = {"cpu": "EPYC", "threads": 2, "gpu": None}
H100 = {"cpu": "Xeon", "threads": 16, "gpu": "H100"}


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        (EPYC, "EPYC, 2 threads"),
        (EPYC | {"threads": 1}, "EPYC, 1 thread"),
        (EPYC | {"cpu_capability": "AVX2"}, "EPYC with AVX2, 2 threads"),
        (H100, "H100"),
        (H100 | {"execution": {"accelerator": "auto", "devices": "1"}}, "H100"),
        (H100 | {"execution": {"accelerator": "gpu", "devices": "4"}}, "H100 × 4"),
        (H100 | {"execution": {"accelerator": "gpu", "devices": "1", "beside": 7}}, "H100, 8 runs at a time"),
        (
            EPYC | {"execution": {"accelerator": "auto", "devices": "1", "beside": 1}},
            "EPYC, 2 threads, 2 runs at a time",
        ),
        (H100 | {"execution": {"accelerator": "cpu", "devices": "1"}}, "Xeon, 16 threads"),
        ({}, "unknown"),
        ({"cpu": ""}, "unknown"),
    ],
)
def test_hardware_in_words(environment: dict[str, Any], words: str) -> None:
    assert hardware(environment) == words


def timed(model: str, seconds: float, accuracies: Sequence[float | None] = FIVE, **changes: Any) -> list[Run]:
    """Two tasks, of which the second takes twice as long."""
    values = {"environment": EPYC} | changes
    runs = runs_of(model, {"a": accuracies}, **values | {"train_seconds": seconds, "samples_per_second": 400.0})
    return runs + runs_of(
        model, {"b": accuracies}, **values | {"train_seconds": 2 * seconds, "samples_per_second": 100.0}
    )


def models(rows: tuple[SuiteRow, ...]) -> list[str]:
    return [row.model for row in rows]


def within(runs: list[Run], seconds: float, machine: str = "EPYC, 2 threads") -> tuple[SuiteRow, ...]:
    return rank(runs, ["a", "b"], InTime(machine, seconds)).rows


def test_time_and_throughput_by_hand() -> None:
    row = only_row(timed("fru", 10), ["a", "b"])
    assert row.train_seconds == pytest.approx(10 + 20)
    assert row.samples_per_second == pytest.approx(200)  # √(400 × 100)
    assert row.hardware == ("EPYC, 2 threads",)


def test_a_step_that_was_measured_alone_decides_the_time() -> None:
    runs = timed("fru", 1e6, steps=50, config={"training": {"batch_size": 8}})
    alone = Standing(step_times={run.run_id: StepTime(0.2 if run.task == "a" else 0.4, "alone") for run in runs})
    (row,) = rank_suite(runs, ["a", "b"], "10k", alone).rows
    assert row.train_seconds == pytest.approx(50 * 0.2 + 50 * 0.4)
    assert row.samples_per_second == pytest.approx((8 / 0.2 * 8 / 0.4) ** 0.5)
    assert row.hardware == ("alone",)
    assert rank(runs, ["a", "b"], InTime("alone", 30), alone).rows == (row,)
    some = Standing(step_times=dict(list(alone.step_times.items())[1:]))
    assert rank_suite(runs, ["a", "b"], "10k", some).rows[0].train_seconds is None  # times of two kinds


def test_seeds_are_averaged_and_failures_left_out_of_the_time() -> None:
    runs = timed("fru", 10, [0.2, 0.4, 0.4, 0.4, None])
    runs[0].train_seconds, runs[4].train_seconds = 14, 1e6  # the last one diverged
    assert only_row(runs, ["a", "b"]).train_seconds == pytest.approx((14 + 3 * 10) / 4 + 20)
    assert only_row(timed("fru", 10, [None] * 5), ["a", "b"]).train_seconds is None


def test_times_of_two_machines_are_no_time() -> None:
    runs = timed("fru", 10)
    runs[3].environment = H100
    row = only_row(runs, ["a", "b"])
    assert (row.hardware, row.train_seconds, row.samples_per_second) == (("EPYC, 2 threads", "H100"), None, None)
    assert within(runs, 1e9) == within(runs, 1e9, "H100") == ()


def test_a_task_without_a_result_has_no_time() -> None:
    row = only_row(runs_of("fru", {"a": FIVE}, environment=EPYC, samples_per_second=3.0), ["a", "b"])
    assert (row.train_seconds, row.samples_per_second) == (None, pytest.approx(3))


def test_what_takes_longer_is_left_out_and_every_size_competes() -> None:
    runs = timed("quick", 10, params_total=9_000)
    runs += timed("large", 20, [0.6, 0.7, 0.7, 0.7, 0.8], budget="100k", params_total=90_000)
    runs += timed("slow", 20.1, [0.9] * 5)
    runs += timed("elsewhere", 1, [1.0] * 5, environment=H100)
    assert models(within(runs, 30)) == ["quick"]
    assert models(within(runs, 60)) == ["large", "quick"]  # the limit itself is within
    assert models(within(runs, 61)) == ["slow", "large", "quick"]
    assert models(within(runs, 29)) == []
    assert models(within(runs, 61, "H100")) == ["elsewhere"]
    assert models(rank(runs, ["a", "b"], InTier("100k")).rows) == ["large"]


def test_ranks_are_among_those_within_the_time() -> None:
    runs = timed("good", 30, [0.90, 0.91, 0.92, 0.93, 0.94])
    runs += timed("fair", 10, [0.50, 0.51, 0.52, 0.53, 0.54], budget="100k")
    runs += timed("poor", 10, [0.10, 0.11, 0.12, 0.13, 0.14])
    assert [(row.model, row.rank_low, row.rank_high) for row in within(runs, 60)] == [("fair", 1, 1), ("poor", 2, 2)]
    assert [row.rank_low for row in within(runs, 90)] == [1, 2, 3]
    # A score is the same in every contest.
    assert within(runs, 60)[1].score == within(runs, 90)[2].score == rank_suite(runs, ["a", "b"], "10k").rows[1].score


def test_fewer_seeds_are_listed_and_not_ranked() -> None:
    (row,) = within(timed("fru", 10, [0.5, 0.6]), 60)
    assert (row.rank_low, row.train_seconds) == (None, pytest.approx(30))


def test_the_wrappers_are_those_that_there_are() -> None:
    assert set(WRAPPERS) == set(wrappers.WRAPPERS)


def blocks(**changes: Any) -> list[Run]:
    """Five entries on one task, two in the residual block and three plain: no two of them overlap."""
    runs = []
    for index, (model, wrapper) in enumerate(
        [("a", "residual"), ("b", "plain"), ("c", "residual"), ("d", "plain"), ("e", "plain")]
    ):
        best = 0.95 - 0.2 * index
        accuracies = [best, best - 0.01, best - 0.02, best - 0.03, best - 0.04]
        runs += runs_of(model, {"t": accuracies}, wrapper=wrapper, params_total=10 + index, **changes)
    return runs


def ranks(rows: tuple[SuiteRow, ...]) -> list[tuple[str, int | None, int | None]]:
    return [(row.model, row.rank_low, row.rank_high) for row in rows]


def test_a_wrapper_is_a_contest_of_its_own() -> None:
    """Five seeds each have 252 dealings, so p = 2/252 for every pair, and Holm multiplies it by the pairs at first.

    All five entries have 10 pairs: 0.079 tells none apart. Three have 3 pairs: 0.024. Two have one: 0.008.
    """
    runs = blocks()
    assert ranks(rank_suite(runs, ["t"], "10k").rows) == [(model, 1, 5) for model in "abcde"]
    residual = rank_suite(runs, ["t"], "10k", wrapper="residual")
    plain = rank_suite(runs, ["t"], "10k", wrapper="plain")
    assert ranks(residual.rows) == [("a", 1, 1), ("c", 2, 2)]
    assert ranks(plain.rows) == [("b", 1, 1), ("d", 2, 2), ("e", 3, 3)]
    assert rank_suite(runs, ["t"], "10k").smallest_difference is None
    assert plain.smallest_difference is not None
    scores = {row.model: row.score for row in rank_suite(runs, ["t"], "10k").rows}
    assert all(scores[row.model] == row.score for row in (*residual.rows, *plain.rows))


def test_the_front_is_that_of_the_wrapper() -> None:
    """a is the best and the smallest of all. b is so among the plain ones."""
    runs = blocks()
    every = {row.model: row.p_front for row in rank_suite(runs, ["t"], "10k").rows}
    plain = {row.model: row.p_front for row in rank_suite(runs, ["t"], "10k", wrapper="plain").rows}
    assert (every["a"], every["b"]) == (1, 0)
    assert plain == {"b": 1, "d": 0, "e": 0}


def test_budget_auc_is_that_of_the_wrapper() -> None:
    tiers = {"10k": 10**4, "100k": 10**5}
    runs = [run for tier, size in tiers.items() for run in runs_of("m", {"t": FIVE}, budget=tier, params_total=size)]
    runs += runs_of("m", {"t": FIVE}, wrapper="residual", params_total=10**4)
    (plain,) = rank(runs, ["t"], InTier("10k", "plain"), tiers=[*tiers]).rows
    (residual,) = rank(runs, ["t"], InTier("10k", "residual"), tiers=[*tiers]).rows
    assert (plain.budget_auc, residual.budget_auc) == (pytest.approx(40), None)


def test_equal_time_within_a_wrapper() -> None:
    runs = blocks(environment=EPYC, train_seconds=30.0)
    (slow,) = (run for run in runs if (run.model, run.seed) == ("d", 0))
    slow.train_seconds = 1_000
    within = InTime("EPYC, 2 threads", 60)
    assert ranks(rank(runs, ["t"], within._replace(wrapper="plain")).rows) == [("b", 1, 1), ("e", 2, 2)]
    assert [row.model for row in rank(runs, ["t"], within).rows] == ["a", "b", "c", "e"]
