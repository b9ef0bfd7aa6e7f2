import math

import numpy as np
import pytest
import torch

from models.hyena import Hyena
from tests.papers.golden import build as build_golden
from tests.papers.golden import load
from tests.papers.reference import INPUT, STEPS, agrees, build

SIZES = {"hidden_size": 4, "filter_size": 5}


def filters(model, p, steps, features, frequency_count):
    """h, (J, T, H), number by number."""
    rates = -np.linspace(math.log(0.01) / 1.5, math.log(0.01) / 0.3, p["skip"].size)
    bands, rows = np.linspace(1e-4, frequency_count - 1, frequency_count), []
    for t in range(steps):
        turn = 2 * math.pi * bands * t / model.seq_len
        h = np.array([t / (model.seq_len - 1), *np.cos(turn), *-np.sin(turn)])
        assert len(h) == features
        for k in range(3):
            h = np.sin(p["frequency"] * (p[f"filters.{k}.weight"] @ h + p[f"filters.{k}.bias"]))
        rows.append(p["filters.3.weight"] @ h * np.exp(-rates * t / (model.seq_len - 1)))
    return np.stack(rows).reshape(steps, model.output_size, -1).transpose(2, 0, 1)


def direct(model, p, features=3):
    """The equations, with each convolution as a sum."""

    def reference(x_TD):
        steps, hidden = len(x_TD), model.output_size
        h = filters(model, p, steps, features, (features - 1) // 2)
        u = x_TD @ p["enter.weight"].T + p["enter.bias"]
        u = np.concatenate([np.zeros((2, u.shape[1])), u])
        u = sum(p["short.weight"][:, 0, j] * u[j : j + steps] for j in range(3)) + p["short.bias"]
        *gates, v = np.split(u, u.shape[1] // hidden, axis=1)
        for j, i in enumerate(range(len(gates) - 1, 0, -1)):
            v = v * gates[i]
            v = p["skip"][j] * v + np.stack([sum(h[j, t - s] * v[s] for s in range(t + 1)) for t in range(steps)])
        return (v * gates[0]) @ p["leave.weight"].T + p["leave.bias"]

    return reference


@pytest.mark.parametrize("steps", [1, STEPS - 1, STEPS, STEPS + 9])
def test_hyena(steps):
    model, p = build("hyena", **SIZES)
    agrees(model, direct(model, p), steps, atol=1e-6)  # positions and rates are built in single precision


@pytest.mark.parametrize("settings", [{"order": 4}, {"features": 7, "frequency": 10.0}, {"learned_positions": True}])
def test_its_settings(settings):
    model, p = build("hyena", **SIZES, **settings)
    agrees(model, direct(model, p, settings.get("features", 3)), atol=1e-6)


def test_the_filters_are_the_authors():
    arrays = load("hyena")
    (filters_TH,) = build_golden("hyena", arrays).every_filter(len(arrays["filter"]))
    np.testing.assert_allclose(filters_TH.detach().numpy(), arrays["filter"], atol=1e-8)


def test_positions_are_learned_slowly_and_only_if_asked():
    model, _ = build("hyena", **SIZES)
    assert "positions" not in dict(model.named_parameters())
    model, _ = build("hyena", **SIZES, learned_positions=True)
    rates = {len(group["params"]): group["lr_max"] for group in model.optimizer_groups()}
    assert rates == {8: 1e-3, 1: 1e-5}
    assert all(group["weight_decay"] == 0 for group in model.optimizer_groups())


def test_large_inputs_have_finite_gradients():
    model, _ = build("hyena", **SIZES)
    x_BTD = (100 * torch.randn(2, STEPS, INPUT, dtype=torch.float64)).requires_grad_()
    model(x_BTD).sum().backward()
    assert all(torch.isfinite(tensor.grad).all() for tensor in (x_BTD, *model.parameters()))


@pytest.mark.parametrize("settings", [{"order": 1}, {"features": 4}, {"features": 1}, {"filter_size": 0}])
def test_settings_that_the_operator_cannot_have_are_refused(settings):
    with pytest.raises(ValueError, match=f"^{next(iter(settings))}="):
        Hyena.Config(**settings)
