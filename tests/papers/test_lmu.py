import numpy as np
import pytest
import torch
from scipy.linalg import expm

from tests.papers.reference import agrees, build, loop


def lmu_system(order):
    """(A, B) entry by entry, as Voelker et al. 2019 write them."""
    a, b = np.zeros((order, order)), np.zeros(order)
    for i in range(order):
        b[i] = (2 * i + 1) * (-1) ** i
        for j in range(order):
            a[i, j] = (2 * i + 1) * (-1 if i < j else (-1) ** (i - j + 1))
    return a, b


@pytest.mark.parametrize("recurrent", [True, False])
def test_lmu(recurrent):
    model, p = build("lmu", hidden_size=5, order=6, theta=17.0, recurrent=recurrent)
    a, b = lmu_system(6)
    a_bar = expm(a / 17)
    b_bar = np.linalg.solve(a, (a_bar - np.eye(6)) @ b)
    e_h, e_m, w_h = np.zeros((1, 5)), np.zeros((1, 6)), np.zeros((5, 5))
    if recurrent:
        with torch.no_grad():
            model.encode_m.weight.normal_()
        e_h, e_m, w_h = p["encode_h.weight"], p["encode_m.weight"], p["kernel_h.weight"]

    def advance(x, state):
        h, m = state
        u = p["encode_x.weight"] @ x + e_h @ h + e_m @ m
        m = a_bar @ m + b_bar * u
        h = np.tanh(p["kernel_x.weight"] @ x + w_h @ h + p["kernel_m.weight"] @ m)
        return h, (h, m)

    # The constants are held in float32, as the harness trains.
    agrees(model, loop(advance, (np.zeros(5), np.zeros(6))), atol=1e-6)


def test_lmu_memory_is_a_window_in_legendre_polynomials():
    """m · P(θ′/θ) gives back u(t − θ′): the delay that the system approximates (eq. 3)."""
    model, _ = build("lmu", hidden_size=1, order=16, seq_len=400, recurrent=False)
    times = np.arange(1200)
    u = np.sin(2 * np.pi * times / 300)
    response = model.impulse_response(1200).detach().numpy()
    memory = sum(u[1199 - lag] * response[lag] for lag in range(1200))
    for back in (0, 100, 399):
        legendre = np.polynomial.legendre.legval(2 * back / 400 - 1, np.eye(16))
        assert memory @ legendre == pytest.approx(u[1199 - back], abs=0.03)
