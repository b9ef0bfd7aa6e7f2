import numpy as np

from tests.papers.reference import agrees, build, loop, sigmoid


def test_minlstm():
    model, p = build("minlstm", hidden_size=5)

    def advance(x, h):
        f, i, candidate = np.split(p["project.weight"] @ x + p["project.bias"], 3)
        f, i = sigmoid(f), sigmoid(i)
        h = f / (f + i) * h + i / (f + i) * candidate
        return h, h

    agrees(model, loop(advance, np.zeros(5)))
