"""Mamba's GPU kernel against the scan in chunks: on a GPU, or interpreted without one.

Shapes: B batch, T time, E channels, N states of a channel.
"""

import pytest
import torch
from torch import Tensor

from models import mamba

pytest.importorskip("triton")
from models.kernels.gpu import mamba as kernel

pytestmark = pytest.mark.usefixtures("empty_is_nan")
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
SHAPES = {  # batch, time, channels, states
    "several segments and blocks": (2, 11, 5, 4),
    "one step": (1, 1, 4, 8),
    "whole segments": (3, 8, 4, 2),
    "states that are no power of two": (2, 9, 3, 7),
}


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "SEGMENT", 4)
    monkeypatch.setattr(kernel, "WIDTH", 2)


def draw(shape: tuple[int, int, int, int]) -> list[Tensor]:
    """x, Δ, A, B and C; Δ > 0 > A."""
    B, T, E, N = shape
    drawn = [
        torch.randn(B, T, E),
        torch.rand(B, T, E),
        -4 * torch.rand(E, N),
        torch.randn(B, T, N),
        torch.randn(B, T, N),
    ]
    return [tensor.to(DEVICE).requires_grad_() for tensor in drawn]


def with_gradients(y_BTE: Tensor, given: list[Tensor]) -> list[Tensor]:
    torch.manual_seed(1)
    weight_BTE = torch.randn(y_BTE.shape).to(DEVICE)
    return [y_BTE.detach(), *torch.autograd.grad((y_BTE * weight_BTE).sum(), given)]


@pytest.mark.parametrize("shape", SHAPES)
def test_equals_the_scan_in_chunks(shape: str) -> None:
    given = draw(SHAPES[shape])
    by_chunks = torch.cat(list(mamba.scan_in_chunks(*(tensor.double() for tensor in given))), dim=1)
    expected = with_gradients(by_chunks.float(), given)
    for found, wanted in zip(with_gradients(kernel.selective_scan(*given), given), expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_the_layer_takes_it_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = mamba.Mamba(mamba.Mamba.Config(hidden_size=4, state_size=3), input_size=2, seq_len=9).to(DEVICE)
    x_BTD = torch.randn(2, 9, 2, device=DEVICE, requires_grad=True)
    given = [x_BTD, *layer.parameters()]
    expected = with_gradients(layer.double()(x_BTD.double()).float(), given)
    layer.float()
    monkeypatch.setattr(mamba, "runs_compiled", lambda *_: False)
    monkeypatch.setattr(mamba, "loop_backend", lambda _: "triton")
    called = []
    monkeypatch.setattr(kernel, "scan", lambda *given, scan=kernel.scan: called.append(1) or scan(*given))
    found = with_gradients(layer(x_BTD), [x_BTD, *layer.parameters()])
    assert called
    assert layer.facts() == {"scan": "triton"}
    for ours, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, wanted.float(), rtol=1e-4, atol=1e-5)


def test_an_empty_batch() -> None:
    given = draw((0, 5, 4, 2))
    found = with_gradients(kernel.selective_scan(*given), given)
    assert [tensor.shape for tensor in found[1:]] == [tensor.shape for tensor in given]
    assert not any(tensor.any() for tensor in found)


def test_runs_are_equal_to_the_last_bit() -> None:
    given = draw((2, 9, 5, 4))
    first, second = (with_gradients(kernel.selective_scan(*given), given) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_the_operators_satisfy_torch() -> None:
    checks = ("test_schema", "test_autograd_registration", "test_faketensor")
    torch.library.opcheck(kernel.scan, tuple(draw((2, 5, 4, 2))), test_utils=checks)
