import numpy as np
import torch

from tests.faithful.reference import INPUT, agrees, build, loop


def test_indrnn():
    model, p = build("indrnn", hidden_size=5)

    def advance(x, h):
        h = np.maximum(p["input.weight"] @ x + p["u"] * h + p["input.bias"], 0)
        return h, h

    agrees(model, loop(advance, np.zeros(5)))


def test_indrnn_bounds_its_weights():
    model, p = build("indrnn", hidden_size=5, seq_len=10)
    with torch.no_grad():
        model.u.copy_(torch.tensor([-3.0, -1, 0, 1, 3]))
    model(torch.zeros(1, 10, INPUT, dtype=torch.float64))
    np.testing.assert_allclose(p["u"], [-(2**0.1), -1, 0, 1, 2**0.1])
