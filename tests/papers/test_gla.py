import numpy as np
import pytest
import torch

from bench.catalog.registry import find_model
from models.recurrences.decayed_attention import decayed_attention
from tests.papers.reference import agrees, build, sigmoid

SETTINGS = [
    {},
    {"decay": "fixed", "expand_k": 1.0, "expand_v": 2.0, "head_size": 8},
    {"decay": "none", "expand_k": 1.0, "head_size": 4},
]


def turned(x, t):
    """x with the pair (x_i, x_{i + d/2}) turned by t 10000^{−2i/d}."""
    half = len(x) // 2
    turn = np.exp(1j * t * 10_000.0 ** (-np.arange(half) / half)) * (x[:half] + 1j * x[half:])
    return np.concatenate([turn.real, turn.imag])


def reference(p, *, decay="gated", head_size=4, expand_k=0.5, expand_v=1.0):
    e, d = head_size, int(head_size * expand_k / expand_v)
    heads = round(expand_v * 8 / e)

    def phi(v):
        return np.where(v > 0, v + 1, np.exp(v))

    def every_step(x_TD):
        outputs, pairs = [], []
        for t, x in enumerate(x_TD):
            q, k, v, z = np.split(p["enter.weight"] @ x, np.cumsum([heads * d, heads * d, heads * e]))
            q, k, v = q.reshape(heads, d), k.reshape(heads, d), v.reshape(heads, e)
            if decay == "gated":
                gate = p["gate.1.weight"] @ (p["gate.0.weight"] @ x) + p["gate.1.bias"]
                alpha = sigmoid(gate).reshape(heads, d) ** (1 / 16)
            else:
                alpha = np.array([1 - 2.0 ** (-5 - h) if decay == "fixed" else 1.0 for h in range(heads)])[:, None]
            pairs = [(key * alpha, value) for key, value in pairs]
            if decay == "fixed":
                q, k = np.stack([turned(v, t) for v in q]), np.stack([turned(v, t) for v in k])
            if decay == "none":
                q, k = phi(q), phi(k)
            pairs.append((k, v))
            weights = np.stack([(q * key).sum(1) for key, _ in pairs])  # (t, heads)
            o = np.einsum("th,the->he", weights, np.stack([value for _, value in pairs]))
            o = o / weights.sum(0)[:, None] if decay == "none" else o / np.sqrt(d)
            y = (o / np.sqrt((o**2).mean(1, keepdims=True) + 1e-5) * p["norm.weight"]).ravel()
            outputs.append(p["leave.weight"] @ (y * z * sigmoid(z) if len(z) else y))
        return np.stack(outputs)

    return every_step


@pytest.mark.parametrize("steps", [1, 16, 35])
@pytest.mark.parametrize("settings", SETTINGS)
def test_gla(settings, steps):
    """Each output is a sum over all pairs of steps, without a state."""
    model, p = build("gla", hidden_size=8, **({"head_size": 4} | settings))
    agrees(model, reference(p, **settings), steps=steps)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_strong_decays_are_finite_and_forget_exactly(dtype):
    """The state after a decay of e^−1000 is what has been written since; weak decays beside it lose no digits."""
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, 40, 3, 4, dtype=dtype, requires_grad=True) for _ in range(3))
    log_decay = torch.full((2, 40, 3, 4), -0.01, dtype=dtype)
    log_decay[:, 21] = -1000
    log_decay.requires_grad_()
    o = decayed_attention(q, k, v, log_decay)
    alone = decayed_attention(*(each[:, 21:] for each in (q, k, v, log_decay)))
    torch.testing.assert_close(o[:, 21:], alone, rtol=1e-4, atol=1e-5)
    o.sum().backward()
    assert all(each.grad.isfinite().all() for each in (q, k, v, log_decay))


def test_keys_that_are_no_whole_number_are_refused():
    config = find_model("gla").cls.Config
    with pytest.raises(ValueError, match=r"head_size=3 × expand_k=0\.5 / expand_v=1\.0 is the size of a key"):
        config(head_size=3)
    with pytest.raises(ValueError, match="must be a positive multiple of 2"):
        config(head_size=3, expand_k=1.0, decay="fixed")
