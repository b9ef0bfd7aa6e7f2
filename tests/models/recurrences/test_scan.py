"""The shared scan against the recurrence itself, forward and backward. Shapes: B batch, T time, N channels."""

import pytest
import torch

from models.recurrences import scan
from models.recurrences.scan import linear_scan

DTYPES = (torch.float32, torch.float64, torch.complex64, torch.complex128)  # single precision by a kernel
SHAPES_OF_A = ((2, None, 3), (1, 1, 3), (3,), (2, None, 1))
LENGTHS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 17, 37)


def draw(*shape, dtype):
    return (0.6 * torch.randn(*shape, dtype=dtype)).requires_grad_()


def one_after_the_other(a_BTN, b_BTN, h_BN):
    states = []
    for a_BN, b_BN in zip(a_BTN.unbind(1), b_BTN.unbind(1), strict=True):
        h_BN = a_BN * h_BN + b_BN
        states.append(h_BN)
    return torch.stack(states, dim=1)


def assert_matches_the_loop(steps, dtype, shape_of_a, device="cpu"):
    torch.manual_seed(0)
    a = draw(*(steps if size is None else size for size in shape_of_a), dtype=dtype)
    b_BTN, h0_BN = draw(2, steps, 3, dtype=dtype), draw(2, 3, dtype=dtype)
    expected = one_after_the_other(a.expand(2, steps, 3), b_BTN, h0_BN)
    given = linear_scan(*(tensor.to(device) for tensor in (a, b_BTN, h0_BN))).cpu()
    torch.testing.assert_close(given, expected)
    weight = torch.randn_like(expected)
    for got, want in zip(
        torch.autograd.grad((given * weight).sum().abs(), (a, b_BTN, h0_BN)),
        torch.autograd.grad((expected * weight).sum().abs(), (a, b_BTN, h0_BN)),
        strict=True,
    ):
        torch.testing.assert_close(got, want)


@pytest.mark.parametrize("steps", LENGTHS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape_of_a", SHAPES_OF_A)
def test_matches_the_loop_forward_and_backward(steps, dtype, shape_of_a):
    assert_matches_the_loop(steps, dtype, shape_of_a)


@pytest.fixture
def on_gpu(monkeypatch, empty_is_nan):
    """The GPU's kernel, in tiles that short sequences fill; in Triton's interpreter where there is no GPU."""
    pytest.importorskip("triton")
    from models.kernels.gpu import scan as kernel

    monkeypatch.setattr(kernel, "STEPS", 8)
    monkeypatch.setattr(kernel, "WIDTH", 2)
    monkeypatch.setattr(scan, "loop_backend", lambda _: "triton")
    return "cuda" if torch.cuda.is_available() else "cpu"


@pytest.mark.parametrize("steps", [1, 7, 8, 17])
@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64])
@pytest.mark.parametrize("shape_of_a", SHAPES_OF_A)
def test_the_gpu_kernel_matches_the_loop(on_gpu, steps, dtype, shape_of_a):
    assert_matches_the_loop(steps, dtype, shape_of_a, on_gpu)


def test_the_gpu_kernel_takes_any_channels_and_nothing(on_gpu):
    a_BTEN, b_BTEN = (torch.randn(2, 5, 2, 3, device=on_gpu) for _ in range(2))
    flat = linear_scan(a_BTEN.flatten(2), b_BTEN.flatten(2))
    torch.testing.assert_close(linear_scan(a_BTEN, b_BTEN).flatten(2), flat)
    torch.testing.assert_close(
        linear_scan(a_BTEN[:, :1, 0], b_BTEN[:, :, 0])[..., 0], linear_scan(a_BTEN[:, :1, 0, 0], b_BTEN[:, :, 0, 0])
    )
    assert linear_scan(a_BTEN[:0], b_BTEN[:0]).shape == (0, 5, 2, 3)


def test_the_gpu_kernel_does_not_read_the_first_decay(on_gpu):
    a_BTN, b_BTN = torch.rand(1, 9, 2, device=on_gpu), torch.randn(1, 9, 2, device=on_gpu)
    expected = linear_scan(a_BTN, b_BTN)
    a_BTN[:, 0] = torch.nan
    torch.testing.assert_close(linear_scan(a_BTN, b_BTN), expected)


def test_channels_are_optional():
    for dtype in DTYPES:
        a_BT, b_BT = draw(2, 9, dtype=dtype), draw(2, 9, dtype=dtype)
        torch.testing.assert_close(linear_scan(a_BT, b_BT), linear_scan(a_BT[..., None], b_BT[..., None])[..., 0])


def test_a_zero_forgets():
    b_BTN = torch.randn(1, 9, 2)
    torch.testing.assert_close(linear_scan(torch.zeros(2), b_BTN), b_BTN)


def test_real_decay_and_complex_input_mix():
    b_BTN = torch.randn(1, 9, 2, dtype=torch.complex64)
    a_N = torch.full((2,), 0.5)
    torch.testing.assert_close(linear_scan(a_N, b_BTN).real, linear_scan(a_N, b_BTN.real))


def test_stays_exact_over_a_long_sequence():
    steps = 5000
    a_N = torch.tensor([0.9999, 1.0, -1.0], dtype=torch.float64)
    ones = torch.ones(1, steps, 3, dtype=torch.float64)
    end = linear_scan(a_N, ones)[0, -1]
    expected = torch.tensor([(1 - 0.9999**steps) / 1e-4, steps, 0.0], dtype=torch.float64)
    torch.testing.assert_close(end, expected)
