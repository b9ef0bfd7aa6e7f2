import numpy as np
import pytest

from models.shared.training import Training, build_optimizer
from tests.papers.reference import STEPS, agrees, as_complex, build, gelu, legs_system, loop


@pytest.mark.parametrize("init", ["lin", "inv", "legs"])
@pytest.mark.parametrize("steps", [1, 2, STEPS])
def test_s4d(init, steps):
    model, p = build("s4d", hidden_size=4, state_size=6, init=init)
    a = -np.exp(p["log_decay"]) + 1j * p["frequency"]
    dt = np.exp(p["log_dt"])[:, None]
    a_bar, c = np.exp(a * dt), as_complex(p["C"])
    b = as_complex(p["B"]) if init == "legs" else 1

    def advance(x, h):
        u = p["encoder.weight"] @ x + p["encoder.bias"]
        h = a_bar * h + (a_bar - 1) / a * b * u[:, None]
        return gelu(2 * (c * h).sum(1).real + p["D"] * u), h

    agrees(model, loop(advance, np.zeros((4, 3))), steps=steps)


def test_s4d_starts_at_the_papers_eigenvalues():
    n = np.arange(32)
    _, p = build("s4d", init="lin", hidden_size=2)
    np.testing.assert_allclose(-np.exp(p["log_decay"]), -0.5, rtol=1e-6)
    np.testing.assert_allclose(p["frequency"][0], np.pi * n, rtol=1e-6)
    _, p = build("s4d", init="inv", hidden_size=2)
    np.testing.assert_allclose(p["frequency"][0], 64 / np.pi * (64 / (2 * n + 1) - 1), rtol=1e-6)
    _, p = build("s4d", init="legs", hidden_size=2)
    a, b = legs_system(64)
    normal = -a + np.outer(b, b) / 2  # a rank-one correction away from HiPPO-LegS
    np.testing.assert_allclose(normal + normal.T, -np.eye(64), atol=1e-9)  # −½ I plus a skew-symmetric matrix
    eigenvalues = np.linalg.eigvals(normal)
    np.testing.assert_allclose(np.sort(p["frequency"][0]), np.sort(eigenvalues.imag)[32:], rtol=1e-5)
    values, vectors = np.linalg.eig(normal)  # LegS's B in that basis; a vector's phase is free, and its first entry > 0
    vectors = vectors[:, np.argsort(values.imag)[32:]]
    expected = (vectors * np.abs(vectors[0]) / vectors[0] / np.linalg.norm(vectors, axis=0)).conj().T @ b
    expected = expected.real + 1j * expected.imag.clip(-2, 2)
    np.testing.assert_allclose(as_complex(p["B"])[0], expected, rtol=1e-4)


@pytest.mark.parametrize("init", ["lin", "legs"])
def test_a_b_and_the_steps_learn_at_most_at_a_thousandth_without_decay(init):
    model, _ = build("s4d", hidden_size=4, state_size=6, init=init)
    optimizer, _ = build_optimizer(model, model.optimizer_groups(), Training(lr=1e-2, weight_decay=0.1, warmup=0.0), 10)
    (_, state), names = optimizer.param_groups, {id(each): name for name, each in model.named_parameters()}
    own = {"log_decay", "frequency", "log_dt"}
    assert {names[id(each)] for each in state["params"]} == (own | {"B"} if init == "legs" else own)
    assert (state["lr"], state["weight_decay"]) == (1e-3, 0.0)
