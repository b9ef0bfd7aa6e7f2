import numpy as np
import torch

from tests.papers.reference import agrees, build, legs_system, loop, sigmoid


def test_hippo():
    model, p = build("hippo", hidden_size=5, order=6)
    a, b = legs_system(6)
    eye = np.eye(6)

    def advance(x, state):
        h, c, t = state
        gate, candidate = np.split(p["gated.weight"] @ np.concatenate([x, h, c]) + p["gated.bias"], 2)
        h = (1 - sigmoid(gate)) * h + sigmoid(gate) * np.tanh(candidate)
        f = p["function.weight"] @ h + p["function.bias"]
        c = np.linalg.inv(eye + a / (2 * t)) @ ((eye - a / (2 * t)) @ c + b * f / t)
        return h, (h, c, t + 1)

    agrees(model, loop(advance, (np.zeros(5), np.zeros(6), 1)), atol=1e-6)


def test_hippo_eigenvalues_are_the_positive_integers():
    model, _ = build("hippo", hidden_size=2, order=32)
    eigenvalues = np.linalg.eigvals(model.A.numpy())
    np.testing.assert_allclose(np.sort(eigenvalues.real), np.arange(1, 33), rtol=1e-5)


def test_hippo_remembers_the_whole_past():
    """Σ_n c_n √(2n+1) P_n(2s/t − 1) is the function so far, at any t: LegS has no time scale."""
    model, _ = build("hippo", hidden_size=2, order=24)
    for steps in (300, 900):
        f = np.cos(3 * np.pi * np.arange(1, steps + 1) / steps)
        c = torch.zeros(1, 24, dtype=torch.float64)
        for t, value in enumerate(f, start=1):
            c = model.remember_each(c, torch.full((1, 1), value, dtype=torch.float64), torch.tensor([t]))
        points = np.linspace(0.05, 0.95, 7)
        basis = np.polynomial.legendre.legval(2 * points - 1, np.diag(np.sqrt(2 * np.arange(24) + 1)))
        np.testing.assert_allclose(c.numpy()[0] @ basis, np.cos(3 * np.pi * points), atol=0.05)
