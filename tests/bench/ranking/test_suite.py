"""The rows of a suite, on tables worked out by hand and on what must hold for every table."""

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import count
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bench.ranking.rank_interval
import bench.ranking.suite
from bench.ranking.contest import InTier
from bench.ranking.rows import Board, SuiteRow
from bench.ranking.suite import rank, rank_suite
from benchmarks.ranking_speed import TASKS, board
from db.schema import Run
from db.standing import Standing
from tests.support.runs import make_run

IDS = count()


def runs_of(
    model: str, accuracies: dict[str, Sequence[float | None]], *, budget: str | None = "10k", **changes: Any
) -> list[Run]:
    """Runs with chance 0 and solved 1, so that the score is 100 × the accuracy; None is a run that diverged."""
    return [
        make_run(
            f"{next(IDS):016x}", model=model, task=task, seed=seed, budget=budget, chance=0.0, metric_value=accuracy,
            status="diverged" if accuracy is None else "finished", **changes,
        )
        for task, values in accuracies.items()
        for seed, accuracy in enumerate(values)
    ]  # fmt: skip


def only_row(runs: list[Run], tasks: Sequence[str], tier: str = "10k") -> SuiteRow:
    (row,) = rank_suite(runs, tasks, tier).rows
    return row


FIVE = [0.2, 0.4, 0.4, 0.4, 0.6]


def test_a_row_by_hand() -> None:
    # As in test_standard_error_by_hand: S = 50, SE = 5, ν = 7.69, t = 2.32: from 38.4 to 61.6.
    # Parameters: 10 − 1 and 5 − 1 outside embedding tables: √(9 × 4) = 6.
    runs = runs_of("fru", {"a": FIVE}, params_total=10, params_embedding=1, params_core=8, state_bytes=4)
    runs += runs_of("fru", {"b": [0.5, 0.5, 0.5, 0.6, 0.9]}, params_total=5, params_embedding=1, params_core=2,
                    state_bytes=16)  # fmt: skip
    row = only_row(runs, ["a", "b"])
    assert (row.rank_low, row.rank_high, row.score) == (1, 1, pytest.approx(50))
    assert (row.score_low, row.score_high) == (pytest.approx(38.4, abs=0.05), pytest.approx(61.6, abs=0.05))
    assert (row.score_low_tasks, row.score_high_tasks) == (pytest.approx(40), pytest.approx(60))
    assert (row.params, row.params_core, row.params_embedding) == (pytest.approx(6), pytest.approx(4), 1)
    assert (row.params_readout, row.state_bytes) == (pytest.approx(4), pytest.approx(8))
    assert (row.tasks_done, row.tasks_total, row.seeds, row.failures) == (2, 2, 5, 0)
    assert (row.p_front, row.budget_auc, row.verification) == (1, None, "self-reported")
    assert [(cell.task, round(cell.score or 0), cell.seeds) for cell in row.tasks] == [("a", 40, 5), ("b", 60, 5)]
    assert row.tasks[0].std == pytest.approx(math.sqrt(200))


def test_failures_count_zero_and_are_counted() -> None:
    # (1 + 1 + 1 + 1 + 0) / 5 = 80%.
    row = only_row(runs_of("fru", {"a": [1, 1, 1, 1, None]}), ["a"])
    assert (row.score, row.failures, row.tasks[0].failures, row.rank_low) == (pytest.approx(80), 1, 1, 1)
    runs = runs_of("fru", {"a": [1, 1, 1, 1, 1]})
    runs[0].status = "timeout"  # whatever its metric says
    assert only_row(runs, ["a"]).score == pytest.approx(80)


def test_an_entry_with_open_cells_is_listed_and_not_ranked() -> None:
    runs = runs_of("done", {"a": FIVE, "b": FIVE}) + runs_of("half", {"a": [0.9] * 5, "b": [0.9, 0.9]})
    runs += runs_of("begun", {"a": [1.0]}) + runs_of("open", {"a": [None]})
    runs[-1].status = "interrupted"
    done, half, begun = rank_suite(runs, ["a", "b"], "10k").rows
    assert (done.model, done.rank_low, done.rank_high) == ("done", 1, 1)
    runs += runs_of("good", {"a": [1.0], "b": [1.0]})  # the best so far, but the least complete
    assert [row.model for row in rank_suite(runs, ["a", "b"], "10k").rows] == ["done", "half", "good", "begun"]
    assert (half.model, half.rank_low, half.rank_high, half.p_front) == ("half", None, None, None)
    assert (half.score, half.tasks_done, half.tasks_total, half.seeds) == (pytest.approx(90), 1, 2, 2)
    assert (begun.model, begun.score, begun.score_low, begun.score_low_tasks) == ("begun", None, None, None)
    assert (begun.tasks_done, begun.seeds, begun.tasks[1].score) == (0, 0, None)


