"""`benchmarks/tuning_regret.py`: what it looks up and counts, and that a recording goes on where it was stopped."""

import importlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.conftest import ROOT

RATES = [1e-3, 1e-2]
STEPS = (10, 20, 30, 40)
CHANCE, SOLVED = 0.1, 1.0  # of digits


@pytest.fixture(scope="module")
def regret() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(ROOT / "benchmarks")
        yield importlib.import_module("tuning_regret")


def trial(lr: float, decay: float, seed: int, *values: float, status: str = "finished") -> dict[str, Any]:
    curve = list(zip(STEPS, values, strict=False))
    settings = {"lr": lr, "weight_decay": decay}
    return {"settings": settings, "seed": seed, "status": status, "steps": curve[-1][0], "core_seconds": 1.0,
            "curve": curve}  # fmt: skip


def document() -> dict[str, Any]:
    """Cells that end at 0.5 (0.46 and 0.54), 0.3, 0.2 and, for one seed that diverged, at 0.55 and nothing."""
    trials = [
        trial(1e-3, 0.0, 0, 0.1, 0.2, 0.3, 0.3), trial(1e-3, 0.0, 1, 0.1, 0.2, 0.3, 0.3),
        trial(1e-3, 0.1, 0, 0.1, 0.1, 0.1, 0.2), trial(1e-3, 0.1, 1, 0.1, 0.1, 0.2, 0.2),
        trial(1e-2, 0.0, 0, 0.4, 0.4, 0.4, 0.46), trial(1e-2, 0.0, 1, 0.5, 0.54, 0.5, 0.4),
        trial(1e-2, 0.1, 0, 0.5, 0.5, 0.55, 0.5), trial(1e-2, 0.1, 1, 0.5, 0.5, status="diverged"),
    ]  # fmt: skip
    return {"model": "gru", "wrapper": "residual", "task": "digits", "budget": "10k", "steps": 40, "protocol": 2,
            "axes": {"lr": RATES, "weight_decay": [0.0, 0.1]}, "defaults": {"lr": 3e-3, "weight_decay": 0.0},
            "trials": trials}  # fmt: skip


def score(value: float) -> float:
    return 100 * (value - CHANCE) / (SOLVED - CHANCE)


def test_a_cells_score_is_the_mean_of_both_seeds_and_nothing_for_one_that_did_not_finish(regret: ModuleType) -> None:
    grid = regret.Grid(document())
    assert grid.is_complete
    assert grid.scores == pytest.approx({
        (1e-3, 0.0): score(0.3), (1e-3, 0.1): score(0.2), (1e-2, 0.0): score(0.5), (1e-2, 0.1): score(0.55) / 2,
    })  # fmt: skip
    lacking = document()
    del lacking["trials"][3]
    assert not regret.Grid(lacking).is_complete


class Fixed:
    """A trial whose settings are given."""

    def __init__(self, **settings: Any) -> None:
        self.settings = settings

    def suggest_float(self, name: str, *_: Any, **__: Any) -> Any:
        return self.settings[name]

    suggest_categorical = suggest_float


@pytest.mark.parametrize(("rate", "nearest"), [(1e-4, 1e-3), (3.1e-3, 1e-3), (3.2e-3, 1e-2), (3e-2, 1e-2)])
def test_the_nearest_cell_is_that_of_the_logarithm(regret: ModuleType, rate: float, nearest: float) -> None:
    assert regret.Grid(document()).suggest(Fixed(lr=rate, weight_decay=0.1)) == (nearest, 0.1)


def test_a_study_of_one_trial_is_the_defaults(regret: ModuleType) -> None:
    study = regret.replay(regret.Grid(document()), regret.Candidate("random", "none"), 1, 0)
    assert study.regret == pytest.approx(score(0.5) - score(0.3))
    assert (study.steps, study.whole) == (40, 40)


@pytest.mark.parametrize("sampler", ["random", "hypercube", "hypercube, TPE"])
def test_without_pruning_a_good_cell_is_found_and_every_step_is_spent(regret: ModuleType, sampler: str) -> None:
    """In the cell of the best trial the other seed diverged. So the best value is not the best score."""
    grid = regret.Grid(document())
    studies = [regret.replay(grid, regret.Candidate(sampler, "none"), 12, number) for number in range(20)]
    good = {0.0, round(score(0.5) - score(0.55) / 2, 6)}
    assert sum(round(study.regret, 6) in good for study in studies) >= 16, "a study may miss these cells"
    assert all(study.steps == study.whole for study in studies)
    assert len({study.whole for study in studies}) > 1, "studies differ"
    assert studies[3] == regret.replay(grid, regret.Candidate(sampler, "none"), 12, 3), "and can be repeated"


def test_pruning_spends_the_steps_until_the_evaluation_that_prunes(regret: ModuleType) -> None:
    import optuna

    study = optuna.create_study(direction="maximize", pruner=optuna.pruners.ThresholdPruner(lower=0.15))
    grid = regret.Grid(document())
    spent = [regret.look_up(study, study.ask(), grid.traces[cell][seed], grid)
             for cell, seed in (((1e-3, 0.0), 0), ((1e-2, 0.0), 0), ((1e-2, 0.1), 1))]  # fmt: skip
    assert spent == [10, 40, 20]
    assert [trial.state.name for trial in study.trials] == ["PRUNED", "COMPLETE", "FAIL"]
    assert study.trials[1].value == 0.46


