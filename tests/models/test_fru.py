"""The FRU's sizes: those that follow from a width, those that tuning varies, and how the two combine."""

from itertools import pairwise, product

import pytest

from bench.catalog.registry import find_task
from bench.catalog.tiers import TIERS
from bench.contributing.rules import EdgeTrial
from bench.runs.network import count_on_meta
from bench.runs.parameter_budget import fit
from bench.runs.settings import Settings
from models.fru import FRU
from models.shared.contract import LEAST_UNITS
from models.shared.wrappers import WRAPPERS, Plain

ADDING = find_task("adding-200").build().spec


def filled(settings, wrapper, tier):
    return count_on_meta(FRU, wrapper, settings, ADDING).budgeted / TIERS[tier]


@pytest.mark.parametrize("wrapper", WRAPPERS.values())
@pytest.mark.parametrize("tier", TIERS)
def test_every_tier_has_as_many_statistics_as_the_authors(tier, wrapper):
    settings = fit(FRU, wrapper, ADDING, tier, {})
    assert settings.model.stat_size == 10
    assert 10 <= settings.model.num_freqs <= 40
    assert min(settings.model.recur_features, settings.model.output_size) >= LEAST_UNITS
    assert filled(settings, wrapper, tier) > 0.9


@pytest.mark.parametrize("wrapper", WRAPPERS.values())
def test_what_tuning_may_choose_fits_and_the_rest_takes_what_is_left(wrapper):
    outputs = set()
    for stat_size, num_freqs, recur_scale in product((4, 10), (5, 28), (0.25, 1.0)):
        changes = {"stat_size": stat_size, "num_freqs": num_freqs, "recur_scale": recur_scale}
        settings = fit(FRU, wrapper, ADDING, "10k", changes)
        assert filled(settings, wrapper, "10k") > 0.88
        outputs.add(settings.model.output_size)
    assert len(outputs) > 3  # where the share leaves fewer than four recurrent features there are four


def test_no_size_shrinks_as_the_width_grows():
    sizes = [(c.stat_size, c.num_freqs, c.recur_size, c.output_size) for c in map(FRU.Config.at_width, range(1, 700))]
    assert all(a <= b for before, after in pairwise(sizes) for a, b in zip(before, after, strict=True))


def test_the_scale_multiplies_recurrent_features_and_leaves_four():
    config = FRU.Config(recur_size=20, recur_scale=0.5)
    assert FRU(config, input_size=3, seq_len=9).recur_feats.out_features == config.recur_features == 10
    assert FRU.Config(recur_size=5, recur_scale=0.5).recur_features == LEAST_UNITS
    assert FRU.Config(recur_size=2).recur_features == 2  # as asked for


@pytest.mark.parametrize("name", ["min_period", "recur_scale"])
def test_a_shortest_period_below_a_step_and_no_features_are_refused(name):
    with pytest.raises(ValueError, match=name):
        FRU.Config(**{name: 0.0})


def test_the_highest_frequency_is_t_over_the_shortest_period():
    """The authors' on IMDB: 100 periods over 300 words."""
    shortest = FRU.Config(num_freqs=7, min_period=3.0).frequencies(300)
    assert shortest == FRU.Config(num_freqs=7, max_freq=100.0).frequencies(300)
    assert FRU.Config(num_freqs=7, min_period=3.0, max_freq=50.0).frequencies(300)[-1] == pytest.approx(50)


def test_recorded_runs_keep_their_settings():
    """The two later settings are part of a run only where they are used."""
    recorded = Settings.defaults(FRU, Plain).to_dict()["model"]
    assert recorded.keys() == {"stat_size", "recur_size", "output_size", "num_freqs", "max_freq", "freqs", "backend"}
    changed = Settings.defaults(FRU, Plain).updated({"min_period": 3.0, "recur_scale": 2.0}).to_dict()["model"]
    assert changed == recorded | {"min_period": 3.0, "recur_scale": 2.0}


def test_the_search_space_has_the_papers_highest_frequencies():
    low, high = (FRU.search_space(EdgeTrial(end)) for end in (0, -1))
    assert (low["stat_size"], high["stat_size"]) == (4, 10)
    assert (low["num_freqs"], high["num_freqs"]) == (5, 40)
    assert (low["min_period"], high["min_period"]) == (1.0, 3.0)
