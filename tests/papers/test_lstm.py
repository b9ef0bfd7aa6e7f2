import math

import numpy as np
import pytest

from tests.papers.reference import agrees, build, loop, sigmoid


def test_lstm():
    model, p = build("lstm", hidden_size=5)

    def advance(x, state):
        h, c = state
        z = p["rnn.weight_ih_l0"] @ x + p["rnn.bias_ih_l0"] + p["rnn.weight_hh_l0"] @ h + p["rnn.bias_hh_l0"]
        i, f, g, o = np.split(z, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        return h, (h, c)

    agrees(model, loop(advance, (np.zeros(5), np.zeros(5))))


def test_chrono_biases_are_logarithms_of_memory_times():
    _, p = build("lstm", hidden_size=2000, seq_len=500, chrono=True)
    bias_i, bias_f, _, _ = np.split(p["rnn.bias_ih_l0"] + p["rnn.bias_hh_l0"], 4)
    np.testing.assert_allclose(bias_i, -bias_f)
    memory = np.exp(bias_f)
    assert memory.min() >= 1
    assert memory.max() <= 499
    assert memory.mean() == pytest.approx(250, abs=4 * 498 / math.sqrt(12 * 2000))
