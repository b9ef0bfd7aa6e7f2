import numpy as np
import pytest
import torch

from models.mamba import selective_scan
from models.mamba2 import Mamba2
from models.recurrences.state_space_duality import ssd
from tests.papers.reference import INPUT, STEPS, agrees, build, sigmoid

SIZES = {"hidden_size": 4, "state_size": 3, "head_size": 2}


def silu(v):
    return v * sigmoid(v)


def looped(model, p):
    """The equations, one step after the other."""
    size, heads, states = model.ssm_size, model.heads, model.state_size
    beside = model.output_size * 2 - size
    a, taps = -np.exp(p["A_log"]), p["conv.weight"].shape[-1]

    def reference(x_TD):
        outputs, s, window = [], np.zeros((heads, size // heads, states)), [np.zeros(size + 2 * states)] * (taps - 1)
        for t in x_TD:
            parts = np.cumsum([beside, beside, size, size + 2 * states])
            gate, value, z, xbc, dt = np.split(p["enter.weight"] @ t, parts)
            window = [*window, xbc][-taps:]
            xbc = silu(sum(p["conv.weight"][:, 0, j] * window[j] for j in range(taps)) + p["conv.bias"])
            x, b, c = np.split(xbc, [size, size + states])
            x, dt = x.reshape(heads, -1), np.log1p(np.exp(dt + p["dt_bias"]))
            s = np.exp(dt * a)[:, None, None] * s + np.einsum("m,mp,n->mpn", dt, x, b)
            y = (s @ c + p["D"][:, None] * x).ravel() * silu(z)
            if "norm" in p:
                y = y / np.sqrt((y**2).mean() + 1e-5) * p["norm"]
            outputs.append(p["leave.weight"] @ np.concatenate([silu(gate) * value, y]))
        return np.stack(outputs)

    return reference


@pytest.mark.parametrize("settings", [{}, {"norm": False}, {"ssm_size": 4}, {"ssm_size": 6, "norm": False}])
def test_mamba2(settings):
    model, p = build("mamba2", **SIZES, **settings)
    agrees(model, looped(model, p))


@pytest.mark.parametrize("steps", [1, 3, 4, 5, 8, 9])
def test_chunks_of_four(steps, monkeypatch):
    monkeypatch.setattr("models.recurrences.state_space_duality.CHUNK", 4)
    model, p = build("mamba2", **SIZES)
    agrees(model, looped(model, p), steps)


def test_heads_of_one_channel_are_mamba_with_one_rate_a_channel():
    """In Mamba, each state of a channel has its own rate."""
    model, _ = build("mamba2", hidden_size=4, state_size=3, head_size=1)
    x_BTE, b_BTN, c_BTN = (torch.randn(2, STEPS, size, dtype=torch.float64) for size in (8, 3, 3))
    dt_BTE, log_decay_BTE = model.time_steps(torch.randn(2, STEPS, 8, dtype=torch.float64))
    expected = selective_scan(x_BTE, dt_BTE, -model.A_log.exp()[:, None].expand(-1, 3), b_BTN, c_BTN)
    q_BT1N, k_BT1N, x_BTE1 = c_BTN.unsqueeze(2), b_BTN.unsqueeze(2), x_BTE.unsqueeze(-1)
    y_BTE1 = ssd(q_BT1N, k_BT1N, x_BTE1, log_decay_BTE, dt_BTE, torch.zeros_like(model.D))
    torch.testing.assert_close(y_BTE1.squeeze(-1), expected)


def test_starts_in_the_authors_ranges():
    _, p = build("mamba2", hidden_size=64, head_size=1)
    assert 1 <= np.exp(p["A_log"]).min() < np.exp(p["A_log"]).max() <= 16
    dt = np.log1p(np.exp(p["dt_bias"]))
    assert 0.99e-3 < dt.min() < dt.max() < 1.01e-1


def test_decay_spares_what_the_authors_spare():
    model, _ = build("mamba2", **SIZES)
    (spared,) = model.optimizer_groups()
    names = {name for name, each in model.named_parameters() if any(each is other for other in spared["params"])}
    assert names == {"A_log", "D", "dt_bias", "conv.bias", "norm"}
    assert spared["weight_decay"] == 0


def test_inner_channels_are_whole_heads():
    assert Mamba2.Config(hidden_size=5, head_size=4).inner_size == 12
    for size in (0, 2, 16):
        with pytest.raises(ValueError, match=f"^ssm_size={size} must be a multiple of head_size=4 up to the 12 inner"):
            Mamba2.Config(hidden_size=5, head_size=4, ssm_size=size)


def test_large_inputs_have_finite_gradients():
    model, _ = build("mamba2", **SIZES)
    x_BTD = (100 * torch.randn(2, STEPS, INPUT, dtype=torch.float64)).requires_grad_()
    model(x_BTD).sum().backward()
    assert all(torch.isfinite(tensor.grad).all() for tensor in (x_BTD, *model.parameters()))
