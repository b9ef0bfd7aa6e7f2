import numpy as np
import torch

from bench.catalog.registry import find_model
from bench.runs.settings import Settings
from models.shared.wrappers import Plain, Residual
from tests.papers.reference import INPUT, agrees, build, loop


def test_indrnn():
    model, p = build("indrnn", hidden_size=5)

    def advance(x, h):
        h = np.maximum(p["input.weight"] @ x + p["u"] * h + p["input.bias"], 0)
        return h, h

    agrees(model, loop(advance, np.zeros(5)))


def test_indrnn_bounds_its_weights():
    model, p = build("indrnn", hidden_size=5, seq_len=10)
    with torch.no_grad():
        model.u.copy_(torch.tensor([-3.0, -1, 0, 1, 3]))
    model(torch.zeros(1, 10, INPUT, dtype=torch.float64))
    np.testing.assert_allclose(p["u"], [-(2**0.1), -1, 0, 1, 2**0.1])


def test_indrnn_is_two_layers_unless_told_otherwise():
    """One layer's units never meet; the authors stack two for the adding problem."""
    cls = find_model("indrnn").cls
    for settings in (Settings.defaults(cls, Plain), Settings.at_width(cls, Plain, 7)):
        assert settings.flat()["depth"] == 2
        assert settings.updated({"depth": 1}).flat()["depth"] == 1
    assert Settings.defaults(cls, Residual) == Settings(cls.Config(), Residual.Config(), settings.training)


def test_indrnn_decays_neither_recurrent_weights_nor_biases():
    model, _ = build("indrnn", hidden_size=5)
    (group,) = model.optimizer_groups()
    assert group["weight_decay"] == 0
    assert {id(parameter) for parameter in group["params"]} == {id(model.u), id(model.input.bias)}
