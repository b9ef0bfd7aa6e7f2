import numpy as np

from tests.papers.reference import INPUT, agrees, build


def test_last_values():
    model, p = build("last-values", hidden_size=4, window=5)
    weight, bias = p["conv.weight"], p["conv.bias"]

    def reference(x_TD):
        padded = np.concatenate([np.zeros((4, INPUT)), x_TD])
        return np.stack([np.einsum("hdk,kd->h", weight, padded[t : t + 5]) + bias for t in range(len(x_TD))])

    agrees(model, reference)
