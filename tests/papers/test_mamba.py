import numpy as np
import pytest

from bench.catalog.registry import find_model
from tests.papers.reference import agrees, build, sigmoid


@pytest.mark.parametrize("chunk", [5, 128])
def test_mamba(chunk, monkeypatch):
    monkeypatch.setattr("models.mamba.CHUNK", chunk)
    model, p = build("mamba", hidden_size=4, state_size=3)
    a = -np.exp(p["A_log"])

    def silu(v):
        return v * sigmoid(v)

    def reference(x_TD):
        outputs, h, window = [], np.zeros((8, 3)), [np.zeros(8)] * 3
        for x in x_TD:
            u, z = np.split(p["enter.weight"] @ x, 2)
            window = [*window, u][-4:]
            u = silu(sum(p["conv.weight"][:, 0, j] * window[j] for j in range(4)) + p["conv.bias"])
            rank, b, c = np.split(p["select.weight"] @ u, [1, 4])
            dt = np.log1p(np.exp(p["dt.weight"] @ rank + p["dt.bias"]))
            h = np.exp(dt[:, None] * a) * h + dt[:, None] * np.outer(u, b)
            outputs.append(p["leave.weight"] @ ((h @ c + p["D"] * u) * silu(z)))
        return np.stack(outputs)

    agrees(model, reference)


def test_mamba_starts_as_s4d_real_with_steps_in_range():
    _, p = build("mamba", hidden_size=64)
    np.testing.assert_allclose(np.exp(p["A_log"]), np.tile(np.arange(1, 17), (128, 1)), rtol=1e-6)
    dt = np.log1p(np.exp(p["dt.bias"]))
    assert dt.min() > 0.99e-3
    assert dt.max() < 1.01e-1


def test_the_last_map_starts_narrower_in_a_deeper_network():
    cls = find_model("mamba").cls
    bounds = []
    for layers in (1, 4):
        model = cls(cls.Config(hidden_size=64), input_size=8, seq_len=9, layers=layers)
        bounds.append(model.leave.weight.abs().max().item())
    assert bounds == pytest.approx([128**-0.5, 128**-0.5 / 2], rel=0.01)


def test_decay_spares_what_the_authors_spare():
    cls = find_model("mamba").cls
    model = cls(cls.Config(hidden_size=8), input_size=8, seq_len=9)
    (spared,) = model.optimizer_groups()
    names = {name for name, each in model.named_parameters() if any(each is other for other in spared["params"])}
    assert names == {"A_log", "D", "dt.bias", "conv.bias"}
    assert spared["weight_decay"] == 0
