"""Kernels that have a row in each lane of a vector, against torch in float64.

Shapes: M rows, K inputs, W width.
"""

import math

import pytest
import torch
from torch.nn import functional as F

from bench.catalog.registry import find_model
from models.kernels.cpu.feed_forward import FeedForward
from models.kernels.cpu.layer_norm import LayerNorm
from models.kernels.cpu.residual import GatedResidual
from models.kernels.cpu.toolkit.rows import GROUP
from models.shared import layer_norm
from models.shared.wrappers import Residual, ResidualBlock


def gated_residual(h_MW, y_MK, weight_NK, bias_N):
    return h_MW + F.glu(F.linear(y_MK, weight_NK, bias_N), -1)


def normed(x_MW, weight_W, bias_W):
    return F.layer_norm(x_MW, weight_W.shape, weight_W, bias_W, 1e-5)


def feed_forward(v_MW, scale_W, shift_W, w1_KW, b1_K, w2_WK, b2_W):
    return v_MW + F.linear(F.gelu(F.linear(normed(v_MW, scale_W, shift_W), w1_KW, b1_K)), w2_WK, b2_W)


KERNELS = {
    "feed-forward": (
        lambda *given: FeedForward.apply(*given, 1e-5),
        feed_forward,
        lambda M, K, W: [(M, W), (W,), (W,), (K, W), (K,), (W, K), (W,)],
    ),
    "gated-residual": (GatedResidual.apply, gated_residual, lambda M, K, W: [(M, W), (M, K), (2 * W, K), (2 * W,)]),
    "layer-norm": (lambda *given: LayerNorm.apply(*given, 1e-5), normed, lambda M, K, W: [(M, W), (W,), (W,)]),
}
ROWS = [1, 37, GROUP, 2 * GROUP + 45]


@pytest.fixture(params=KERNELS)
def kernel(request):
    return KERNELS[request.param]


def draw(kernel, *sizes):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=generator) for shape in kernel[2](*sizes)]


def results(function, given):
    given = [tensor.detach().requires_grad_() for tensor in given]
    y_MW = function(*given)
    grad_MW = torch.randn(y_MW.shape, generator=torch.Generator().manual_seed(1)).to(y_MW.dtype)
    return [y_MW.detach(), *torch.autograd.grad(y_MW, given, grad_MW)]


@pytest.mark.parametrize(("K", "W"), [(3, 5), (16, 16), (17, 34), (40, 33)])
@pytest.mark.parametrize("M", ROWS)
def test_agrees_with_torch(kernel, M, K, W):
    given = draw(kernel, M, K, W)
    for got, want in zip(
        results(kernel[0], given), results(kernel[1], [tensor.double() for tensor in given]), strict=True
    ):
        torch.testing.assert_close(got.double(), want, rtol=1e-5, atol=1e-6 * want.abs().max().item())


def test_the_bits_do_not_depend_on_the_threads(kernel):
    given, threads = draw(kernel, 5 * GROUP + 3, 9, 11), torch.get_num_threads()
    once = results(kernel[0], given)
    try:
        torch.set_num_threads(3)
        for got, want in zip(results(kernel[0], given), once, strict=True):
            assert torch.equal(got, want)
    finally:
        torch.set_num_threads(threads)


def test_what_is_not_finite_stays_in_its_row(kernel):
    given = draw(kernel, 70, 18, 18)
    given[0][3, 5] = math.nan
    y_MW, grad_MW, *_ = results(kernel[0], given)
    assert y_MW[3].isnan().any()
    assert y_MW[[*range(3), *range(4, 70)]].isfinite().all()
    assert grad_MW[[*range(3), *range(4, 70)]].isfinite().all()


def test_a_second_derivative_is_refused(kernel):
    given = [tensor.requires_grad_() for tensor in draw(kernel, 40, 6, 6)]
    (grad_MW,) = torch.autograd.grad(kernel[0](*given).square().sum(), given[-2], create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad_MW.sum().backward()


def block(dropout=0.0):
    torch.manual_seed(0)
    none = find_model("none").cls
    return ResidualBlock(none(none.Config(), input_size=6, seq_len=5), Residual.Config(width=6, dropout=dropout))


def no_kernel(*given):
    raise AssertionError("a kernel was called")


@pytest.mark.parametrize("case", ["float64", "autocast", "dropout", "vmap"])
def test_torchs_operations_take_what_the_kernels_do_not(monkeypatch, case):
    monkeypatch.setattr(GatedResidual, "apply", no_kernel)
    h_BTW, net = torch.randn(3, 5, 6), block(dropout=0.5 * (case == "dropout"))
    if case == "float64":
        assert net.double()(h_BTW.double(), None).dtype == torch.float64
    elif case == "autocast":
        with torch.autocast("cpu", torch.bfloat16):
            net(h_BTW, None)
    elif case == "dropout":
        dropped = net(h_BTW, None)
        assert not torch.equal(net(h_BTW, None), dropped), "dropout draws anew"
    else:
        torch.testing.assert_close(
            torch.func.vmap(lambda h_TW: net(h_TW, None))(h_BTW), net.double()(h_BTW.double(), None).float()
        )


def test_the_norm_is_torchs_elsewhere(monkeypatch):
    monkeypatch.setattr(LayerNorm, "apply", no_kernel)
    x_MW, norm = torch.randn(4, 6), layer_norm.LayerNorm(6)
    torch.testing.assert_close(torch.func.vmap(norm)(x_MW), F.layer_norm(x_MW, (6,)))
    with pytest.raises(AssertionError, match="a kernel was called"):
        norm(x_MW)
