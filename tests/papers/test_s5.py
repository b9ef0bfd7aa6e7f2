import numpy as np
import pytest
import torch

from bench.catalog.registry import find_model
from models.shared.training import Training, build_optimizer
from tests.papers.reference import agrees, as_complex, build, gelu_tanh, legs_system, loop


def test_s5():
    model, p = build("s5", hidden_size=4, state_size=8, blocks=2)
    lam = -np.exp(p["log_decay"]) + 1j * p["frequency"]
    lam_bar = np.exp(lam * np.exp(p["log_dt"]))
    b_bar = ((lam_bar - 1) / lam)[:, None] * as_complex(p["B"])

    def advance(x, h):
        u = p["encoder.weight"] @ x + p["encoder.bias"]
        h = lam_bar * h + b_bar @ u
        return gelu_tanh(2 * (as_complex(p["C"]) @ h).real + p["D"] * u), h

    agrees(model, loop(advance, np.zeros(4)))


@pytest.mark.parametrize(("lr", "of_state"), [(3e-4, 3e-4), (1e-2, 1e-3)])
def test_the_state_learns_no_faster_than_the_rest_and_at_most_at_a_thousandth(lr, of_state):
    """lindermanlab/S5: the rest learns at lr_factor ≥ 1 times ssm_lr_base = 1e-3, which is the state's rate."""
    cls = find_model("s5").cls
    model = cls(cls.Config(hidden_size=4, state_size=8), input_size=3, seq_len=9)
    groups = model.optimizer_groups()
    optimizer, _ = build_optimizer(model, groups, Training(lr=lr, weight_decay=0.1, warmup=0.0), total_steps=10)
    rest, state = optimizer.param_groups
    assert {id(each) for each in (model.C, model.D)} <= {id(each) for each in rest["params"]}
    assert (rest["lr"], rest["weight_decay"]) == (lr, 0.1)
    assert (state["lr"], state["weight_decay"]) == (of_state, 0.0)


@pytest.mark.parametrize("conj_sym", [True, False])
def test_s5_holds_one_state_of_a_pair_or_both(conj_sym):
    torch.manual_seed(0)
    cls = find_model("s5").cls
    model = cls(cls.Config(hidden_size=4, state_size=24, blocks=3, conj_sym=conj_sym), input_size=4, seq_len=9)
    assert len(model.frequency) == (12 if conj_sym else 24)
    a, b = legs_system(8)
    eigenvalues = np.linalg.eigvals(np.outer(b, b) / 2 - a).imag
    expected = np.sort(eigenvalues)[4 if conj_sym else 0 :]
    for block in model.frequency.detach().numpy().reshape(3, -1):
        np.testing.assert_allclose(np.sort(block), expected, rtol=1e-5)


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