@pytest.mark.parametrize("seeds", [(1, 2, 3, 4, 5), (0, 1, 2, 3, 10_000), (0, 1, 2, 3, 4, 6)])
def test_seeds_that_somebody_chose_are_not_ranked(seeds: tuple[int, ...]) -> None:
    chosen = runs_of("chosen", {"a": [0.9] * len(seeds)})
    for run, seed in zip(chosen, seeds, strict=True):
        run.seed = seed
    whole, other = rank_suite(runs_of("whole", {"a": FIVE}) + chosen, ["a"], "10k").rows
    assert (whole.model, whole.rank_low, whole.tasks_done) == ("whole", 1, 1)
    assert (other.model, other.rank_low, other.tasks_done, other.seeds) == ("chosen", None, 0, len(seeds))


def test_a_cell_with_one_seed_has_no_spread_to_speak_of() -> None:
    row = only_row(runs_of("fru", {"a": [0.5], "b": FIVE}), ["a", "b"])
    assert (row.score, row.score_low, row.score_high) == (pytest.approx(45), None, None)
    assert (row.tasks[0].std, row.tasks[0].no_spread) == (None, False)


def test_cells_without_spread_are_marked() -> None:
    row = only_row(runs_of("fru", {"a": [0.7] * 5, "b": FIVE}), ["a", "b"])
    # Only b has spread: SE² = 40 / 4, ν = 4, t = 2.776: 55 ± 8.78.
    assert [cell.no_spread for cell in row.tasks] == [True, False]
    assert (row.score_low, row.score_high) == (pytest.approx(46.22, abs=0.01), pytest.approx(63.78, abs=0.01))
    row = only_row(runs_of("fru", {"a": [0.7] * 5, "b": [0.1] * 5}), ["a", "b"])
    assert (row.score, row.score_low, row.score_high, row.p_front) == (pytest.approx(40), None, None, 1)
    # The mean of five such scores differs from each of them in the last bit, which is no spread.
    row = only_row(runs_of("fru", {"a": [0.55] * 5}), ["a"])
    assert (row.tasks[0].no_spread, row.tasks[0].std, row.score_low) == (True, 0, None)


def test_ties_share_their_ranks_and_the_smaller_one_stands_first() -> None:
    runs = runs_of("large", {"a": FIVE, "b": FIVE}, params_total=20)
    runs += runs_of("small", {"a": FIVE, "b": FIVE}, params_total=10)
    runs += runs_of("best", {"a": [0.91, 0.92, 0.93, 0.94, 0.95], "b": [0.95] * 5}, params_total=30)
    board = rank_suite(runs, ["a", "b"], "10k")
    assert [(row.model, row.rank_low, row.rank_high) for row in board.rows] == [
        ("best", 1, 1), ("small", 2, 3), ("large", 2, 3),
    ]  # fmt: skip
    assert [row.p_front for row in board.rows[:2]] == [1, 1]
    assert board.smallest_difference is not None


def test_unequal_numbers_of_seeds() -> None:
    runs = runs_of("many", {"a": [0.90, 0.91, 0.92, 0.93, 0.94, 0.95, 0.96]})
    runs += runs_of("few", {"a": FIVE})
    # All of 7 above all of 5, of C(12, 5) = 792 dealings; the other end parts the 5 best from the 7 worst: p = 1/792
    # or 2/792.
    assert [(row.model, row.rank_low, row.seeds) for row in rank_suite(runs, ["a"], "10k").rows] == [
        ("many", 1, 7), ("few", 2, 5),
    ]  # fmt: skip


def test_nothing_and_another_tier() -> None:
    assert rank_suite([], ["a"], "10k") == Board(rows=(), smallest_difference=None)
    elsewhere = runs_of("fru", {"a": FIVE}, budget="1M") + runs_of("fru", {"a": FIVE}, budget=None)
    assert rank_suite(elsewhere + runs_of("fru", {"z": FIVE}), ["a"], "10k").rows == ()
    with pytest.raises(ValueError, match="at least one task"):
        rank_suite([], [], "10k")


