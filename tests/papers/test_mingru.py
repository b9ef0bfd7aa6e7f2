import numpy as np

from tests.papers.reference import agrees, build, loop, sigmoid


def test_mingru():
    model, p = build("mingru", hidden_size=5)

    def advance(x, h):
        gate, candidate = np.split(p["project.weight"] @ x + p["project.bias"], 2)
        h = (1 - sigmoid(gate)) * h + sigmoid(gate) * candidate
        return h, h

    agrees(model, loop(advance, np.zeros(5)))
