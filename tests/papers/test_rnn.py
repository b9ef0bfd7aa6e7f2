import numpy as np
import pytest

from tests.papers.reference import agrees, build, loop


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
def test_rnn(nonlinearity):
    model, p = build("rnn", hidden_size=5, nonlinearity=nonlinearity)
    f = {"tanh": np.tanh, "relu": lambda z: np.maximum(z, 0)}[nonlinearity]

    def advance(x, h):
        z = p["rnn.weight_ih_l0"] @ x + p["rnn.bias_ih_l0"] + p["rnn.weight_hh_l0"] @ h + p["rnn.bias_hh_l0"]
        return f(z), f(z)

    agrees(model, loop(advance, np.zeros(5)))


def test_relu_rnn_starts_at_the_identity():
    _, p = build("rnn", hidden_size=40, input_size=50, nonlinearity="relu")
    np.testing.assert_array_equal(p["rnn.weight_hh_l0"], np.eye(40))
    assert not p["rnn.bias_ih_l0"].any()
    assert not p["rnn.bias_hh_l0"].any()
    assert np.std(p["rnn.weight_ih_l0"]) == pytest.approx(0.001, rel=0.1)
