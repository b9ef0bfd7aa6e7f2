"""What the tests of architectures share."""

import math

import numpy as np
import torch

from bench.catalog.registry import find_model

BATCH, STEPS, INPUT = 2, 23, 3


def build(name, *, input_size=INPUT, seq_len=STEPS, seed=0, **settings):
    """A model in float64 with its parameters as numpy arrays."""
    torch.manual_seed(seed)
    cls = find_model(name).cls
    model = cls(cls.Config(**settings), input_size=input_size, seq_len=seq_len).double().eval()
    return model, {key: value.detach().numpy() for key, value in model.named_parameters()}


def agrees(model, reference, steps=STEPS, atol=1e-9):
    """All steps and the last one are those of `reference`, a function from x (T, D) to y (T, H)."""
    x_BTD = torch.randn(BATCH, steps, model_input(model), dtype=torch.float64)
    expected = np.stack([reference(x_TD) for x_TD in x_BTD.numpy()])
    np.testing.assert_allclose(model(x_BTD).detach().numpy(), expected, atol=atol, rtol=1e-7)
    np.testing.assert_allclose(model.last(x_BTD).detach().numpy(), expected[:, -1], atol=atol, rtol=1e-7)


def model_input(model):
    return getattr(model, "input_size", INPUT)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gelu(x):
    return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def gelu_tanh(x):
    return x * 0.5 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def as_complex(pairs):
    return pairs[..., 0] + 1j * pairs[..., 1]


def loop(advance, state):
    """y for every step, from `advance(x, state) -> (y, state)`."""

    def reference(x_TD):
        now, outputs = state, []
        for x in x_TD:
            y, now = advance(x, now)
            outputs.append(y)
        return np.stack(outputs)

    return reference


def legs_system(order):
    a = np.zeros((order, order))
    for n in range(order):
        for k in range(n):
            a[n, k] = math.sqrt(2 * n + 1) * math.sqrt(2 * k + 1)
        a[n, n] = n + 1
    return a, np.sqrt(2 * np.arange(order) + 1)
