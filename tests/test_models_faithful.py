"""Every architecture against a slow, obvious rendering of its paper's equations, one step after the other, in float64.

The known facts of the papers stand below. Shapes: B batch, T time, D input, H output.
"""

import math

import numpy as np
import pytest
import torch
from scipy.linalg import expm

from bench.registry import find_model
from models.exprnn import skew_exp
from models.transformer import Rotate, rotations

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


# Recurrences that torch computes


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
def test_rnn(nonlinearity):
    model, p = build("rnn", hidden_size=5, nonlinearity=nonlinearity)
    f = {"tanh": np.tanh, "relu": lambda z: np.maximum(z, 0)}[nonlinearity]

    def advance(x, h):
        z = p["rnn.weight_ih_l0"] @ x + p["rnn.bias_ih_l0"] + p["rnn.weight_hh_l0"] @ h + p["rnn.bias_hh_l0"]
        return f(z), f(z)

    agrees(model, loop(advance, np.zeros(5)))


def test_relu_rnn_starts_at_the_identity():
    _, p = build("rnn", hidden_size=40, input_size=50, nonlinearity="relu")
    np.testing.assert_array_equal(p["rnn.weight_hh_l0"], np.eye(40))
    assert not p["rnn.bias_ih_l0"].any()
    assert not p["rnn.bias_hh_l0"].any()
    assert np.std(p["rnn.weight_ih_l0"]) == pytest.approx(0.001, rel=0.1)


