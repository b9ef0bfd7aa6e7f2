import numpy as np
import torch

from tests.papers.reference import INPUT, agrees, build, loop


def test_cornn():
    model, p = build("cornn", hidden_size=5, dt=0.3, gamma=1.7, epsilon=0.9)
    v, w, w_z = np.split(p["linear.weight"], [INPUT, INPUT + 5], axis=1)

    def advance(x, state):
        y, z = state
        z = z + 0.3 * (np.tanh(w @ y + w_z @ z + v @ x + p["linear.bias"]) - 1.7 * y - 0.9 * z)
        y = y + 0.3 * z
        return y, (y, z)

    agrees(model, loop(advance, (np.zeros(5), np.zeros(5))))


def test_cornn_stays_bounded():
    """The energy γ|y|² + |z|² grows by at most m Δt a step, whatever the weights and inputs.

    For the continuous system d/dt (γ|y|² + |z|²)/2 = z·tanh(…) − ε|z|² ≤ m/(4ε) ≤ m/2 where ε ≥ ½ (the energy argument
    of Rusch & Mishra 2021); the explicit scheme at the paper's Δt keeps the bound with room to spare.
    """
    model, _ = build("cornn", hidden_size=8)
    with torch.no_grad():
        model.linear.weight.normal_(std=30)
    state = model.initial_state(1)
    for t in range(1, 400):
        _, state = model.step(100 * torch.randn(1, INPUT, dtype=torch.float64), state)
        energy = model.config.gamma * state[0].square().sum() + state[1].square().sum()
        assert energy <= 8 * t * model.config.dt
