"""The board's rows, on tables worked out by hand."""

import math

import pytest

from bench.ranking.by_task import leaderboard
from bench.ranking.utility import utility
from tests.support.runs import make_run


@pytest.mark.parametrize(
    ("value", "chance", "solved", "expected"),
    [
        (0.55, 0.1, 1.0, 0.5),
        (1.0, 0.1, 1.0, 1.0),
        (0.05, 0.1, 1.0, 0.0),  # worse than guessing
        (None, 0.1, 1.0, 0.0),
        (math.nan, 0.1, 1.0, 0.0),
        (1 / 6, 1 / 6, 1e-3, 0.0),
        (math.sqrt(1e-3 / 6), 1 / 6, 1e-3, 0.5),  # half of the way on a log scale
        (1e-3, 1 / 6, 1e-3, 1.0),
        (1e-5, 1 / 6, 1e-3, 1.0),
        (0.0, 1 / 6, 1e-3, 1.0),
        (3.0, 1 / 6, 1e-3, 0.0),
        (math.inf, 1 / 6, 1e-3, 0.0),
    ],
)
def test_utility(value: float | None, chance: float, solved: float, expected: float) -> None:
    assert utility(value, chance=chance, solved=solved) == pytest.approx(expected)


def test_rows() -> None:
    runs = [
        make_run("a" * 16, seed=1, metric_value=0.55),
        make_run("b" * 16, seed=0, metric_value=1.0),
        make_run("c" * 16, model="gru", seed=0, metric_value=0.91, params_total=5),
        make_run("d" * 16, model="gru", seed=1, status="diverged", metric_value=None, params_total=5),
        make_run("e" * 16, model="lstm", status="interrupted", metric_value=None),
        make_run(
            "f" * 16, model="rnn", metric_value=0.55, config={"training": {"lr": 2.0}}, config_source={"lr": "flag"}
        ),
    ]
    first, second, third = leaderboard(runs)
    assert (first.model, first.score, first.seeds, first.failures) == ("fru", pytest.approx(75), (0, 1), 0)
    assert (first.learned, second.learned, third.learned) == (1, 1, 0.5)  # utilities: 0.5 and 1; 0.5; 0.9 and 0
    assert (first.params, first.params_core, first.params_embedding, first.params_readout) == (10, 6, 0, 4)
    assert (first.metric_value, first.score_std) == (pytest.approx(0.775), pytest.approx(50 / math.sqrt(2)))
    assert (second.model, second.score, second.settings) == ("rnn", pytest.approx(50), {"lr": 2.0})
    assert (third.model, third.score, third.failures) == ("gru", pytest.approx(45), 1)
    assert (third.metric_value, third.statuses) == (0.91, {"finished": 1, "diverged": 1})


def test_equal_scores_are_ordered_by_parameters() -> None:
    runs = [make_run("a" * 16, params_total=20), make_run("b" * 16, model="gru", params_total=10)]
    assert [row.model for row in leaderboard(runs)] == ["gru", "fru"]


def test_different_settings_tiers_wrappers_and_protocols_are_rows_of_their_own() -> None:
    changes = [{}, {"config": {"model": {"size": 4}}}, {"budget": "10k"}, {"wrapper": "residual"}, {"protocol": 2},
               {"task_version": 2}, {"task": "fashion"}]  # fmt: skip
    runs = [make_run(f"{index:016x}", **change) for index, change in enumerate(changes)]
    assert len(leaderboard(runs)) == len(changes)


def test_another_entry_moves_no_score() -> None:
    runs = [make_run("a" * 16, metric_value=0.3), make_run("b" * 16, model="gru", metric_value=0.8)]
    scores = {row.model: row.score for row in leaderboard(runs)}
    more = {row.model: row.score for row in leaderboard([*runs, make_run("c" * 16, model="lstm", metric_value=1.0)])}
    assert scores.items() <= more.items()
