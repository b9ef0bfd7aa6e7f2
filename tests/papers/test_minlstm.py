import numpy as np
import pytest

from tests.papers.reference import agrees, build, loop, sigmoid


@pytest.mark.parametrize("expansion", [1.0, 1.5])
def test_minlstm(expansion):
    model, p = build("minlstm", hidden_size=5, expansion=expansion)
    out = p["leave.weight"] if expansion != 1 else np.eye(5)

    def advance(x, h):
        f, i, candidate = np.split(p["project.weight"] @ x, 3)
        f, i = sigmoid(f), sigmoid(i)
        positive = np.where(candidate >= 0, candidate + 0.5, sigmoid(candidate))
        h = f / (f + i) * h + i / (f + i) * positive
        return out @ h, h

    agrees(model, loop(advance, np.zeros(int(5 * expansion))))
