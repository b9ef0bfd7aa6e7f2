import numpy as np
import pytest
import torch

from bench.catalog.registry import find_model
from tests.papers.reference import agrees, build, sigmoid


def silu(v):
    return v * sigmoid(v)


def blockwise(weight, v):
    parts = v.reshape(len(weight), -1)
    return np.concatenate([w @ part for w, part in zip(weight, parts, strict=True)])


def cell(p, heads, q, k, v):
    """h̃ for every step (T, I), from sums over all earlier steps, without a stabiliser: gates must be moderate."""
    gates = np.concatenate([q, k, v], axis=1) @ p["cell.gates.weight"].T + p["cell.gates.bias"]
    write, keep = np.exp(gates[:, :heads]), sigmoid(gates[:, heads:])
    q, k, v = (each.reshape(len(q), heads, -1) for each in (q, k, v))
    size = q.shape[2]
    memory, total = np.zeros((heads, size, size)), np.zeros((heads, size))
    outputs = []
    for t in range(len(q)):
        for n in range(heads):
            memory[n] = keep[t, n] * memory[n] + write[t, n] * np.outer(v[t, n], k[t, n]) / np.sqrt(size)
            total[n] = keep[t, n] * total[n] + write[t, n] * k[t, n] / np.sqrt(size)
        h = [memory[n] @ q[t, n] / max(abs(total[n] @ q[t, n]), 1) for n in range(heads)]
        h = [(each - each.mean()) / np.sqrt(each.var() + 1e-5) for each in h]
        outputs.append(np.concatenate(h) * p["cell.norm.scale"])
    return np.stack(outputs)


@pytest.mark.parametrize("steps", [1, 7, 8, 9, 16, 17, 23])
@pytest.mark.parametrize("heads", [1, 2])
def test_mlstm(heads, steps, monkeypatch):
    monkeypatch.setattr("models.mlstm.CHUNK", 4)
    monkeypatch.setattr("models.mlstm.EPSILON", 0.0)
    model, p = build("mlstm", hidden_size=5, heads=heads, multiple=8, block_size=4)
    for name in ("gates.weight", "gates.bias", "norm.scale"):
        torch.nn.init.normal_(model.cell.get_parameter(name), std=0.5)
    torch.nn.init.normal_(model.skip)

    def reference(x_TD):
        x, z = np.split(x_TD @ p["enter.weight"].T, 2, axis=1)
        padded = np.concatenate([np.zeros((3, x.shape[1])), x])
        conv = sum(p["conv.weight"][:, 0, j] * padded[j : j + len(x)] for j in range(4)) + p["conv.bias"]
        c = silu(conv)
        q, k = (np.stack([blockwise(p[f"{name}.weight"], row) for row in c]) for name in ("query", "key"))
        v = np.stack([blockwise(p["value.weight"], row) for row in x])
        return ((cell(p, heads, q, k, v) + p["skip"] * c) * silu(z)) @ p["leave.weight"].T

    agrees(model, reference, steps, atol=1e-8)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("write", "keep"), [(300.0, -300.0), (-300.0, 300.0), (300.0, 300.0), (-300.0, -300.0)])
def test_gates_of_any_size_stay_finite(dtype, write, keep, monkeypatch):
    monkeypatch.setattr("models.mlstm.CHUNK", 4)
    cls = find_model("mlstm").cls
    model = cls(cls.Config.at_width(8), input_size=3, seq_len=9).to(dtype)
    with torch.no_grad():
        model.cell.gates.bias.copy_(torch.tensor([write, -write, keep, -keep]))
        model.cell.gates.weight.normal_()
    x_BTD = (100 * torch.randn(2, 9, 3, dtype=dtype)).requires_grad_()
    y_BTH = model(x_BTD)
    y_BTH.sum().backward()
    assert all(each.isfinite().all() for each in (y_BTH, x_BTD.grad, *(p.grad for p in model.parameters())))


def test_a_closed_gate_forgets_across_chunks(monkeypatch):
    """What came before a step that keeps nothing does not matter after it."""
    monkeypatch.setattr("models.mlstm.CHUNK", 4)
    model, _ = build("mlstm", hidden_size=4, heads=1, multiple=8)
    q, k, v = torch.randn(3, 1, 11, 8, dtype=torch.float64)
    with torch.no_grad():
        model.cell.gates.bias.copy_(torch.tensor([0.0, 5.0]))
        closed = torch.zeros(1, 24, dtype=torch.float64)
        closed[0, 16:] = 1.0
        model.cell.gates.weight.copy_(torch.cat([0 * closed, closed]))
        v[:, 6] = -200.0  # closes f at step 6 alone
        other_v = v.clone()
        other_v[:, :6] += 1
        other_v[:, 6] = v[:, 6]
        y, other = model.cell(q, k, v), model.cell(q, k, other_v)
    assert (y - other)[:, :6].abs().max() > 0.1
    torch.testing.assert_close(y[:, 6:], other[:, 6:])


def test_heads_that_do_not_divide_the_inner_width_are_refused():
    with pytest.raises(ValueError, match="heads=3 must divide the inner width 64"):
        find_model("mlstm").cls.Config(hidden_size=20, heads=3)


def test_decay_spares_what_the_authors_spare():
    model, p = build("mlstm", hidden_size=4)
    (spared,) = model.optimizer_groups()
    names = {name for name, each in model.named_parameters() if any(each is other for other in spared["params"])}
    assert names == {name for name in p if "weight" not in name}
    assert spared["weight_decay"] == 0
