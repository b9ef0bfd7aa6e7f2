import numpy as np
import pytest

from bench.catalog.registry import find_model
from bench.runs.settings import Settings
from models.shared.wrappers import Residual
from tests.papers.reference import agrees, build, loop, sigmoid


def positive(v):
    return np.where(v >= 0, v + 0.5, sigmoid(v))


@pytest.mark.parametrize("expansion", [1.0, 1.5])
def test_mingru(expansion):
    model, p = build("mingru", hidden_size=5, expansion=expansion)
    inner = int(5 * expansion)
    out = p["leave.weight"] if expansion != 1 else np.eye(5)

    def advance(x, h):
        gate, candidate = np.split(p["project.weight"] @ x, 2)
        h = (1 - sigmoid(gate)) * h + sigmoid(gate) * positive(candidate)
        return out @ h, h

    assert model.initial_state(1).shape == (1, inner)
    agrees(model, loop(advance, np.zeros(inner)))


@pytest.mark.parametrize("name", ["mingru", "minlstm"])
def test_no_expansion_is_what_older_records_mean(name):
    cls = find_model(name).cls
    defaults = Settings.defaults(cls, Residual)
    assert defaults.to_dict()["model"] == {"hidden_size": 200}
    assert defaults.updated({"expansion": 1.5}).to_dict()["model"] == {"hidden_size": 200, "expansion": 1.5}


def test_a_state_smaller_than_the_output_is_refused():
    with pytest.raises(ValueError, match=r"expansion=0\.5 must be at least 1"):
        build("mingru", hidden_size=5, expansion=0.5)
