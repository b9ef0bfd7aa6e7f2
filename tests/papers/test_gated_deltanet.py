import numpy as np
import pytest
import torch

from bench.catalog.registry import find_model
from tests.papers.reference import agrees, build, sigmoid

SETTINGS = [
    {},
    {"negative_eigenvalues": True, "expand_v": 1},
    {"gate": False},
    {"householders": 2, "negative_eigenvalues": True},
    {"householders": 3, "gate": False},
]


def silu(v):
    return v * sigmoid(v)


def reference(model, p, *, gate=True, negative_eigenvalues=False, householders=1, expand_v=2):
    n, heads, d = householders, 2, 4
    e = expand_v * d
    keys, values = n * heads * d, n * heads * e

    def every_step(x_TD):
        outputs, states, window = [], np.zeros((heads, e, d)), [np.zeros(heads * d + keys + values)] * 3
        for x in x_TD:
            window = [*window, p["qkv.weight"] @ x][-4:]
            filtered = silu(sum(p["conv.weight"][:, 0, j] * window[j] for j in range(4)))
            q, k, v = np.split(filtered, [heads * d, heads * d + keys])
            q, k, v = q.reshape(heads, d), k.reshape(n, heads, d), v.reshape(n, heads, e)
            gates = p["gates.weight"] @ x
            z = gates[: heads * e] if gate or n > 1 else None
            beta, a = np.split(gates[0 if z is None else heads * e :], [n * heads])
            beta = (2 if negative_eigenvalues else 1) * sigmoid(beta).reshape(n, heads)
            alpha = np.exp(-np.exp(p["A_log"]) * np.log1p(np.exp(a + p["dt_bias"]))) if gate else np.ones(heads)
            y = np.zeros((heads, e))
            for h in range(heads):
                s = alpha[h] * states[h]
                for j in range(n):
                    key = k[j, h] / np.sqrt((k[j, h] ** 2).sum() + 1e-6)
                    s = s @ (np.eye(d) - beta[j, h] * np.outer(key, key)) + beta[j, h] * np.outer(v[j, h], key)
                states[h] = s
                o = s @ q[h] / np.sqrt((q[h] ** 2).sum() + 1e-6) / np.sqrt(d)
                y[h] = o / np.sqrt((o**2).mean() + 1e-5) * p["norm.weight"]
            y = y.ravel() if z is None else y.ravel() * silu(z)
            outputs.append(p["leave.weight"] @ y)
        return np.stack(outputs)

    return every_step


@pytest.mark.parametrize("steps", [1, 16, 35])
@pytest.mark.parametrize("settings", SETTINGS)
def test_gated_deltanet(settings, steps):
    model, p = build("gated-deltanet", hidden_size=6, head_size=4, num_heads=2, **settings)
    agrees(model, reference(model, p, **settings), steps=steps)


@pytest.mark.parametrize("gate", [True, False])
def test_large_inputs_have_finite_gradients_and_the_steps_of_the_equations(gate):
    """Decays of e^−30 and repeated keys, in single precision."""
    torch.manual_seed(0)
    cls = find_model("gated-deltanet").cls
    model = cls(cls.Config(hidden_size=8, head_size=8, gate=gate, negative_eigenvalues=True), input_size=3, seq_len=40)
    x_BTD = (100 * torch.randn(2, 1, 3) * torch.ones(1, 40, 1)).requires_grad_()
    y_BTH = model(x_BTD)
    state, outputs = model.initial_state(2), []
    for x_BD in x_BTD.unbind(1):
        y_BH, state = model.step(x_BD, state)
        outputs.append(y_BH)
    torch.testing.assert_close(y_BTH, torch.stack(outputs, dim=1), rtol=1e-3, atol=1e-4)
    y_BTH.sum().backward()
    assert all(each.grad.isfinite().all() for each in (x_BTD, *model.parameters()))


def test_one_key_written_with_a_beta_of_two_turns_its_sign():
    """Grazzi et al. 2024: the eigenvalue of I − β k kᵀ at k is 1 − β."""
    model, _ = build("gated-deltanet", hidden_size=8, head_size=4, num_heads=1, gate=False, negative_eigenvalues=True)
    with torch.no_grad():
        model.gates.weight[8:] = 0
        model.conv.weight[:4] = model.conv.weight[4:8] = 0
        model.conv.weight[:8, :, -1] = 1
        model.qkv.weight[:8] = 1
        model.gates.weight[-1] = 100
        model.conv.weight[8:] = 0  # no value: what the state holds is multiplied by −1 at each step
    key = torch.full((4,), 0.5, dtype=torch.float64)
    state = torch.outer(key, torch.arange(1.0, 9.0, dtype=torch.float64)).reshape(1, 1, 4, 8)
    _, (after, _) = model.step(torch.ones(1, 3, dtype=torch.float64), (state, model.initial_state(1)[1]))
    torch.testing.assert_close(after, -state, rtol=1e-5, atol=1e-5)


def test_decay_spares_what_the_authors_spare():
    cls = find_model("gated-deltanet").cls
    model = cls(cls.Config(hidden_size=8, head_size=8), input_size=8, seq_len=9)
    (spared,) = model.optimizer_groups()
    assert {id(each) for each in spared["params"]} == {id(model.A_log), id(model.dt_bias)}
    assert spared["weight_decay"] == 0
