"""Networks that are dead at the start: constructed ones, and the FRU with few statistics on inputs above zero."""

import pytest
import torch

from bench.catalog.registry import find_task
from bench.runs.dead_starts import dead_share
from bench.runs.settings import Settings
from datamodules._base import Samples
from models.fru import FRU
from models.shared.contract import HiddenSizeConfig, SequenceModel
from models.shared.wrappers import Plain, Residual


class Sums(SequenceModel):
    """Adds up a linear map of its input."""

    Config = HiddenSizeConfig

    def __init__(self, config, **place):
        super().__init__(config, **place)
        self.output_size = config.hidden_size
        self.linear = torch.nn.Linear(self.input_size, config.hidden_size)

    def forward(self, x_BTD, lengths_B=None):
        return self.linear(x_BTD).cumsum(1)


class Silent(Sums):
    """Says zero, whatever it reads."""

    def forward(self, x_BTD, lengths_B=None):
        return 0 * super().forward(x_BTD)


class Untaught(Sums):
    """Gets no gradient."""

    def forward(self, x_BTD, lengths_B=None):
        return super().forward(x_BTD).detach()


class Constant(Sums):
    """Says the same of all sequences up to their lengths, and learns that constant."""

    def forward(self, x_BTD, lengths_B=None):
        y_BTH = super().forward(torch.ones_like(x_BTD))
        if lengths_B is None:
            return y_BTH
        padding_BT = torch.arange(x_BTD.shape[1]) >= lengths_B[:, None]
        return torch.where(padding_BT.unsqueeze(-1), torch.rand_like(y_BTH), y_BTH)


class SilentAtFirst(Sums):
    """Says zero in the first layer only."""

    def forward(self, x_BTD, lengths_B=None):
        return super().forward(x_BTD) * min(self.layer, 1)


def batch_of(task):
    return task.decode(task.split("train").gather(torch.arange(8)))


@pytest.fixture
def pixels():
    return find_task("smnist").build(tiny=True)


def share(model, task, wrapper=Plain, starts=3, batch=None, **changes):
    settings = Settings.at_width(model, wrapper, 8).updated(changes)
    return dead_share(model, wrapper, settings, task.spec, batch or batch_of(task), starts)


@pytest.mark.parametrize("wrapper", [Plain, Residual])
@pytest.mark.parametrize(("model", "expected"), [(Silent, 1), (Untaught, 1), (Constant, 1), (Sums, 0)])
def test_constructed_ones(pixels, model, wrapper, expected):
    assert share(model, pixels, wrapper) == expected


@pytest.mark.parametrize("wrapper", [Plain, Residual])
def test_what_is_said_of_padding_does_not_count(wrapper):
    task = find_task("copy").build(tiny=True)
    batch = batch_of(task)._replace(lengths=torch.tensor([3, 5, 7, 9, 11, 13, 15, 20]))
    assert share(Constant, task, wrapper, batch=batch) == 1
    assert share(Sums, task, wrapper, batch=batch) == 0


def test_one_dead_layer_kills_a_stack_and_no_residual_network(pixels):
    assert share(SilentAtFirst, pixels, Plain, depth=2) == 1
    assert share(SilentAtFirst, pixels, Residual, depth=2) == 0


@pytest.mark.parametrize(("statistics", "expected"), [(1, 1 / 2), (2, 1 / 4), (10, 1 / 1024)])
def test_each_statistic_of_an_fru_is_dead_on_pixels_with_probability_one_half(pixels, statistics, expected):
    """Its only weight of the input is below zero, and its recurrent features begin at zero."""
    found = share(FRU, pixels, starts=100, stat_size=statistics)
    assert found == pytest.approx(expected, abs=3 * (expected * (1 - expected) / 100) ** 0.5)


def test_the_same_network_lives_on_inputs_of_both_signs(pixels):
    batch = batch_of(pixels)
    signed = Samples(batch.x - batch.x.mean(), batch.y)
    assert share(FRU, pixels, starts=50, batch=signed, stat_size=1) == 0


def test_the_callers_random_numbers_are_left_alone(pixels):
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    share(Sums, pixels)
    assert torch.equal(torch.rand(1), expected)
