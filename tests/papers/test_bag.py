import numpy as np
import torch

from tests.papers.reference import BATCH, INPUT, STEPS, agrees, build


def test_bag():
    model, p = build("bag", hidden_size=4)

    def reference(x_TD):
        features = np.maximum(x_TD @ p["feature.weight"].T + p["feature.bias"], 0)
        return np.stack([features[: t + 1].mean(0) for t in range(len(x_TD))])

    agrees(model, reference)
    x_BTD = torch.randn(BATCH, STEPS, INPUT, dtype=torch.float64)
    torch.testing.assert_close(model.last(x_BTD), model.last(x_BTD.flip(1)))
