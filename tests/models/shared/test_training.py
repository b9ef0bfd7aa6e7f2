"""The optimiser that every architecture is trained with."""

import pytest
import torch
from torch import nn
from torch.optim import AdamW

from models.shared.training import Training, build_optimizer

PRECISIONS = [("32", True), ("64", True), ("bf16-mixed", False), ("16-mixed", False)]


@pytest.mark.parametrize(("precision", "fused"), PRECISIONS)
def test_the_step_is_fused_where_lightning_can_clip(precision, fused):
    optimizer, _ = build_optimizer(nn.Linear(2, 3), [], Training(precision=precision), 10)
    assert optimizer.defaults["fused"] is fused


def test_a_fused_step_gives_the_same_numbers():
    training = Training(lr_schedule="constant", warmup=0.0, weight_decay=0.1)
    weights = [nn.Linear(7, 5, bias=False) for _ in range(2)]
    weights[1].load_state_dict(weights[0].state_dict())
    ours, _ = build_optimizer(weights[0], [], training, 10)
    plain = AdamW(weights[1].parameters(), lr=training.lr, weight_decay=0.1, fused=False)
    for step in range(5):
        for layer, optimizer in zip(weights, (ours, plain), strict=True):
            layer.weight.grad = torch.randn(5, 7, generator=torch.Generator().manual_seed(step))
            optimizer.step()
    torch.testing.assert_close(weights[0].weight, weights[1].weight, rtol=1e-6, atol=1e-7)