def test_lstm():
    model, p = build("lstm", hidden_size=5)

    def advance(x, state):
        h, c = state
        z = p["rnn.weight_ih_l0"] @ x + p["rnn.bias_ih_l0"] + p["rnn.weight_hh_l0"] @ h + p["rnn.bias_hh_l0"]
        i, f, g, o = np.split(z, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        return h, (h, c)

    agrees(model, loop(advance, (np.zeros(5), np.zeros(5))))


def test_chrono_biases_are_logarithms_of_memory_times():
    _, p = build("lstm", hidden_size=2000, seq_len=500, chrono=True)
    bias_i, bias_f, _, _ = np.split(p["rnn.bias_ih_l0"] + p["rnn.bias_hh_l0"], 4)
    np.testing.assert_allclose(bias_i, -bias_f)
    memory = np.exp(bias_f)
    assert memory.min() >= 1
    assert memory.max() <= 499
    assert memory.mean() == pytest.approx(250, abs=4 * 498 / math.sqrt(12 * 2000))


def test_gru():
    model, p = build("gru", hidden_size=5)

    def advance(x, h):
        r_x, z_x, n_x = np.split(p["rnn.weight_ih_l0"] @ x + p["rnn.bias_ih_l0"], 3)
        r_h, z_h, n_h = np.split(p["rnn.weight_hh_l0"] @ h + p["rnn.bias_hh_l0"], 3)
        z = sigmoid(z_x + z_h)
        h = (1 - z) * np.tanh(n_x + sigmoid(r_x + r_h) * n_h) + z * h
        return h, h

    agrees(model, loop(advance, np.zeros(5)))


# Recurrences that are nonlinear in the state


def test_indrnn():
    model, p = build("indrnn", hidden_size=5)

    def advance(x, h):
        h = np.maximum(p["input.weight"] @ x + p["u"] * h + p["input.bias"], 0)
        return h, h

    agrees(model, loop(advance, np.zeros(5)))


def test_indrnn_bounds_its_weights():
    model, p = build("indrnn", hidden_size=5, seq_len=10)
    with torch.no_grad():
        model.u.copy_(torch.tensor([-3.0, -1, 0, 1, 3]))
    model(torch.zeros(1, 10, INPUT, dtype=torch.float64))
    np.testing.assert_allclose(p["u"], [-(2**0.1), -1, 0, 1, 2**0.1])


@pytest.mark.parametrize("init", ["cayley", "henaff"])
@pytest.mark.parametrize("hidden_size", [6, 7])
def test_exprnn(init, hidden_size):
    model, p = build("exprnn", hidden_size=hidden_size, init=init)
    a = np.zeros((hidden_size, hidden_size))
    a[np.triu_indices(hidden_size, 1)] = p["A"]
    w = expm(a - a.T)

    def advance(x, h):
        z = w @ h + p["input.weight"] @ x
        h = np.sign(z) * np.maximum(np.abs(z) + p["bias"], 0)
        return h, h

    agrees(model, loop(advance, np.zeros(hidden_size)))


def test_exprnn_is_orthogonal_at_any_parameters():
    torch.manual_seed(0)
    cls = find_model("exprnn").cls
    model = cls(cls.Config(), input_size=1, seq_len=10)
    with torch.no_grad():
        model.A.normal_()
    w = model.orthogonal()
    assert (w.T @ w - torch.eye(len(w))).abs().max() < 1e-4  # float32, 170 units, a norm of 25
    w = model.double().orthogonal()
    assert (w.T @ w - torch.eye(len(w))).abs().max() < 1e-12


def test_exprnn_starts_with_the_angles_of_its_blocks():
    for init, highest in (("cayley", 1.0), ("henaff", math.pi)):
        _, p = build("exprnn", hidden_size=40, init=init)
        assert np.count_nonzero(p["A"]) == 20
        assert 0.7 * highest < np.abs(p["A"]).max() <= highest


def test_exponential_has_the_gradient_of_torchs():
    """Also where eigenvalues coincide, as all do at zero."""
    upper_HH = torch.triu(torch.randn(5, 5, dtype=torch.float64), 1)
    weight_HH = torch.randn(5, 5, dtype=torch.float64)
    for a_HH in (upper_HH, torch.zeros_like(upper_HH)):
        a_HH.requires_grad_()
        grads = [
            torch.autograd.grad((exp(a_HH - a_HH.T) * weight_HH).sum(), a_HH)[0]
            for exp in (skew_exp, torch.linalg.matrix_exp)
        ]
        torch.testing.assert_close(*grads)


def test_cornn():
    model, p = build("cornn", hidden_size=5, dt=0.3, gamma=1.7, epsilon=0.9)
    v, w, w_z = np.split(p["linear.weight"], [INPUT, INPUT + 5], axis=1)

    def advance(x, state):
        y, z = state
        z = z + 0.3 * (np.tanh(w @ y + w_z @ z + v @ x + p["linear.bias"]) - 1.7 * y - 0.9 * z)
        y = y + 0.3 * z
        return y, (y, z)

    agrees(model, loop(advance, (np.zeros(5), np.zeros(5))))


def test_cornn_stays_bounded():
    """The energy γ|y|² + |z|² grows by at most m Δt a step, whatever the weights and inputs.

    For the continuous system d/dt (γ|y|² + |z|²)/2 = z·tanh(…) − ε|z|² ≤ m/(4ε) ≤ m/2 where ε ≥ ½ (the energy argument
    of Rusch & Mishra 2021); the explicit scheme at the paper's Δt keeps the bound with room to spare.
    """
    model, _ = build("cornn", hidden_size=8)
    with torch.no_grad():
        model.linear.weight.normal_(std=30)
    state = model.initial_state(1)
    for t in range(1, 400):
        _, state = model.step(100 * torch.randn(1, INPUT, dtype=torch.float64), state)
        energy = model.config.gamma * state[0].square().sum() + state[1].square().sum()
        assert energy <= 8 * t * model.config.dt


def test_lem():
    model, p = build("lem", hidden_size=5, dt=0.6)
    v = np.split(p["input.weight"], 4)
    b = np.split(p["input.bias"], 4)
    w_1, w_2, w_z = np.split(p["hidden.weight"], 3)

    def advance(x, state):
        y, z = state
        dt_z = 0.6 * sigmoid(w_1 @ y + v[0] @ x + b[0])
        dt_y = 0.6 * sigmoid(w_2 @ y + v[1] @ x + b[1])
        z = (1 - dt_z) * z + dt_z * np.tanh(w_z @ y + v[2] @ x + b[2])
        y = (1 - dt_y) * y + dt_y * np.tanh(p["cross.weight"] @ z + v[3] @ x + b[3])
        return y, (y, z)

    agrees(model, loop(advance, (np.zeros(5), np.zeros(5))))


# Memories on orthogonal polynomials


def lmu_system(order):
    """(A, B) entry by entry, as Voelker et al. 2019 write them."""
    a, b = np.zeros((order, order)), np.zeros(order)
    for i in range(order):
        b[i] = (2 * i + 1) * (-1) ** i
        for j in range(order):
            a[i, j] = (2 * i + 1) * (-1 if i < j else (-1) ** (i - j + 1))
    return a, b


@pytest.mark.parametrize("recurrent", [True, False])
def test_lmu(recurrent):
    model, p = build("lmu", hidden_size=5, order=6, theta=17.0, recurrent=recurrent)
    a, b = lmu_system(6)
    a_bar = expm(a / 17)
    b_bar = np.linalg.solve(a, (a_bar - np.eye(6)) @ b)
    e_h, e_m, w_h = np.zeros((1, 5)), np.zeros((1, 6)), np.zeros((5, 5))
    if recurrent:
        with torch.no_grad():
            model.encode_m.weight.normal_()
        e_h, e_m, w_h = p["encode_h.weight"], p["encode_m.weight"], p["kernel_h.weight"]

    def advance(x, state):
        h, m = state
        u = p["encode_x.weight"] @ x + e_h @ h + e_m @ m
        m = a_bar @ m + b_bar * u
        h = np.tanh(p["kernel_x.weight"] @ x + w_h @ h + p["kernel_m.weight"] @ m)
        return h, (h, m)

    # The constants are held in float32, as the harness trains.
    agrees(model, loop(advance, (np.zeros(5), np.zeros(6))), atol=1e-6)


def test_lmu_memory_is_a_window_in_legendre_polynomials():
    """m · P(θ′/θ) gives back u(t − θ′): the delay that the system approximates (eq. 3)."""
    model, _ = build("lmu", hidden_size=1, order=16, seq_len=400, recurrent=False)
    times = np.arange(1200)
    u = np.sin(2 * np.pi * times / 300)
    response = model.impulse_response(1200).detach().numpy()
    memory = sum(u[1199 - lag] * response[lag] for lag in range(1200))
    for back in (0, 100, 399):
        legendre = np.polynomial.legendre.legval(2 * back / 400 - 1, np.eye(16))
        assert memory @ legendre == pytest.approx(u[1199 - back], abs=0.03)


def legs_system(order):
    a = np.zeros((order, order))
    for n in range(order):
        for k in range(n):
            a[n, k] = math.sqrt(2 * n + 1) * math.sqrt(2 * k + 1)
        a[n, n] = n + 1
    return a, np.sqrt(2 * np.arange(order) + 1)


def test_hippo():
    model, p = build("hippo", hidden_size=5, order=6)
    a, b = legs_system(6)
    eye = np.eye(6)

    def advance(x, state):
        h, c, t = state
        gate, candidate = np.split(p["gated.weight"] @ np.concatenate([x, h, c]) + p["gated.bias"], 2)
        h = (1 - sigmoid(gate)) * h + sigmoid(gate) * np.tanh(candidate)
        f = p["function.weight"] @ h + p["function.bias"]
        c = np.linalg.inv(eye + a / (2 * t)) @ ((eye - a / (2 * t)) @ c + b * f / t)
        return h, (h, c, t + 1)

    agrees(model, loop(advance, (np.zeros(5), np.zeros(6), 1)), atol=1e-6)


def test_hippo_eigenvalues_are_the_positive_integers():
    model, _ = build("hippo", hidden_size=2, order=32)
    eigenvalues = np.linalg.eigvals(model.A.numpy())
    np.testing.assert_allclose(np.sort(eigenvalues.real), np.arange(1, 33), rtol=1e-5)


def test_hippo_remembers_the_whole_past():
    """Σ_n c_n √(2n+1) P_n(2s/t − 1) is the function so far, at any t: LegS has no time scale."""
    model, _ = build("hippo", hidden_size=2, order=24)
    for steps in (300, 900):
        f = np.cos(3 * np.pi * np.arange(1, steps + 1) / steps)
        c = torch.zeros(1, 24, dtype=torch.float64)
        for t, value in enumerate(f, start=1):
            c = model.remember_each(c, torch.full((1, 1), value, dtype=torch.float64), torch.tensor([t]))
        points = np.linspace(0.05, 0.95, 7)
        basis = np.polynomial.legendre.legval(2 * points - 1, np.diag(np.sqrt(2 * np.arange(24) + 1)))
        np.testing.assert_allclose(c.numpy()[0] @ basis, np.cos(3 * np.pi * points), atol=0.05)


# Linear recurrences and state-space models


@pytest.mark.parametrize("init", ["lin", "inv", "legs"])
@pytest.mark.parametrize("steps", [1, 2, STEPS])
def test_s4d(init, steps):
    model, p = build("s4d", hidden_size=4, state_size=6, init=init)
    a = -np.exp(p["log_decay"]) + 1j * p["frequency"]
    dt = np.exp(p["log_dt"])[:, None]
    a_bar, c = np.exp(a * dt), as_complex(p["C"])

    def advance(x, h):
        u = p["encoder.weight"] @ x + p["encoder.bias"]
        h = a_bar * h + (a_bar - 1) / a * u[:, None]
        return gelu(2 * (c * h).sum(1).real + p["D"] * u), h

    agrees(model, loop(advance, np.zeros((4, 3))), steps=steps)


def test_s4d_starts_at_the_papers_eigenvalues():
    n = np.arange(32)
    _, p = build("s4d", init="lin", hidden_size=2)
    np.testing.assert_allclose(-np.exp(p["log_decay"]), -0.5, rtol=1e-6)
    np.testing.assert_allclose(p["frequency"][0], np.pi * n, rtol=1e-6)
    _, p = build("s4d", init="inv", hidden_size=2)
    np.testing.assert_allclose(p["frequency"][0], 64 / np.pi * (64 / (2 * n + 1) - 1), rtol=1e-6)
    _, p = build("s4d", init="legs", hidden_size=2)
    a, b = legs_system(64)
    normal = -a + np.outer(b, b) / 2  # a rank-one correction away from HiPPO-LegS
    np.testing.assert_allclose(normal + normal.T, -np.eye(64), atol=1e-9)  # −½ I plus a skew-symmetric matrix
    eigenvalues = np.linalg.eigvals(normal)
    np.testing.assert_allclose(np.sort(p["frequency"][0]), np.sort(eigenvalues.imag)[32:], rtol=1e-5)


def test_s5():
    model, p = build("s5", hidden_size=4, state_size=8, blocks=2)
    lam = -np.exp(p["log_decay"]) + 1j * p["frequency"]
    lam_bar = np.exp(lam * np.exp(p["log_dt"]))
    b_bar = ((lam_bar - 1) / lam)[:, None] * as_complex(p["B"])

    def advance(x, h):
        u = p["encoder.weight"] @ x + p["encoder.bias"]
        h = lam_bar * h + b_bar @ u
        return gelu(2 * (as_complex(p["C"]) @ h).real + p["D"] * u), h

    agrees(model, loop(advance, np.zeros(4)))


def test_s5_starts_at_repeated_hippo_blocks():
    _, p = build("s5", state_size=24, blocks=3)
    a, b = legs_system(8)
    expected = np.sort(np.linalg.eigvals(np.outer(b, b) / 2 - a).imag)[4:]
    for block in np.split(p["frequency"], 3):
        np.testing.assert_allclose(np.sort(block), expected, rtol=1e-5)
    np.testing.assert_allclose(np.exp(p["log_decay"]), 0.5, rtol=1e-6)
    dt = np.exp(p["log_dt"])
    assert dt.min() >= 1e-3
    assert dt.max() <= 1e-1


def test_lru():
    model, p = build("lru", hidden_size=4, state_size=5)
    lam = np.exp(-np.exp(p["nu_log"]) + 1j * np.exp(p["theta_log"]))

    def advance(x, h):
        u = p["encoder.weight"] @ x + p["encoder.bias"]
        h = lam * h + np.exp(p["gamma_log"]) * (as_complex(p["B"]) @ u)
        return gelu((as_complex(p["C"]) @ h).real + p["D"] * u), h

    agrees(model, loop(advance, np.zeros(5)))


def test_lru_starts_on_its_ring():
    model, p = build("lru", state_size=4000, hidden_size=2, r_min=0.4, r_max=0.9, max_phase=math.pi / 10)
    lam = model.transition().detach().numpy()
    radius = np.abs(lam)
    assert radius.min() >= 0.4
    assert radius.max() <= 0.9
    assert (radius**2).mean() == pytest.approx((0.16 + 0.81) / 2, abs=4 * 0.65 / math.sqrt(12 * 4000))  # even by area
    assert np.angle(lam).min() >= 0
    assert np.angle(lam).max() <= math.pi / 10
    np.testing.assert_allclose(np.exp(p["gamma_log"]), np.sqrt(1 - radius**2), rtol=1e-4)


def test_mingru():
    model, p = build("mingru", hidden_size=5)

    def advance(x, h):
        gate, candidate = np.split(p["project.weight"] @ x + p["project.bias"], 2)
        h = (1 - sigmoid(gate)) * h + sigmoid(gate) * candidate
        return h, h

    agrees(model, loop(advance, np.zeros(5)))


def test_minlstm():
    model, p = build("minlstm", hidden_size=5)

    def advance(x, h):
        f, i, candidate = np.split(p["project.weight"] @ x + p["project.bias"], 3)
        f, i = sigmoid(f), sigmoid(i)
        h = f / (f + i) * h + i / (f + i) * candidate
        return h, h

    agrees(model, loop(advance, np.zeros(5)))


@pytest.mark.parametrize("chunk", [5, 128])
def test_mamba(chunk, monkeypatch):
    monkeypatch.setattr("models.mamba.CHUNK", chunk)
    model, p = build("mamba", hidden_size=4, state_size=3)
    a = -np.exp(p["A_log"])

    def silu(v):
        return v * sigmoid(v)

    def reference(x_TD):
        outputs, h, window = [], np.zeros((8, 3)), [np.zeros(8)] * 3
        for x in x_TD:
            u, z = np.split(p["enter.weight"] @ x, 2)
            window = [*window, u][-4:]
            u = silu(sum(p["conv.weight"][:, 0, j] * window[j] for j in range(4)) + p["conv.bias"])
            rank, b, c = np.split(p["select.weight"] @ u, [1, 4])
            dt = np.log1p(np.exp(p["dt.weight"] @ rank + p["dt.bias"]))
            h = np.exp(dt[:, None] * a) * h + dt[:, None] * np.outer(u, b)
            outputs.append(p["leave.weight"] @ ((h @ c + p["D"] * u) * silu(z)))
        return np.stack(outputs)

    agrees(model, reference)


def test_mamba_starts_as_s4d_real_with_steps_in_range():
    _, p = build("mamba", hidden_size=64)
    np.testing.assert_allclose(np.exp(p["A_log"]), np.tile(np.arange(1, 17), (128, 1)), rtol=1e-6)
    dt = np.log1p(np.exp(p["dt.bias"]))
    assert dt.min() > 0.99e-3
    assert dt.max() < 1.01e-1


# Statistical recurrences: the FRU and the SRU have golden vectors of the authors' code


# Without recurrence


def test_tcn():
    model, p = build("tcn", hidden_size=4, kernel_size=3, blocks=2)
    prefix = "blocks.{}.convs.{}.parametrizations.weight.original{}"

    def conv(x_TD, block, which):
        magnitude, direction = (p[prefix.format(block, which, part)] for part in (0, 1))
        weight = magnitude * direction / np.sqrt((direction**2).sum((1, 2), keepdims=True))
        y = np.zeros((len(x_TD), 4)) + p[f"blocks.{block}.convs.{which}.bias"]
        for t in range(len(x_TD)):
            for j in range(3):
                source = t - (2 - j) * 2**block
                if source >= 0:
                    y[t] += weight[:, :, j] @ x_TD[source]
        return np.maximum(y, 0)

    def reference(x_TD):
        shortcut = x_TD @ p["blocks.0.shortcut.weight"].T + p["blocks.0.shortcut.bias"]
        h = np.maximum(shortcut + conv(conv(x_TD, 0, 0), 0, 1), 0)
        return np.maximum(h + conv(conv(h, 1, 0), 1, 1), 0)

    agrees(model, reference)


@pytest.mark.parametrize(("kernel_size", "blocks"), [(2, 1), (3, 2), (4, 3)])
def test_tcn_sees_exactly_its_receptive_field(kernel_size, blocks):
    model, _ = build("tcn", hidden_size=16, kernel_size=kernel_size, blocks=blocks)
    field = 1 + 2 * (kernel_size - 1) * (2**blocks - 1)
    x_BTD = torch.randn(4, field + 5, INPUT, dtype=torch.float64, requires_grad=True)
    with torch.no_grad():
        for parameter in model.parameters():  # no dead units
            parameter.abs_()
    (grad,) = torch.autograd.grad(model.last(x_BTD.abs()).sum(), x_BTD)
    seen = (grad != 0).any(0).any(-1)
    assert seen.tolist() == [False] * 5 + [True] * field


def test_tcn_covers_the_training_length():
    cls = find_model("tcn").cls
    assert cls.Config().depth(784) == 7
    assert cls.Config(blocks=8).depth(784) == 8


def test_transformer():
    model, p = build("transformer", hidden_size=6, num_heads=2)
    size = 4  # the smallest even head that holds half of 6

    def norm(v, weight, bias):
        return (v - v.mean()) / np.sqrt(v.var() + 1e-5) * weight + bias

    def turn(v, t):
        out = np.zeros(size)
        for i in range(size // 2):
            angle = t * 10000 ** (-2 * i / size)
            pair = complex(v[i], v[i + size // 2]) * np.exp(1j * angle)
            out[i], out[i + size // 2] = pair.real, pair.imag
        return out

    def reference(x_TD):
        u = x_TD @ p["encoder.weight"].T + p["encoder.bias"]
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
    turns = rotations(3, 4, x_BNTd.device, x_BNTd.dtype)
    assert torch.autograd.gradcheck(lambda x: Rotate.apply(x, *turns), x_BNTd)


def test_last_values():
    model, p = build("last-values", hidden_size=4, window=5)
    weight, bias = p["conv.weight"], p["conv.bias"]

    def reference(x_TD):
        padded = np.concatenate([np.zeros((4, INPUT)), x_TD])
        return np.stack([np.einsum("hdk,kd->h", weight, padded[t : t + 5]) + bias for t in range(len(x_TD))])

    agrees(model, reference)


def test_bag():
    model, p = build("bag", hidden_size=4)

    def reference(x_TD):
        features = np.maximum(x_TD @ p["feature.weight"].T + p["feature.bias"], 0)
        return np.stack([features[: t + 1].mean(0) for t in range(len(x_TD))])

    agrees(model, reference)
    x_BTD = torch.randn(BATCH, STEPS, INPUT, dtype=torch.float64)
    torch.testing.assert_close(model.last(x_BTD), model.last(x_BTD.flip(1)))
