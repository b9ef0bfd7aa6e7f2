import numpy as np
import pytest
import torch

from models.mamba3 import Mamba3
from tests.papers.reference import INPUT, STEPS, agrees, build, sigmoid

SIZES = {"hidden_size": 4, "state_size": 8, "head_size": 2}


def looped(model, p):
    """The equations, one step after the other."""
    inner, heads, states, angles = p["leave.weight"].shape[1], model.heads, model.state_size, model.angles
    places = np.cumsum([inner, inner, states, states, heads, heads, heads])

    def key(raw, name, theta):
        u = raw / np.sqrt((raw**2).mean() + 1e-5) * p[f"{name}_norm"] + p[f"{name}_bias"]
        pairs = u[:, : 2 * angles : 2] + 1j * u[:, 1 : 2 * angles : 2]
        pairs = pairs * np.exp(1j * theta)
        u[:, : 2 * angles : 2], u[:, 1 : 2 * angles : 2] = pairs.real, pairs.imag
        return u

    def reference(x_TD):
        s, theta = np.zeros((heads, inner // heads, states)), np.zeros((heads, angles))
        added, outputs = np.zeros_like(s), []
        for t in x_TD:
            z, x, b, c, dt, rate, share, turn = np.split(p["enter.weight"] @ t, places)
            x, dt, share = x.reshape(heads, -1), np.log1p(np.exp(dt + p["dt_bias"])), sigmoid(share)
            rate = np.where(rate >= 0, 1 + rate, 1 / (1 - rate))
            theta = theta + dt[:, None] * np.pi * np.tanh(turn)
            k, q = key(b, "key", theta), key(c, "query", theta)
            decay, before, added = np.exp(-rate * dt), added, np.einsum("mp,mn->mpn", x, k)
            s = decay[:, None, None] * s + ((1 - share) * dt * decay)[:, None, None] * before
            s = s + (share * dt)[:, None, None] * added
            y = np.einsum("mpn,mn->mp", s, q) + p["D"][:, None] * x
            if "norm" in p:
                y = y / np.sqrt((y**2).mean(1, keepdims=True) + 1e-5) * p["norm"]
            outputs.append(p["leave.weight"] @ (y.ravel() * z * sigmoid(z)))
        return np.stack(outputs)

    return reference


@pytest.mark.parametrize("settings", [{}, {"norm": True}, {"rope_fraction": 1.0}])
def test_mamba3(settings):
    model, p = build("mamba3", **SIZES, **settings)
    agrees(model, looped(model, p))


@pytest.mark.parametrize("steps", [1, 3, 4, 5, 8, 9])
def test_chunks_of_four(steps, monkeypatch):
    monkeypatch.setattr("models.recurrences.state_space_duality.CHUNK", 4)
    model, p = build("mamba3", **SIZES)
    agrees(model, looped(model, p), steps)


def test_step_by_step_over_many_turns():
    """The state keeps an angle within a turn, the whole sequence does not."""
    model, _ = build("mamba3", **SIZES)
    x_BTD, state = 20 * torch.randn(2, STEPS, INPUT, dtype=torch.float64), model.initial_state(2)
    for x_BD, expected in zip(x_BTD.unbind(1), model(x_BTD).unbind(1), strict=True):
        y_BH, state = model.step(x_BD, state)
        torch.testing.assert_close(y_BH, expected)
    assert 0 <= state[1].min() < state[1].max() < 7


def test_large_inputs_have_finite_gradients():
    model, _ = build("mamba3", **SIZES)
    x_BTD = (100 * torch.randn(2, STEPS, INPUT, dtype=torch.float64)).requires_grad_()
    model(x_BTD).sum().backward()
    assert all(torch.isfinite(tensor.grad).all() for tensor in (x_BTD, *model.parameters()))


def test_decay_spares_biases_norms_and_the_skip():
    model, _ = build("mamba3", **SIZES, norm=True)
    (spared,) = model.optimizer_groups()
    names = {name for name, each in model.named_parameters() if any(each is other for other in spared["params"])}
    assert names == {"dt_bias", "D", "key_bias", "query_bias", "key_norm", "query_norm", "norm"}
    assert spared["weight_decay"] == 0


@pytest.mark.parametrize("settings", [{"state_size": 6}, {"rope_fraction": 0.25}, {"head_size": 0}])
def test_settings_that_the_block_cannot_have_are_refused(settings):
    with pytest.raises(ValueError, match=f"^{next(iter(settings))}="):
        Mamba3.Config(**settings)