def test_wrappers_tunings_and_settings_by_hand_are_entries_of_their_own() -> None:
    changes: list[dict[str, Any]] = [
        {},
        {"wrapper": "residual"},
        {"config_source": {"size": "preset"}},
        {"config_source": {"size": "flag"}},
        {"config_source": {"lr": "flag"}, "wrapper": "third", "config": {"training": {"lr": 1.0}}},
    ]
    rows = rank_suite([run for change in changes for run in runs_of("fru", {"a": FIVE}, **change)], ["a"], "10k").rows
    assert {(row.wrapper, row.tuning, row.settings) for row in rows} == {
        ("plain", "defaults", ""), ("residual", "defaults", ""), ("plain", "tuned", ""),
        ("plain", "defaults", "size=3"), ("third", "defaults", ""),  # training is the suite's business
    }  # fmt: skip


def test_a_cell_that_mixes_protocols_is_refused() -> None:
    runs = runs_of("fru", {"a": FIVE}) + runs_of("fru", {"a": [0.9]}, protocol=2)
    with pytest.raises(ValueError, match="fru plain 10k defaults on a has two results for seed 0"):
        rank_suite(runs, ["a"], "10k")


def test_an_entry_is_as_verified_as_its_least_verified_run() -> None:
    runs = runs_of("fru", {"a": FIVE})
    rungs = {run.run_id: "reproduced" for run in runs}

    def verification(rungs: dict[str, str]) -> str:
        return rank_suite(runs, ["a"], "10k", Standing(rungs=rungs)).rows[0].verification

    assert verification(rungs) == "reproduced"
    assert verification(rungs | {runs[2].run_id: "rescored"}) == "rescored"
    del rungs[runs[0].run_id]
    assert verification(rungs) == "self-reported"


def budget_aucs(runs: list[Run], tier: str, tiers: Sequence[str]) -> list[float | None]:
    return [row.budget_auc for row in rank(runs, ["a"], InTier(tier), tiers=tiers).rows]


def test_budget_auc_needs_all_tiers_of_the_suite() -> None:
    sizes, runs = {"10k": 10**4, "100k": 10**5, "1M": 10**6}, list[Run]()
    for (tier, size), accuracy in zip(sizes.items(), (0.3, 0.6, 0.9), strict=True):
        runs += runs_of("fru", {"a": [accuracy] * 5}, budget=tier, params_total=size)
        assert (budget_aucs(runs, tier, [*sizes]) == [None]) == (tier != "1M")
    # A decade each: (30 + 60 + 90) / 3, and (30 + 60) / 2 in a suite without the largest tier.
    assert budget_aucs(runs, "10k", [*sizes]) == [pytest.approx(60)]
    assert budget_aucs(runs, "10k", ["100k", "10k"]) == [pytest.approx(45)]
    assert budget_aucs(runs, "1M", ["100k", "10k"]) == [None]
    assert budget_aucs(runs[:-1], "1M", [*sizes]) == [None]


def test_the_share_of_seeds_that_learned_by_hand() -> None:
    # Utilities from 0.5 on have learned: 3 of 5 on a; 1 of 4 on b, where a failure has not. (3/5 + 1/4) / 2 = 0.425.
    row = only_row(runs_of("fru", {"a": [0.0, 0.49, 0.5, 0.51, 1.0], "b": [0.9, 0.1, 0.2, None]}), ["a", "b"])
    assert [cell.learned for cell in row.tasks] == [pytest.approx(0.6), pytest.approx(0.25)]
    assert row.learned == pytest.approx(0.425)
    begun = only_row(runs_of("fru", {"a": [0.9]}), ["a", "b"])
    assert ([cell.learned for cell in begun.tasks], begun.learned) == ([1, None], None)


def test_the_front_looks_across_tiers_and_at_the_spread() -> None:
    runs = runs_of("small", {"a": [0.7] * 5}, params_total=100)
    runs += runs_of("worse", {"a": [0.6] * 5}, budget="100k", params_total=1000)
    runs += runs_of("even", {"a": [0.65, 0.68, 0.7, 0.72, 0.75]}, budget="100k", params_total=2000)
    rows = {row.model: row for tier in ("10k", "100k") for row in rank_suite(runs, ["a"], tier).rows}
    assert (rows["small"].p_front, rows["worse"].p_front) == (1, 0)
    assert (rows["small"].rank_high, rows["worse"].rank_high) == (1, 2)  # ranks do not
    assert rows["even"].p_front == pytest.approx(0.5, abs=0.06)  # its mean is the other's score
    more = runs + runs_of("huge", {"a": FIVE}, budget="100k", params_total=9999)
    even = next(row for row in rank_suite(more, ["a"], "100k").rows if row.model == "even")
    assert even.p_front == rows["even"].p_front


