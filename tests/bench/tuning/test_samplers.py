"""What studies draw: nothing that another study draws, the same again when resumed, and at first all over the space."""

import json
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from bench.catalog.registry import find_model, find_task, model_names
from bench.common.errors import RequestError
from bench.runs.request import TUNING_SEEDS, RunRequest, SettingFlags, TrialRequest, build_request
from bench.training.ending import Ending
from bench.tuning.random_numbers import random_number, training_seed
from bench.tuning.samplers import SAMPLERS, STARTUP, at_quantile, build_sampler, grid_of
from bench.tuning.search import Tuning
from bench.tuning.storage import Studies
from bench.tuning.study import Owner, Proposal
from bench.tuning.trial import Outcome
from models.shared.training import Training
from tests.conftest import Bench

LOWEST, HIGHEST = 1e-4, 3e-2  # of the learning rate
TRIALS = 12


def tuning_of(model: str, task: str = "digits", trials: int = TRIALS, **options: Any) -> Tuning:
    base = build_request(find_model(model), find_task(task), SettingFlags(assignments=["max_steps=20"]), seed=0)
    return Tuning(base=base, trials=trials, **{"sampler": "random"} | options)


def proposed(tuning: Tuning, folder: Path, count: int) -> list[tuple[dict[str, Any], int]]:
    """Open a study and return the settings and seeds of its next trials."""
    owner = Owner(tuning, Studies(str(folder / "board.sqlite")))
    proposals = [owner.propose() for _ in range(count)]
    assert all(isinstance(each, Proposal) for each in proposals)
    return [(each.trial.params, each.request.seed) for each in proposals if isinstance(each, Proposal)]


def test_studies_of_different_names_draw_different_points(tmp_path: Path) -> None:
    one, other = (proposed(tuning_of(model), tmp_path, 4) for model in ("last-values", "bag"))
    assert {settings["lr"] for settings, _ in one[1:]}.isdisjoint(settings["lr"] for settings, _ in other[1:])
    assert {seed for _, seed in one}.isdisjoint(seed for _, seed in other)


def test_the_same_study_draws_the_same_wherever_it_is_and_when_it_is_resumed(tmp_path: Path) -> None:
    for name in ("whole", "stopped"):
        (tmp_path / name).mkdir()
    whole = proposed(tuning_of("lstm"), tmp_path / "whole", 5)
    first = proposed(tuning_of("lstm"), tmp_path / "stopped", 2)
    again = proposed(tuning_of("lstm"), tmp_path / "stopped", 5)  # whose first two were running
    assert (first, again) == (whole[:2], whole)


def told(tuning: Tuning, folder: Path, count: int) -> list[optuna.trial.FrozenTrial]:
    """Open a study, and end trials until it has so many: smaller learning rates are better. Return them all."""
    folder.mkdir(exist_ok=True)
    owner = Owner(tuning, Studies(str(folder / "board.sqlite")))
    while len(owner.study.trials) < count:
        found = owner.propose()
        assert isinstance(found, Proposal)
        value = 1 - float(np.log10(found.trial.params["lr"] / LOWEST) / 3)
        owner.end(found.trial, Outcome(ending=Ending("finished"), value=value, weights=b""))
    return owner.study.trials


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_whatever_the_sampler_no_two_studies_draw_the_same(tmp_path: Path, sampler: str) -> None:
    """Not even a grid's points in the same order. Within a study, no point comes twice."""
    one, other = (
        [tuple(trial.params.values()) for trial in told(tuning_of("cornn", task, sampler=sampler), tmp_path, 8)[1:]]
        for task in ("digits", "copy-50")
    )
    assert len(set(one)) == len(set(other)) == 7
    assert one != other if sampler == "grid" else set(one).isdisjoint(other)
    assert sum(a == b for a, b in zip(one, other, strict=True)) < 3


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_whatever_the_sampler_a_resumed_study_goes_on(tmp_path: Path, sampler: str) -> None:
    tuning = tuning_of("cornn", sampler=sampler)
    whole = [trial.params for trial in told(tuning, tmp_path / "whole", 8)]
    for count in (4, 8):
        stopped = [trial.params for trial in told(tuning, tmp_path / "stopped", count)]
    assert stopped == whole


def test_a_sequence_has_a_point_in_each_part(tmp_path: Path) -> None:
    """Each eighth of each range has one of Sobol's first eight points, and so has each value its share of a choice."""
    drawn = told(tuning_of("cornn", sampler="qmc"), tmp_path, 9)[1:]
    parts = [int(8 * np.log(trial.params["lr"] / LOWEST) / np.log(HIGHEST / LOWEST)) for trial in drawn]
    assert sorted(parts) == list(range(8))
    assert {trial.params["weight_decay"] for trial in drawn} == {0.0, 0.01, 0.1}


def test_a_grid_has_as_many_points_as_trials(tmp_path: Path) -> None:
    """Thirteen trials: the defaults, then four learning rates with three weight decays each."""
    tuning = tuning_of("bag", trials=13, sampler="grid")
    grid = grid_of(tuning)
    np.testing.assert_allclose(grid["lr"], LOWEST * (HIGHEST / LOWEST) ** ((np.arange(4) + 0.5) / 4))
    points = [(trial.params["lr"], trial.params["weight_decay"]) for trial in told(tuning, tmp_path, 13)[1:]]
    assert sorted(points) == sorted(product(grid["lr"], grid["weight_decay"]))
    assert points != sorted(points)