def test_a_row_is_the_mean_over_grids_and_the_percentile_over_all(regret: ModuleType) -> None:
    losses = {"a": [0.0] * 18 + [10.0, 20.0], "b": [5.0] * 20}
    studies = {name: [regret.Replayed(loss, 30, 60) for loss in those] for name, those in losses.items()}
    row = regret.row(regret.Candidate("random", "none"), studies)
    assert (row.mean, row.worst, row.share, row.replays) == (pytest.approx(3.25), 5.0, 0.5, 40)
    assert row.high == pytest.approx(5.25), "0.05 of the way from the 38th to the 39th of forty"
    assert not row.reaches_aim


def test_the_table_names_the_best_within_the_steps(
    regret: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "gru-residual-digits.json").write_text(json.dumps(document()))
    (tmp_path / "half.json").write_text(json.dumps(document() | {"trials": document()["trials"][:5]}))
    paths = regret.grid_files(tmp_path, [])
    assert [path.stem for path in paths] == ["gru-residual-digits"]
    regret.show(regret.compare(paths, trials=4, replays=3, workers=1))
    said = capsys.readouterr()
    assert said.out.count("\n| random |") == len(regret.pruners())
    assert "Aim: mean ≤ 2" in said.out
    assert "\nBest" in said.out
    assert "half is not complete" in said.err


@pytest.fixture
def pair(regret: ModuleType) -> Any:
    return regret.Pair("gru", "residual", "digits", 20, {"chrono": [False, True]})


def test_a_recording_goes_on_where_it_was_stopped(
    regret: ModuleType, pair: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trial of each grid in turn, and each cell and seed once."""
    pairs = [replace(pair, wrapper="plain"), pair]
    made: list[tuple[str, tuple[Any, ...], int]] = []

    def train(pair: Any, settings: dict[str, Any], seed: int) -> dict[str, Any]:
        if len(made) == 5:
            made.append(("", (), 0))
            raise KeyboardInterrupt
        made.append((pair.wrapper, tuple(settings.values()), seed))
        return trial(settings["lr"], 0.0, seed, 0.5) | {"settings": settings}

    monkeypatch.setattr(regret, "train_cell", train)
    with pytest.raises(KeyboardInterrupt):
        regret.record(tmp_path, pairs, 1)
    assert [wrapper for wrapper, *_ in made[:5]] == ["plain", "residual", "plain", "residual", "plain"]
    assert "5 of 48; about 1 minutes of core time" in capsys.readouterr().out
    regret.record(tmp_path, pairs, 1)
    assert "43 trials to train in 2 grids" in capsys.readouterr().out
    assert len(made) == len(set(made)) == 49
    assert [path.stem for path in regret.grid_files(tmp_path, [])] == ["gru-plain-digits", "gru-residual-digits"]


def test_a_grid_that_was_recorded_otherwise_is_not_added_to(regret: ModuleType, pair: Any, tmp_path: Path) -> None:
    regret.Recording(pair, tmp_path).add(trial(1e-3, 0.0, 0, 0.5))
    assert len(regret.Recording(pair, tmp_path).document["trials"]) == 1
    with pytest.raises(SystemExit, match="was recorded with other values of steps"):
        regret.Recording(replace(pair, steps=30), tmp_path)


def test_a_grid_without_the_defaults_is_refused(regret: ModuleType, pair: Any, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="the default of hidden_size is not in the grid"):
        regret.Recording(replace(pair, varied={"hidden_size": [5]}), tmp_path)


def test_every_pairs_defaults_are_in_its_grid(regret: ModuleType, tmp_path: Path) -> None:
    for each in regret.PAIRS:
        regret.Recording(each, tmp_path)
        assert len(each.cells()) == 12
        assert each.axes["lr"][0] > regret.LOWEST
        assert each.axes["lr"][-1] < regret.HIGHEST


def test_a_cell_is_trained_as_a_trial(regret: ModuleType, pair: Any) -> None:
    """Several evaluations, the settings in effect, and the same again."""
    settings = dict(pair.cells()[-1])
    done = regret.train_cell(pair, settings, 10_000)
    assert (done["status"], done["steps"], done["settings"], done["seed"]) == ("finished", 20, settings, 10_000)
    assert [step for step, _ in done["curve"]] == [17, 20]
    assert regret.train_cell(pair, settings, 10_000)["curve"] == done["curve"]
    assert regret.train_cell(pair, settings | {"lr": 1e-4}, 10_000)["curve"] != done["curve"]
    assert regret.train_cell(pair, settings, 10_001)["curve"] != done["curve"]


def test_the_committed_grids_can_be_replayed(regret: ModuleType) -> None:
    for path in sorted(regret.GRIDS.glob("*.json")):
        grid = regret.load(path)
        assert grid.is_complete, path
        study = regret.replay(grid, regret.Candidate("hypercube, random", "halving by 2 from 1/4"), 12, 0)
        assert 0 <= study.regret <= 100
        assert 0 < study.steps <= study.whole
