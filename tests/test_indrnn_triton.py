"""IndRNN's GPU kernel against torch's loop: on a GPU, or interpreted without one. Shapes: B batch, T time, H units."""

import math

import pytest
import torch
from torch import Tensor

from models import _stepwise, indrnn
from models.indrnn import IndRNN

pytest.importorskip("triton")
from models import _indrnn_triton as kernel

pytestmark = pytest.mark.usefixtures("empty_is_nan")
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@pytest.fixture(autouse=True)
def on_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "WIDTH", 4)
    monkeypatch.setattr(_stepwise, "loop_backend", lambda x: "torch" if x.dtype == torch.float64 else "triton")
    monkeypatch.setattr(indrnn, "made_again", lambda *_: False)


def results(layer: IndRNN, x_BTD: Tensor, lengths_B: Tensor | None) -> list[Tensor]:
    torch.manual_seed(1)
    x_BTD = x_BTD.detach().requires_grad_()
    y_BTH, last_BH = layer(x_BTD), layer.last(x_BTD, lengths_B)
    loss = (y_BTH * torch.randn(y_BTH.shape).to(y_BTH)).sum() + (last_BH * torch.randn(last_BH.shape).to(y_BTH)).sum()
    gradients = torch.autograd.grad(loss, [x_BTD, *layer.parameters()])
    return [tensor.detach().float() for tensor in (y_BTH, last_BH, *gradients)]


def build(units: int, steps: int) -> IndRNN:
    torch.manual_seed(0)
    layer = IndRNN(IndRNN.Config(hidden_size=units), input_size=3, seq_len=steps).to(DEVICE)
    layer.u.data[::2] *= -1
    return layer


@pytest.mark.parametrize(("batch", "steps", "units"), [(3, 17, 6), (2, 1, 4), (1, 9, 1), (0, 5, 3)])
def test_equals_the_loop(batch: int, steps: int, units: int) -> None:
    layer = build(units, steps)
    x_BTD = torch.randn(batch, steps, 3, device=DEVICE)
    lengths_B = torch.randint(1, steps + 1, (batch,), device=DEVICE)
    found = results(layer, x_BTD, lengths_B)
    assert layer.facts() == {"loop": "triton"}
    for ours, wanted in zip(found, results(layer.double(), x_BTD.double(), lengths_B), strict=True):
        torch.testing.assert_close(ours, wanted, rtol=1e-4, atol=1e-5)


def test_nan_stays_in_its_sequence() -> None:
    layer, x_BTD = build(6, 9), torch.randn(2, 9, 3, device=DEVICE)
    x_BTD[1, 4, 0] = math.nan
    y_BTH = layer(x_BTD)
    assert y_BTH[1, 4:].isnan().all()
    assert y_BTH[1, :4].isfinite().all()
    assert y_BTH[0].isfinite().all()


def test_the_operators_satisfy_torch() -> None:
    given = (torch.randn(2, 5, 3, device=DEVICE, requires_grad=True), torch.rand(3, device=DEVICE, requires_grad=True))
    checks = ("test_schema", "test_autograd_registration", "test_faketensor")
    torch.library.opcheck(kernel.every_state, given, test_utils=checks)
