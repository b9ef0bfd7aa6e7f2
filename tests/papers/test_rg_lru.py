import numpy as np
import pytest
import torch

from bench.catalog.registry import find_model
from tests.papers.reference import agrees, build, gelu_tanh, loop, sigmoid


def softplus(v):
    return np.log1p(np.exp(v))


@pytest.mark.parametrize(("expansion", "block_size"), [(1.0, 4), (4 / 3, 2), (1.0, 70)])
def test_rg_lru(expansion, block_size):
    model, p = build("rg-lru", hidden_size=6, expansion=expansion, block_size=block_size)
    size = model.inner_size
    assert size == {4: 8, 2: 8, 70: 70}[block_size]

    def gate(name, x):
        blocks = zip(p[f"{name}.weight"], x.reshape(-1, block_size), strict=True)
        return sigmoid(np.concatenate([w @ part for w, part in blocks]) + p[f"{name}.bias"])

    def advance(u, state):
        h, window = state
        window = [*window, p["enter.weight"] @ u + p["enter.bias"]][-4:]
        x = sum(p["conv.weight"][:, 0, 4 - len(window) + j] * v for j, v in enumerate(window)) + p["conv.bias"]
        a = np.exp(-softplus(p["decay"])) ** (8 * gate("recurrence_gate", x))
        scale = 1 if h is None else np.sqrt(1 - a**2)
        h = a * (0 if h is None else h) + scale * gate("input_gate", x) * x
        y = gelu_tanh(p["gate.weight"] @ u + p["gate.bias"]) * h
        return p["leave.weight"] @ y + p["leave.bias"], (h, window)

    agrees(model, loop(advance, (None, [])))


def test_joined_blocks_compute_what_the_blocks_do():
    from models.recurrences.block_diagonal import TILE, BlockDiagonal, joined_blocks

    layer = BlockDiagonal(36 * 4, 36, std=1.0, bias=True).double()
    with torch.no_grad():
        layer.bias.normal_()
    assert 1 < len(joined_blocks(layer.weight)) < 36
    assert joined_blocks(layer.weight).shape[2] <= TILE
    x_BTE = torch.randn(2, 3, 36 * 4, dtype=torch.float64)
    expected = x_BTE @ torch.block_diag(*layer.weight).T + layer.bias
    torch.testing.assert_close(layer(x_BTE), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("decay", [-200.0, 200.0])
def test_gradients_stay_finite_where_nothing_or_all_is_forgotten(dtype, decay):
    """At a = 1 the derivative of √(1 − a²) is infinite."""
    cls = find_model("rg-lru").cls
    model = cls(cls.Config(hidden_size=8, block_size=4), input_size=3, seq_len=9).to(dtype)
    torch.nn.init.constant_(model.decay, decay)
    x_BTD = (100 * torch.randn(2, 9, 3, dtype=dtype)).requires_grad_()
    model(x_BTD).sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
    assert x_BTD.grad.isfinite().all()


def test_a_starts_between_its_bounds_and_without_weight_decay():
    model, p = build("rg-lru", hidden_size=2000, r_min=0.5, r_max=0.7, block_size=4)
    a = np.exp(-softplus(p["decay"]))
    assert (a.min(), a.max()) == pytest.approx((0.5, 0.7), abs=0.002)
    assert (a**2).mean() == pytest.approx((0.25 + 0.49) / 2, abs=0.01)
    (group,) = model.optimizer_groups()
    assert group["params"][0] is model.decay
    assert group["weight_decay"] == 0


def test_radii_out_of_order_are_refused():
    with pytest.raises(ValueError, match=r"r_min=0\.9 and r_max=0\.5"):
        find_model("rg-lru").cls.Config(r_max=0.5)
