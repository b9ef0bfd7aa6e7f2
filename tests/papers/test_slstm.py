import numpy as np
import pytest
import torch

from bench.catalog.registry import find_model
from tests.papers.reference import STEPS, agrees, build, loop, sigmoid

MAPS = ("input_gate", "forget_gate", "candidate", "output_gate")


def varied(name="slstm", **settings):
    """The layer with its recurrent weights and scales away from where they start, which is 0 and 1."""
    model, p = build(name, **settings)
    torch.nn.init.normal_(model.recurrent, std=0.5)
    torch.nn.init.normal_(model.norm.scale)
    return model, p


@pytest.mark.parametrize(("size", "heads"), [(6, 1), (6, 3), (5, 2)])
@pytest.mark.parametrize("conv_size", [0, 4])
def test_slstm(size, heads, conv_size):
    model, p = varied(hidden_size=size, heads=heads, conv_size=conv_size)
    agrees(model, reference(p, heads, conv_size, enter=p["enter.weight"], bias=p["enter.bias"]))


@pytest.mark.parametrize("steps", [1, 5])
def test_an_input_that_the_heads_do_not_divide_is_padded_with_zeros(steps):
    model, p = varied(hidden_size=5, heads=3, input_size=5)
    assert "enter.weight" not in p
    assert model.output_size == 6
    agrees(model, reference(p, 3, 4, enter=np.eye(6)[:, :5], bias=0), steps)


def reference(p, heads, conv_size, enter, bias):
    """The equations with plain exponentials: the gates must be moderate."""
    size = len(p["norm.scale"])

    def mapped(name, v):
        blocks = zip(p[f"{name}.weight"], v.reshape(heads, -1), strict=True)
        return np.concatenate([w @ part for w, part in blocks]) + p[f"{name}.bias"]

    def fed_back(gate, h):
        blocks = zip(p["recurrent"][:, gate], h.reshape(heads, -1), strict=True)
        return np.concatenate([w @ part for w, part in blocks])

    def advance(u, state):
        h, c, n, window = state
        x = v = enter @ u + bias
        if conv_size:
            window = [*window, x][-conv_size:]
            v = sum(p["conv.weight"][:, 0, conv_size - len(window) + j] * w for j, w in enumerate(window))
            v = (v + p["conv.bias"]) * sigmoid(v + p["conv.bias"])
        given = (v, v, x, x)
        i, f, z, o = (mapped(name, given[k]) + fed_back(k, h) for k, name in enumerate(MAPS))
        c = sigmoid(f) * c + np.exp(i) * np.tanh(z)
        n = sigmoid(f) * n + np.exp(i)
        h = sigmoid(o) * c / n
        parts = h.reshape(heads, -1)
        normed = (parts - parts.mean(1, keepdims=True)) / np.sqrt(parts.var(1, keepdims=True) + 1e-5)
        return normed.reshape(-1) * p["norm.scale"], (h, c, n, window)

    return loop(advance, (np.zeros(size), np.zeros(size), np.zeros(size), []))


def gradients(model, x_BTD):
    x_BTD = x_BTD.detach().requires_grad_()
    y_BTH = model(x_BTD)
    weight_BTH = torch.linspace(-1, 1, y_BTH.numel()).reshape(y_BTH.shape).sin().to(y_BTH)
    return [y_BTH, *torch.autograd.grad((y_BTH * weight_BTH).sum(), [x_BTD, *model.parameters()])]


@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_the_compiled_loop_agrees_with_torch(scale):
    model, _ = varied(hidden_size=13, heads=2)
    model = model.float()
    x_BTD = scale * torch.randn(STEPS, 19, 3).transpose(0, 1)  # more sequences than one share, and not contiguous
    assert model.facts() == {"loop": "numba"}
    given = gradients(model, x_BTD)
    expected = gradients(model.double(), x_BTD.double())
    for got, want in zip(given, expected, strict=True):
        torch.testing.assert_close(got.double(), want, rtol=1e-4, atol=2e-5 * scale * max(1.0, want.abs().max().item()))


@pytest.mark.parametrize("gate", [300.0, -300.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gates_of_any_size_stay_finite(gate, dtype):
    model, _ = varied(hidden_size=6, heads=2)
    with torch.no_grad():
        model.input_gate.bias.fill_(gate)
        model.forget_gate.bias.fill_(-gate)
    results = gradients(model.to(dtype), 100 * torch.randn(2, 9, 3, dtype=dtype))
    assert all(each.isfinite().all() for each in results)


def test_a_missing_value_is_seen_from_then_on():
    model, _ = varied(hidden_size=6, heads=2, conv_size=0)
    x_BTD = torch.randn(2, 9, 3)
    x_BTD[0, 5, 0] = np.nan
    y_BTH = model.float()(x_BTD)
    assert y_BTH[0, 5:].isnan().all()
    assert y_BTH[0, :5].isfinite().all()
    assert y_BTH[1].isfinite().all()


def test_forget_biases_fall_by_a_power_that_grows_with_the_layer():
    cls = find_model("slstm").cls
    for layer, power in ((0, 0.3), (1, 0.95), (2, 1.6)):
        model = cls(cls.Config(hidden_size=10, heads=2), input_size=10, seq_len=9, layer=layer, layers=3)
        falling = 5 - 12 * np.linspace(0, 1, 5) ** power
        np.testing.assert_allclose(model.forget_gate.bias.detach(), np.tile(falling, 2), rtol=1e-5, atol=1e-6)


def test_decay_spares_what_the_authors_spare():
    model, p = build("slstm", hidden_size=4, heads=2)
    (spared,) = model.optimizer_groups()
    names = {name for name, each in model.named_parameters() if any(each is other for other in spared["params"])}
    assert names == {name for name in p if "weight" not in name} - {"enter.bias"}
    assert spared["weight_decay"] == 0


def test_a_negative_convolution_is_refused():
    with pytest.raises(ValueError, match="conv_size=-1 must be positive, or 0 for none"):
        find_model("slstm").cls.Config(conv_size=-1)
