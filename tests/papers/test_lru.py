import math

import numpy as np
import pytest

from models.shared.training import Training, build_optimizer
from tests.papers.reference import agrees, as_complex, build, gelu_tanh, loop


def test_lru():
    model, p = build("lru", hidden_size=4, state_size=5)
    lam = np.exp(-np.exp(p["nu_log"]) + 1j * np.exp(p["theta_log"]))

    def advance(x, h):
        u = p["encoder.weight"] @ x + p["encoder.bias"]
        h = lam * h + np.exp(p["gamma_log"]) * (as_complex(p["B"]) @ u)
        return gelu_tanh((as_complex(p["C"]) @ h).real + p["D"] * u), h

    agrees(model, loop(advance, np.zeros(5)))


def test_lru_starts_on_its_ring():
    model, p = build("lru", state_size=4000, hidden_size=2, r_min=0.4, r_max=0.9, max_phase=math.pi / 10)
    lam = model.transition().detach().numpy()
    radius = np.abs(lam)
    assert radius.min() >= 0.4
    assert radius.max() <= 0.9
    assert (radius**2).mean() == pytest.approx((0.16 + 0.81) / 2, abs=4 * 0.65 / math.sqrt(12 * 4000))  # even by area
    assert np.angle(lam).min() >= 0
    assert np.angle(lam).max() <= math.pi / 10
    np.testing.assert_allclose(np.exp(p["gamma_log"]), np.sqrt(1 - radius**2), rtol=1e-4)


def test_the_state_learns_at_half_the_rate_without_decay():
    """NicolasZucchet/minimal-LRU: ν, θ, γ and B in one group, C and D in the other."""
    model, _ = build("lru", hidden_size=4, state_size=5)
    optimizer, _ = build_optimizer(model, model.optimizer_groups(), Training(lr=1e-2, weight_decay=0.1, warmup=0.0), 10)
    (rest, state), names = optimizer.param_groups, {id(each): name for name, each in model.named_parameters()}
    assert {names[id(each)] for each in state["params"]} == {"nu_log", "theta_log", "gamma_log", "B"}
    assert (state["lr"], state["weight_decay"]) == (0.5e-2, 0.0)
    assert (rest["lr"], rest["weight_decay"]) == (1e-2, 0.1)
