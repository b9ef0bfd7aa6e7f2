import numpy as np
import pytest
import torch

from bench.catalog.registry import find_model
from tests.papers.reference import INPUT, agrees, build


def test_tcn():
    model, p = build("tcn", hidden_size=4, kernel_size=3, blocks=2)
    prefix = "blocks.{}.convs.{}.parametrizations.weight.original{}"

    def conv(x_TD, block, which):
        magnitude, direction = (p[prefix.format(block, which, part)] for part in (0, 1))
        weight = magnitude * direction / np.sqrt((direction**2).sum((1, 2), keepdims=True))
        y = np.zeros((len(x_TD), 4)) + p[f"blocks.{block}.convs.{which}.bias"]
        for t in range(len(x_TD)):
            for j in range(3):
                source = t - (2 - j) * 2**block
                if source >= 0:
                    y[t] += weight[:, :, j] @ x_TD[source]
        return np.maximum(y, 0)

    def reference(x_TD):
        shortcut = x_TD @ p["blocks.0.shortcut.weight"].T + p["blocks.0.shortcut.bias"]
        h = np.maximum(shortcut + conv(conv(x_TD, 0, 0), 0, 1), 0)
        return np.maximum(h + conv(conv(h, 1, 0), 1, 1), 0)

    agrees(model, reference)


@pytest.mark.parametrize(("kernel_size", "blocks"), [(2, 1), (3, 2), (4, 3)])
def test_tcn_sees_exactly_its_receptive_field(kernel_size, blocks):
    model, _ = build("tcn", hidden_size=16, kernel_size=kernel_size, blocks=blocks)
    field = 1 + 2 * (kernel_size - 1) * (2**blocks - 1)
    x_BTD = torch.randn(4, field + 5, INPUT, dtype=torch.float64, requires_grad=True)
    with torch.no_grad():
        for parameter in model.parameters():  # no dead units
            parameter.abs_()
    (grad,) = torch.autograd.grad(model.last(x_BTD.abs()).sum(), x_BTD)
    seen = (grad != 0).any(0).any(-1)
    assert seen.tolist() == [False] * 5 + [True] * field


def test_tcn_covers_the_training_length():
    cls = find_model("tcn").cls
    assert cls.Config().depth(784) == 7
    assert cls.Config(blocks=8).depth(784) == 8