def test_twins_are_drawn_apart() -> None:
    runs = runs_of("one", {"a": FIVE, "b": FIVE}) + runs_of("two", {"a": FIVE, "b": FIVE})
    one, two = rank_suite(runs, ["a", "b"], "10k").rows
    assert one.p_front == pytest.approx(0.5, abs=0.06)
    assert (one.p_front or 0) + (two.p_front or 0) == pytest.approx(1)


def test_rows_are_json() -> None:
    row = asdict(only_row(runs_of("fru", {"a": FIVE, "b": [0.5, None]}), ["a", "b"]))
    assert json.loads(json.dumps(row, allow_nan=False))["model"] == "fru"
    asked = {"rank_low", "rank_high", "model", "score", "score_low", "score_high", "params", "tasks_done",
             "tasks_total", "p_front", "budget_auc", "seeds", "failures", "verification"}  # fmt: skip
    assert asked <= row.keys()


accuracy = st.sampled_from([None, 0.0, 0.3, 0.31, 0.5, 0.9, 1.0])
cell = st.lists(accuracy, max_size=6) | st.lists(accuracy, min_size=5, max_size=6)
entry = st.fixed_dictionaries({"a": cell, "b": cell})
tables = st.lists(entry, max_size=4)


def of_tables(entries: list[dict[str, list[float | None]]]) -> list[Run]:
    return [run for e, cells in enumerate(entries) for run in runs_of(f"m{e}", cells, params_total=10 + e % 2)]


@settings(deadline=None, max_examples=60)
@given(tables, entry)
def test_another_entry_changes_no_score(entries: list[Any], another: Any) -> None:
    def own(runs: list[Run]) -> dict[str, Any]:
        return {
            row.model: replace(row, rank_low=None, rank_high=None, p_front=None)
            for row in rank_suite(runs, ["a", "b"], "10k").rows
        }

    runs = of_tables(entries)
    assert own(runs).items() <= own(runs + runs_of("another", another)).items()


@settings(deadline=None, max_examples=60)
@given(tables, st.randoms(use_true_random=False))
def test_the_order_of_seeds_runs_and_tasks_changes_nothing(entries: list[Any], random: Any) -> None:
    before = rank_suite(of_tables(entries), ["a", "b"], "10k")
    runs = of_tables(entries)
    sizes = Counter((run.model, run.task) for run in runs)
    for run in runs:
        run.seed = sizes[run.model, run.task] - 1 - run.seed
    random.shuffle(runs)
    assert rank_suite(runs, ["b", "a"], "10k") == before


@settings(deadline=None, max_examples=60)
@given(tables)
def test_ranks_are_intervals_among_the_ranked(entries: list[Any]) -> None:
    rows = rank_suite(of_tables(entries), ["a", "b"], "10k").rows
    ranked = [row for row in rows if row.rank_low is not None]
    assert list(rows[: len(ranked)]) == ranked
    assert all(row.seeds >= 5 for row in ranked)
    assert all(1 <= row.rank_low <= row.rank_high <= len(ranked) for row in ranked if row.rank_low and row.rank_high)
    assert not ranked or (ranked[0].rank_low, ranked[-1].rank_high) == (1, len(ranked))
    assert [row.score for row in ranked] == sorted((row.score for row in ranked), key=lambda score: -(score or 0))


def test_ten_thousand_runs_are_few_vectorised_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pairs of a board of 20 × 10 × 5 runs are tested together."""
    calls: list[int] = []

    def counted(values: Any, pairs: Any) -> Any:
        calls.append(len(pairs))
        return p_values(values, pairs)

    p_values = bench.ranking.rank_interval.p_values
    monkeypatch.setattr(bench.ranking.rank_interval, "p_values", counted)
    rank_suite(board(np.random.default_rng(5)), TASKS, "10k")
    assert calls == [190]


def test_an_equal_table_is_ranked_once() -> None:
    first, again = board(np.random.default_rng(6)), board(np.random.default_rng(6))
    assert rank_suite(first, TASKS, "10k") is rank_suite(again, TASKS, "10k")
    again[0].status = "oom"
    assert rank_suite(first, TASKS, "10k") is not rank_suite(again, TASKS, "10k")
