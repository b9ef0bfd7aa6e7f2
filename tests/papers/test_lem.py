import numpy as np
import pytest

from tests.papers.golden import load
from tests.papers.reference import agrees, build, loop, sigmoid


def test_lem():
    model, p = build("lem", hidden_size=5, dt=0.6)
    v = np.split(p["input.weight"], 4)
    b = np.split(p["input.bias"], 4)
    w_1, w_2, w_z = np.split(p["hidden.weight"], 3)

    def advance(x, state):
        y, z = state
        dt_z = 0.6 * sigmoid(w_1 @ y + v[0] @ x + b[0])
        dt_y = 0.6 * sigmoid(w_2 @ y + v[1] @ x + b[1])
        z = (1 - dt_z) * z + dt_z * np.tanh(w_z @ y + v[2] @ x + b[2])
        y = (1 - dt_y) * y + dt_y * np.tanh(p["cross.weight"] @ z + v[3] @ x + b[3])
        return y, (y, z)

    agrees(model, loop(advance, (np.zeros(5), np.zeros(5))))


def test_each_bias_starts_as_the_sum_of_the_authors_two(golden_folder):
    """They are independent and uniform. So their sum has a triangular distribution between the sums of the bounds."""
    arrays = load("lem_init", golden_folder)
    stats = [arrays[f"stats/cell.{name}.bias"] for name in ("inp2hid", "hid2hid")]
    np.testing.assert_allclose(arrays["stats/cell.transform_z.bias"][1:4], stats[1][1:4], rtol=0.02)
    _, spread, lowest, highest = np.sqrt(sum(s[:4] ** 2 for s in stats)) * [1, 1, 2**0.5, 2**0.5]
    hidden = arrays["size/H"].item()
    b = np.concatenate([build("lem", hidden_size=hidden, seed=seed)[1]["input.bias"] for seed in range(200)])
    assert b.std() == pytest.approx(spread, rel=0.03)
    assert 0.9 * highest < b.max() < 1.001 * highest
    assert 0.9 * lowest < -b.min() < 1.001 * lowest
    quarter = (1 - np.sqrt(0.5)) * highest  # the triangular distribution has a quarter above this
    assert (b > quarter).mean() == pytest.approx(0.25, abs=0.02)
