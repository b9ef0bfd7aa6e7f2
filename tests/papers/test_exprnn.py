import math

import numpy as np
import pytest
import torch
from scipy.linalg import expm

from bench.catalog.registry import find_model
from models.exprnn import skew_exp
from tests.papers.reference import agrees, build, loop


@pytest.mark.parametrize("init", ["cayley", "henaff"])
@pytest.mark.parametrize("hidden_size", [6, 7])
@pytest.mark.parametrize("parametrization", ["exp", "cayley"])
def test_exprnn(init, hidden_size, parametrization):
    model, p = build("exprnn", hidden_size=hidden_size, init=init, parametrization=parametrization)
    a = np.zeros((hidden_size, hidden_size))
    a[np.triu_indices(hidden_size, 1)] = p["A"]
    one = np.eye(hidden_size)
    w = expm(a - a.T) if parametrization == "exp" else np.linalg.inv(one + a - a.T) @ (one - a + a.T)

    def advance(x, h):
        z = w @ h + p["input.weight"] @ x
        h = np.sign(z) * np.maximum(np.abs(z) + p["bias"], 0)
        return h, h

    agrees(model, loop(advance, np.zeros(hidden_size)))


@pytest.mark.parametrize("parametrization", ["exp", "cayley"])
def test_exprnn_is_orthogonal_at_any_parameters(parametrization):
    torch.manual_seed(0)
    cls = find_model("exprnn").cls
    model = cls(cls.Config(parametrization=parametrization), input_size=1, seq_len=10)
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
