import numpy as np
import pytest
import torch

from models.shared.training import Training, build_optimizer
from tests.papers.reference import STEPS, agrees, as_complex, build, gelu, legs_system, loop


def both(half):
    """Both numbers of each conjugate pair."""
    return np.concatenate([half, half.conj()], axis=-1)


def discretised(p):
    """Ā and B̄ of every channel as dense matrices, by the bilinear rule."""
    eye, half = np.eye(2 * p["frequency"].shape[1]), np.exp(p["log_dt"])[:, None, None] / 2
    lam, low_rank, b = (
        both(-np.exp(p["log_decay"]) + 1j * p["frequency"]),
        both(as_complex(p["P"])),
        both(as_complex(p["B"])),
    )
    a = np.stack([np.diag(each) for each in lam]) - low_rank[:, :, None] * low_rank.conj()[:, None, :]
    inverse = np.linalg.inv(eye - half * a)
    return inverse @ (eye + half * a), (2 * half * inverse @ b[..., None])[..., 0]


@pytest.mark.parametrize(("seq_len", "steps"), [(1, 1), (STEPS, STEPS), (STEPS, 2), (8, STEPS), (7, STEPS)])
def test_s4(seq_len, steps):
    """Also of inputs that are shorter and longer than those the layer was built for."""
    model, p = build("s4", hidden_size=4, state_size=6, dt_min=0.01, dt_max=0.5, seq_len=seq_len)
    a_bar, b_bar = discretised(p)
    rest = np.eye(6) - np.linalg.matrix_power(a_bar, seq_len)
    c = (both(as_complex(p["C"]))[:, None] @ np.linalg.inv(rest))[:, 0]

    def advance(x, h):
        u = p["encoder.weight"] @ x + p["encoder.bias"]
        h = (a_bar @ h[..., None])[..., 0] + b_bar * u[:, None]
        return gelu((c * h).sum(1).real + p["D"] * u), h

    agrees(model, loop(advance, np.zeros((4, 6))), steps=steps)


def test_s4_starts_at_hippo_legs():
    """The spectrum of Λ − P P* is that of LegS itself, −1, …, −N. C's parts have variance ½."""
    model, p = build("s4", hidden_size=400, state_size=8)
    low_rank = both(as_complex(p["P"]))[0]
    a = np.diag(both(-np.exp(p["log_decay"]) + 1j * p["frequency"])[0]) - np.outer(low_rank, low_rank.conj())
    given, expected = (np.sort(np.linalg.eigvals(each).real) for each in (a, -legs_system(8)[0]))
    np.testing.assert_allclose(given, expected, rtol=1e-2)
    assert torch.view_as_real(model.output_matrix()).std().item() == pytest.approx(0.5**0.5, rel=0.05)


@pytest.mark.parametrize("seq_len", [128, 1000])
def test_single_precision_is_enough(seq_len):
    model, _ = build("s4", hidden_size=16, state_size=64, seq_len=seq_len)
    expected = model.kernel(2 * seq_len)
    given = model.float().kernel(2 * seq_len)
    assert (given - expected).abs().max() < 1e-4 * expected.abs().max()


def test_gradients_are_finite_for_large_inputs():
    model, _ = build("s4", hidden_size=4, state_size=6, seq_len=500)
    model.float()(100 * torch.randn(2, 500, 3)).square().mean().backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_a_b_and_the_steps_learn_at_most_at_a_thousandth_without_decay():
    model, _ = build("s4", hidden_size=4, state_size=6)
    optimizer, _ = build_optimizer(model, model.optimizer_groups(), Training(lr=1e-2, weight_decay=0.1, warmup=0.0), 10)
    (_, state), names = optimizer.param_groups, {id(each): name for name, each in model.named_parameters()}
    assert {names[id(each)] for each in state["params"]} == {"log_decay", "frequency", "log_dt", "P", "B"}
    assert (state["lr"], state["weight_decay"]) == (1e-3, 0.0)
