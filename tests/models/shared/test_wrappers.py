"""The wrappers around a mixer: what the residual wrapper reads, and of which steps it computes it."""

import pytest
import torch

from bench.catalog.registry import find_model
from bench.runs.network import build
from bench.runs.settings import Settings
from datamodules._spec import Continuous, Label, TaskSpec
from models.shared.contract import final_step
from models.shared.wrappers import Residual, ResidualBlock

B, T = 3, 9
SPEC = TaskSpec(
    name="noise", summary="Noise.", seq_len=T, input=Continuous(2), output=Label(4), metric="accuracy", chance=0.25,
    source="", license="", citation="",
)  # fmt: skip


def network(name, **changes):
    model = find_model(name).cls
    torch.manual_seed(0)
    return build(model, Residual, Settings.at_width(model, Residual, 8).updated(changes), SPEC)


def every_block_at_every_step(network, x_BTD, lengths_B):
    h_BTW = network.core["encoder"](x_BTD)
    for block in network.core["blocks"]:
        h_BTW = block(h_BTW, lengths_B)
    return network.readout(final_step(network.core["norm"](h_BTW), lengths_B))


def gradients(network, outputs):
    outputs.square().sum().backward()
    grads = [parameter.grad.clone() for parameter in network.parameters()]
    network.zero_grad()
    return grads


@pytest.mark.parametrize("lengths_B", [None, torch.tensor([9, 1, 5])])
@pytest.mark.parametrize("name", ["fru", "s4d", "s5", "mingru", "transformer", "mamba", "none"])
def test_the_last_step_is_that_of_all_steps(name, lengths_B):
    net, x_BTD = network(name), torch.randn(B, T, 2, generator=torch.Generator().manual_seed(1))
    y_BV, expected_BV = net(x_BTD, lengths_B), every_block_at_every_step(net, x_BTD, lengths_B)
    torch.testing.assert_close(y_BV, expected_BV, rtol=1e-5, atol=1e-5)
    for grad, expected in zip(gradients(net, y_BV), gradients(net, expected_BV), strict=True):
        torch.testing.assert_close(grad, expected, rtol=1e-4, atol=1e-5)


def test_the_top_block_computes_the_last_step_only(monkeypatch):
    added, shapes = ResidualBlock.add_gated, []

    def noted(block, h_W, y_H):
        shapes.append(tuple(h_W.shape))
        return added(block, h_W, y_H)

    monkeypatch.setattr(ResidualBlock, "add_gated", noted)
    network("none", depth=3)(torch.randn(B, T, 2))
    assert shapes == [(B, T, 8), (B, T, 8), (B, 8)]


def test_the_mean_is_that_of_a_sequence_without_its_padding():
    net, x_BTD = network("mingru", pooling="mean"), torch.randn(B, T, 2)
    alone_V = net(x_BTD[1:2, :5])[0]
    torch.testing.assert_close(net(x_BTD, torch.tensor([9, 5, 7]))[1], alone_V, rtol=1e-5, atol=1e-6)
