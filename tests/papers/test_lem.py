import numpy as np

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
