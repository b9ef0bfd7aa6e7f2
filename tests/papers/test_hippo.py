from math import sqrt

import numpy as np
import pytest
import torch

from models.hippo import discretised_window
from models.lmu import delay_system
from tests.papers.golden import precision
from tests.papers.reference import INPUT, agrees, build, legs_system, loop, sigmoid


def legt_system(order):
    a = np.zeros((order, order))
    for n in range(order):
        for k in range(order):
            a[n, k] = sqrt((2 * n + 1) * (2 * k + 1)) * ((-1) ** (n - k) if n < k else 1)
    return a, np.sqrt(2 * np.arange(order) + 1)


def network(p, system, step_of, *, memories, first):
    """The recurrence, where the step after t steps is step_of(t), and c starts at u in its first number or at 0."""
    (a, b), eye = system, np.eye(len(system[1]))

    def advance(x, state):
        h, c, t = state
        u = p["function.weight"] @ np.concatenate([x, h]) + p["function.bias"]
        if t == 0 and first:
            c = np.stack([u, *[np.zeros(memories)] * (len(b) - 1)], axis=1)
        else:
            half = a * step_of(t) / 2
            c = np.stack(
                [np.linalg.inv(eye + half) @ ((eye - half) @ c[m] + b * u[m] * step_of(t)) for m in range(memories)]
            )
        seen = np.concatenate([x, *c])
        gates, candidate = np.split(p["reader.weight"] @ seen + p["reader.bias"], [-len(h)])
        gate = sigmoid(gates) if len(gates) else 1
        h = (1 - gate) * h + gate * np.tanh(candidate)
        return h, (h, c, t + 1)

    hidden = p["function.weight"].shape[1] - INPUT
    start = np.zeros(hidden), np.zeros((memories, len(b))), 0
    return loop(advance, start)


@pytest.mark.parametrize(
    "settings", [{}, {"max_length": 5}, {"memory_size": 3}, {"gate": False}, {"memory_size": 2, "gate": False}]
)
def test_hippo(settings):
    model, p = build("hippo", hidden_size=5, order=6, **settings)
    cap = settings.get("max_length", 1024)
    memories = settings.get("memory_size", 1)
    agrees(model, network(p, legs_system(6), lambda t: 1 / min(t, cap), memories=memories, first=True), atol=1e-6)


@pytest.mark.parametrize("dt", [0.1, None])
def test_hippo_with_a_window(dt):
    model, p = build("hippo", hidden_size=5, order=6, seq_len=20, measure="legt", dt=dt)
    agrees(model, network(p, legt_system(6), lambda t: dt or 1 / 20, memories=1, first=False), atol=1e-6)


def test_the_window_of_hippo_is_the_lmus():
    """Gu et al., Theorem 1: LegT's system is the LMU's, whose polynomials have another scale and sign."""
    a, b = delay_system(7)
    scale = (-1.0) ** np.arange(7) * np.sqrt(2 * np.arange(7) + 1)
    a, b, dt = a * scale / scale[:, None], b / scale, 0.1
    given = discretised_window(7, dt)
    np.testing.assert_allclose(given[0], np.linalg.inv(np.eye(7) - dt / 2 * a) @ (np.eye(7) + dt / 2 * a), atol=1e-12)
    np.testing.assert_allclose(given[1], np.linalg.inv(np.eye(7) - dt / 2 * a) @ b * dt, atol=1e-12)


def test_hippo_has_as_many_coefficients_as_units_unless_set():
    assert build("hippo", hidden_size=7)[0].order == 7


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"order": 0}, "order=0 must be positive"),
        ({"memory_size": 0}, "memory_size=0 must be positive"),
        ({"max_length": 0}, "max_length=0 must be positive"),
        ({"dt": -1.0}, r"dt=-1\.0 must be positive"),
        ({"measure": "lagt"}, "measure='lagt' must be one of 'legs', 'legt'"),
    ],
)
def test_settings_of_hippo_that_make_no_sense(settings, message):
    with pytest.raises(ValueError, match=message):
        build("hippo", **settings)


@pytest.mark.parametrize("settings", [{"memory_size": 2}, {"gate": False}, {"measure": "legt"}])
def test_variants_of_hippo_take_torchs_loop(settings):
    model, _ = build("hippo", hidden_size=4, **settings)
    assert model.float().facts() == {"loop": "torch"}
    assert build("hippo", hidden_size=4)[0].float().facts() == {"loop": "numba"}


def test_hippo_step_by_step_in_double_precision():
    """1/k is computed in the precision of the weights."""
    with precision(torch.float64):
        model, _ = build("hippo", hidden_size=5, max_length=7)
    x_BTD = torch.randn(2, 11, INPUT, dtype=torch.float64)
    state, outputs = model.initial_state(2), []
    for x_BD in x_BTD.unbind(1):
        y_BH, state = model.step(x_BD, state)
        outputs.append(y_BH)
    torch.testing.assert_close(torch.stack(outputs, dim=1), model(x_BTD), rtol=0, atol=1e-12)


def test_hippos_sequences_step_together_at_different_times():
    model, _ = build("hippo", hidden_size=5, max_length=7)
    x_BTD = torch.randn(2, 11, INPUT, dtype=torch.float64)
    early, late = model.initial_state(1), model.initial_state(1)
    for x_BD in x_BTD[1:, :-1].unbind(1):
        _, late = model.step(x_BD, late)
    together = tuple(torch.cat(pair) for pair in zip(early, late, strict=True))
    y_BH, _ = model.step(torch.stack([x_BTD[0, 0], x_BTD[1, -1]]), together)
    torch.testing.assert_close(y_BH, torch.stack([model(x_BTD)[0, 0], model(x_BTD)[1, -1]]), rtol=0, atol=1e-6)


def test_hippo_eigenvalues_are_the_positive_integers():
    model, _ = build("hippo", hidden_size=2, order=32)
    eigenvalues = np.linalg.eigvals(model.A.numpy())
    np.testing.assert_allclose(np.sort(eigenvalues.real), np.arange(1, 33), rtol=1e-5)


def test_hippo_remembers_the_whole_past():
    """Σ_n c_n √(2n+1) P_n(2s/t − 1) is the function so far, at any t: LegS has no time scale."""
    model, _ = build("hippo", hidden_size=2, order=24)
    for steps in (300, 900):
        u = np.cos(3 * np.pi * np.arange(1, steps + 1) / steps)
        c_BMN = torch.zeros(1, 1, 24, dtype=torch.float64)
        for t, value in enumerate(u):
            c_BMN = model.remember_each(c_BMN, torch.full((1, 1), value, dtype=torch.float64), torch.tensor([t]))
        points = np.linspace(0.05, 0.95, 7)
        basis = np.polynomial.legendre.legval(2 * points - 1, np.diag(np.sqrt(2 * np.arange(24) + 1)))
        np.testing.assert_allclose(c_BMN.numpy()[0, 0] @ basis, np.cos(3 * np.pi * points), atol=0.05)
