import numpy as np
import pytest
import torch

from models.shared.training import Training, build_optimizer
from tests.papers.reference import STEPS, agrees, as_complex, build, gelu_tanh, loop, sigmoid


def discretised(p, method):
    """A, Δt and what the two implicit steps divide by, from the parameters."""
    dt, a = sigmoid(p["dt"]), np.maximum(p["A"], 0)
    if method != "damped":
        return a, dt, 1 + dt**2 * a if method == "im" else np.ones_like(a)
    g = np.maximum(p["G"], 0)
    root = np.sqrt(1 + dt * g)
    return np.clip(p["A"], (root - 1) ** 2 / dt**2, (root + 1) ** 2 / dt**2), dt, 1 + dt * g


@pytest.mark.parametrize("steps", [1, 2, STEPS])
@pytest.mark.parametrize("method", ["im", "imex", "damped"])
def test_linoss(method, steps):
    model, p = build("linoss", hidden_size=4, state_size=5, method=method)
    with torch.no_grad():  # a spring and a friction that ReLU cuts off, a spring that is too stiff to oscillate
        model.A[:2] = torch.tensor([-0.5, 1e3])
        if method == "damped":
            model.G[2] = -0.5
        else:
            model.A[1] = 3.0
    a, dt, divisor = discretised(p, method)

    def advance(x, state):
        z, y = state
        u = p["encoder.weight"] @ x + p["encoder.bias"]
        z = (z + dt * (-a * y + as_complex(p["B"]) @ u)) / divisor
        y = y + dt * z
        return gelu_tanh((as_complex(p["C"]) @ y).real + p["D"] * u), (z, y)

    agrees(model, loop(advance, (np.zeros(5), np.zeros(5))), steps=steps)


@pytest.mark.parametrize(("method", "energy"), [("im", np.less), ("imex", np.isclose), ("damped", np.less)])
def test_which_methods_dissipate(method, energy):
    """IMEX keeps the volume of the state space, the product of a step's eigenvalues. The other two shrink it."""
    model, _ = build("linoss", hidden_size=4, state_size=50, method=method)
    keep, pull, _ = (each.detach().numpy() for each in model.oscillators())
    volume = keep * (1 - pull) + keep * pull
    assert energy(volume, 1).all()
    eigenvalues = np.linalg.eigvals(np.stack([[keep, -pull], [keep, 1 - pull]]).transpose(2, 0, 1))
    assert np.abs(eigenvalues).max() <= 1 + 1e-9
    assert np.abs(eigenvalues.imag).min() > 0


@pytest.mark.parametrize("method", ["im", "imex", "damped"])
def test_gradients_are_finite_for_large_inputs_and_without_a_spring(method):
    model, _ = build("linoss", hidden_size=4, state_size=5, method=method)
    model.float()
    with torch.no_grad():
        model.A.zero_()
    x_BTD = 100 * torch.randn(2, 500, 3)
    model(x_BTD).square().mean().backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_the_dynamics_are_spared_from_decay():
    model, _ = build("linoss", method="damped")
    optimizer, _ = build_optimizer(model, model.optimizer_groups(), Training(lr=1e-2, weight_decay=0.1, warmup=0.0), 10)
    (rest, spared), names = optimizer.param_groups, {id(each): name for name, each in model.named_parameters()}
    assert {names[id(each)] for each in spared["params"]} == {"A", "dt", "G"}
    assert (spared["weight_decay"], rest["weight_decay"]) == (0.0, 0.1)