def test_a_grid_without_numbers_ends() -> None:
    held = build_request(find_model("bag"), find_task("digits"), SettingFlags(assignments=["lr=0.001"]), seed=0)
    assert grid_of(Tuning(base=held, trials=4, sampler="grid")) == {"weight_decay": [0.0, 0.01, 0.1]}
    with pytest.raises(RequestError, match=r"the grid of bag has 3 points: .* give --trials 4 at most"):
        grid_of(Tuning(base=held, trials=5, sampler="grid"))


def test_cmaes_varies_numbers_and_draws_choices_at_random(tmp_path: Path) -> None:
    drawn = told(tuning_of("fru", trials=20, sampler="cmaes"), tmp_path, 20)
    theirs = [any("cma:generation" in name for name in trial.system_attrs) for trial in drawn]
    assert theirs == [False] * STARTUP + [True] * (20 - STARTUP)
    assert len({trial.params["stat_size"] for trial in drawn[STARTUP:]}) == 4


def test_what_cmaes_can_not_do_is_refused(bench: Bench) -> None:
    words = ("tune", "--model", "gru", "--trials", "2", "--sampler", "cmaes")
    assert "varies two numbers or more at a time, and of gru it could vary lr:" in bench.refused(*words)
    front = ("--objectives", "metric,params", "--max-params", "9000")
    assert "--sampler cmaes has one objective." in bench.refused("tune", "--model", "fru", *words[3:], *front)
    assert not list(bench.folder.glob("*studies*"))


def test_a_sampler_by_name(bench: Bench) -> None:
    words = ("tune", "--model", "bag", "--trials", "3", "--set", "max_steps=2", "--sampler", "qmc")
    done = bench(*words, "--pruner", "none")
    assert "bag on digits: 3 finished" in done.stdout
    assert "Warning" not in done.stderr


def test_seeds_of_trials_are_no_seeds_of_runs() -> None:
    seeds = [training_seed(f"study {study}", number) for study in range(50) for number in range(50)]
    assert len(set(seeds)) > 2_490, "32 bits meet by chance about once in a million pairs of 2,500"
    assert all(seed in TrialRequest.seeds and seed not in RunRequest.seeds for seed in seeds)
    lowest = TUNING_SEEDS + random_number("s", 0, "training") % (2**32 - TUNING_SEEDS)
    assert training_seed("s", 0) == lowest


def first_trials(name: str, search_space: Callable[[Any], Any], trials: int = TRIALS) -> list[optuna.Trial]:
    """The trials of a study before its sampler trusts what it has seen, without the first, which has the defaults."""
    study = optuna.create_study(study_name=name)
    drawn = []
    for number in range(min(STARTUP, trials)):
        study.sampler = build_sampler("random", random_number(name, number), trials)
        drawn.append(study.ask())
        search_space(drawn[-1])
    return drawn[1:]


@pytest.mark.parametrize("trials", [12, 4])
def test_the_first_trials_are_spread_over_the_learning_rates(trials: int) -> None:
    """One in each of as many parts as there are such trials, in an order of the study's own."""
    orders = set()
    for name in ("a", "b", "c", "d"):
        drawn = first_trials(name, Training.search_space, trials)
        parts = [int(len(drawn) * np.log(each.params["lr"] / LOWEST) / np.log(HIGHEST / LOWEST)) for each in drawn]
        assert sorted(parts) == list(range(min(STARTUP, trials) - 1)), parts
        orders.add(tuple(parts))
    assert len(orders) > 1


@pytest.mark.parametrize("name", model_names())
def test_every_value_of_a_setting_of_two_is_tried_by_every_study(name: str) -> None:
    for number in range(3):
        drawn = first_trials(f"{name} · study {number}", find_model(name).cls.search_space)
        for setting, distribution in drawn[0].distributions.items():
            if isinstance(distribution, CategoricalDistribution) and len(distribution.choices) == 2:
                assert {trial.params[setting] for trial in drawn} == set(distribution.choices), setting


@pytest.mark.parametrize(
    "distribution",
    [
        FloatDistribution(1e-4, 3e-2, log=True), FloatDistribution(-1.0, 2.0), FloatDistribution(0.0, 1.0, step=0.25),
        IntDistribution(3, 9), IntDistribution(1, 64, log=True), IntDistribution(4, 12, step=4),
        CategoricalDistribution(["a", "b", "c"]),
    ],
    ids=str,
)  # fmt: skip
def test_quantiles_are_those_of_optunas_random_sampler(distribution: BaseDistribution) -> None:
    """The independent reference: 20,000 of Optuna's own draws."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    trial, sampler = study.ask(), study.sampler
    drawn = [sampler.sample_independent(study, trial, "x", distribution) for _ in range(20_000)]  # type: ignore[arg-type]
    ours = [at_quantile(distribution, (number + 0.5) / 20_000) for number in range(20_000)]
    assert {type(each) for each in ours} == {type(each) for each in drawn}
    if isinstance(distribution, CategoricalDistribution):
        assert {each: round(ours.count(each) / 2e4, 1) for each in "abc"} == {
            each: round(drawn.count(each) / 2e4, 1) for each in "abc"
        }
        return
    shares = np.arange(0.05, 1, 0.05)
    scale = max(drawn) - min(drawn)
    assert np.abs(np.quantile(ours, shares) - np.quantile(drawn, shares)).max() < 0.03 * scale + distribution_step(
        distribution
    )
    assert all(distribution._contains(distribution.to_internal_repr(each)) for each in ours)


def distribution_step(distribution: BaseDistribution) -> float:
    """A quantile right between two values may fall to either."""
    return float(json.loads(optuna.distributions.distribution_to_json(distribution))["attributes"].get("step") or 0)
