import numpy as np

from tests.papers.reference import agrees, as_complex, build, gelu, legs_system, loop


def test_s5():
    model, p = build("s5", hidden_size=4, state_size=8, blocks=2)
    lam = -np.exp(p["log_decay"]) + 1j * p["frequency"]
    lam_bar = np.exp(lam * np.exp(p["log_dt"]))
    b_bar = ((lam_bar - 1) / lam)[:, None] * as_complex(p["B"])

    def advance(x, h):
        u = p["encoder.weight"] @ x + p["encoder.bias"]
        h = lam_bar * h + b_bar @ u
        return gelu(2 * (as_complex(p["C"]) @ h).real + p["D"] * u), h

    agrees(model, loop(advance, np.zeros(4)))


def test_s5_starts_at_repeated_hippo_blocks():
    _, p = build("s5", state_size=24, blocks=3)
    a, b = legs_system(8)
    expected = np.sort(np.linalg.eigvals(np.outer(b, b) / 2 - a).imag)[4:]
    for block in np.split(p["frequency"], 3):
        np.testing.assert_allclose(np.sort(block), expected, rtol=1e-5)
    np.testing.assert_allclose(np.exp(p["log_decay"]), 0.5, rtol=1e-6)
    dt = np.exp(p["log_dt"])
    assert dt.min() >= 1e-3
    assert dt.max() <= 1e-1
