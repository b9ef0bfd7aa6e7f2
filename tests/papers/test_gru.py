import numpy as np

from tests.papers.reference import agrees, build, loop, sigmoid


def test_gru():
    model, p = build("gru", hidden_size=5)

    def advance(x, h):
        r_x, z_x, n_x = np.split(p["rnn.weight_ih_l0"] @ x + p["rnn.bias_ih_l0"], 3)
        r_h, z_h, n_h = np.split(p["rnn.weight_hh_l0"] @ h + p["rnn.bias_hh_l0"], 3)
        z = sigmoid(z_x + z_h)
        h = (1 - z) * np.tanh(n_x + sigmoid(r_x + r_h) * n_h) + z * h
        return h, h

    agrees(model, loop(advance, np.zeros(5)))
