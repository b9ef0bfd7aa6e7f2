import numpy as np
import pytest
import torch

from bench.catalog.registry import find_model
from models.recurrences.rotary import Rotate, rotations
from tests.papers.reference import agrees, build, gelu


@pytest.mark.parametrize("positions", ["rotary", "sinusoidal"])
def test_transformer(positions):
    model, p = build("transformer", hidden_size=6, min_head_size=3, positions=positions)
    size = 4  # the smallest even head that holds half of 6

    def norm(v, weight, bias):
        return (v - v.mean()) / np.sqrt(v.var() + 1e-5) * weight + bias

    def turn(v, t):
        if positions != "rotary":
            return v
        out = np.zeros(size)
        for i in range(size // 2):
            angle = t * 10000 ** (-2 * i / size)
            pair = complex(v[i], v[i + size // 2]) * np.exp(1j * angle)
            out[i], out[i + size // 2] = pair.real, pair.imag
        return out

    def reference(x_TD):
        u = x_TD @ p["encoder.weight"].T + p["encoder.bias"]
        if positions == "sinusoidal":
            angles = np.outer(np.arange(len(u)), 10000 ** (-2 * np.arange(3) / 6))
            u = u + np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
        qkv = [p["qkv.weight"] @ norm(row, p["norm.weight"], p["norm.bias"]) for row in u]
        qkv = np.reshape(qkv, (len(u), 3, 2, size))
        outputs = []
        for t in range(len(u)):
            heads = []
            for n in range(2):
                score = np.array([turn(qkv[t, 0, n], t) @ turn(qkv[s, 1, n], s) for s in range(t + 1)]) / 2
                weight = np.exp(score - score.max())
                heads.append(weight / weight.sum() @ qkv[: t + 1, 2, n])
            v = u[t] + p["out.weight"] @ np.concatenate(heads)
            inner = norm(v, p["feed_forward.0.weight"], p["feed_forward.0.bias"])
            inner = gelu(p["feed_forward.1.weight"] @ inner + p["feed_forward.1.bias"])
            outputs.append(v + p["feed_forward.3.weight"] @ inner + p["feed_forward.3.bias"])
        return np.stack(outputs)

    agrees(model, reference, atol=1e-6)


def test_rotation_has_its_gradient():
    x_BNTd = torch.randn(1, 2, 3, 4, dtype=torch.float64, requires_grad=True)
    turns = rotations(torch.arange(3), 4, x_BNTd.dtype)
    assert torch.autograd.gradcheck(lambda x: Rotate.apply(x, *turns), x_BNTd)


def test_heads_are_never_smaller_than_asked_unless_the_width_is():
    config = find_model("transformer").cls.Config
    for least in (8, 16, 64):
        for width in range(1, 200):
            sizes = config(hidden_size=width, min_head_size=least)
            assert sizes.head_size >= min(least, width)
            assert sizes.num_heads * sizes.head_size >= width


def test_only_the_first_layer_adds_the_time():
    cls = find_model("transformer").cls
    config = cls.Config(hidden_size=7, positions="sinusoidal")
    x_BTD = torch.randn(2, 5, 7)
    first, second = (cls(config, input_size=7, seq_len=5, layer=layer, layers=2).encode(x_BTD) for layer in (0, 1))
    assert not torch.equal(first[:, 1:], x_BTD[:, 1:])
    assert torch.equal(second, x_BTD)
