import numpy as np
import pytest
import torch
from torch import nn

from bench.catalog.registry import find_model
from bench.runs.settings import Settings
from models.shared.wrappers import Plain, Residual
from tests.papers.reference import INPUT, agrees, build, loop

PLACES = ["after", "before", "none"]


def trained(place, **settings):
    """A layer in evaluation, with running averages and weights of BatchNorm that are not those of the start."""
    model, p = build("indrnn", hidden_size=5, batch_norm=place, **settings)
    for norm in (module for module in model.modules() if isinstance(module, nn.BatchNorm1d)):
        for tensor in (norm.weight, norm.bias, norm.running_mean):
            nn.init.normal_(tensor)
        nn.init.uniform_(norm.running_var, 0.5, 2)
    return model, p


@pytest.mark.parametrize("place", PLACES)
def test_indrnn(place):
    model, p = trained(place)

    def norm(where, v):
        if where != place:
            return v
        mean, var = (getattr(getattr(model, place), f"running_{name}").numpy() for name in ("mean", "var"))
        return (v - mean) / np.sqrt(var + 1e-5) * p[f"{place}.weight"] + p[f"{place}.bias"]

    def advance(x, h):
        h = np.maximum(norm("before", p["input.weight"] @ x + p["input.bias"]) + p["u"] * h, 0)
        return norm("after", h), h

    agrees(model, loop(advance, np.zeros(5)))


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("training", [True, False])
def test_single_precision_agrees(place, training):
    """Kernels compute the recurrence of float32, and the last output alone where BatchNorm allows it."""
    model, _ = trained(place)
    x_BTD, lengths_B = torch.randn(4, 23, INPUT), torch.tensor([1, 9, 22, 23])
    wanted = model.train(training).last(x_BTD.double(), lengths_B)
    torch.testing.assert_close(model.float().last(x_BTD, lengths_B).double(), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("place", ["after", "before"])
def test_steps_take_the_running_averages_in_training_too(place):
    model, _ = trained(place)
    x_BTD = torch.randn(4, 7, INPUT, dtype=torch.float64)
    expected, state = model(x_BTD), model.initial_state(4)
    model.train()
    for t, x_BD in enumerate(x_BTD.unbind(1)):
        y_BH, state = model.step(x_BD, state)
        torch.testing.assert_close(y_BH, expected[:, t])


def test_indrnn_bounds_its_weights():
    model, p = build("indrnn", hidden_size=5, seq_len=10)
    with torch.no_grad():
        model.u.copy_(torch.tensor([-3.0, -1, 0, 1, 3]))
    model(torch.zeros(1, 10, INPUT, dtype=torch.float64))
    np.testing.assert_allclose(p["u"], [-(5**0.1), -1, 0, 1, 5**0.1])


def test_only_the_last_layer_starts_with_long_memories():
    cls, bound = find_model("indrnn").cls, 5 ** (1 / 50)
    for settings, layer, least in [({}, 0, 0), ({}, 1, 1 / bound), ({"long_last": False}, 1, 0)]:
        torch.manual_seed(0)
        model = cls(cls.Config(hidden_size=4000, **settings), input_size=3, seq_len=50, layer=layer, layers=2)
        low, high = model.u.min().item(), model.u.max().item()
        assert low == pytest.approx(least, abs=0.002)
        assert least <= low < high <= bound + 1e-6


def test_indrnn_is_two_layers_unless_told_otherwise():
    """One layer's units never meet; the authors stack two for the adding problem."""
    cls = find_model("indrnn").cls
    for settings in (Settings.defaults(cls, Plain), Settings.at_width(cls, Plain, 7)):
        assert settings.flat()["depth"] == 2
        assert settings.updated({"depth": 1}).flat()["depth"] == 1
    assert Settings.defaults(cls, Residual) == Settings(cls.Config(), Residual.Config(), settings.training)


def test_an_older_record_means_a_layer_without_batch_norm():
    defaults = Settings.defaults(find_model("indrnn").cls, Plain)
    assert defaults.to_dict()["model"] == {"hidden_size": 200, "batch_norm": "after", "long_last": True}
    older = defaults.updated({"batch_norm": "none", "long_last": False})
    assert older.of_protocol_1()["model"] == {"hidden_size": 200}
    assert older.to_dict()["model"] == {"hidden_size": 200, "batch_norm": "none", "long_last": False}


def test_indrnn_decays_neither_recurrent_weights_nor_biases():
    model, _ = build("indrnn", hidden_size=5)
    (group,) = model.optimizer_groups()
    assert group["weight_decay"] == 0
    assert {id(parameter) for parameter in group["params"]} == {
        id(parameter) for parameter in (model.u, model.input.bias, model.after.bias)
    }
