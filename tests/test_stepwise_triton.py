"""The GPU kernels of coRNN, expRNN, IndRNN and the LMU against torch's loop: on a GPU, or interpreted without one.

Shapes: B batch, T time, D input.
"""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from models import _stepwise, indrnn
from models._stepwise import StepwiseRecurrence
from models.cornn import CoRNN
from models.exprnn import ExpRNN
from models.indrnn import IndRNN
from models.lmu import LMU

pytest.importorskip("triton")

from models import _indrnn_triton
from models._cornn_triton import cornn_loop
from models._product_triton import product_loop

pytestmark = pytest.mark.usefixtures("empty_is_nan")
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
LAYERS: dict[str, tuple[type[StepwiseRecurrence], dict[str, Any]]] = {
    "cornn": (CoRNN, {"hidden_size": 5, "dt": 0.3, "gamma": 1.7, "epsilon": 0.9}),
    "exprnn": (ExpRNN, {"hidden_size": 6}),
    "indrnn": (IndRNN, {"hidden_size": 6}),
    "one indrnn": (IndRNN, {"hidden_size": 1}),
    "lmu": (LMU, {"hidden_size": 4, "order": 3}),
}


@pytest.fixture(autouse=True)
def on_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_stepwise, "loop_backend", lambda x: "torch" if x.dtype == torch.float64 else "triton")
    monkeypatch.setattr(indrnn, "made_again", lambda *_: False)
    monkeypatch.setattr(_indrnn_triton, "WIDTH", 4)
    for cls, _ in LAYERS.values():
        monkeypatch.setattr(cls, "compiled", lambda *_: pytest.fail("the kernel for CPUs was called"))


def build(name: str, steps: int) -> StepwiseRecurrence:
    torch.manual_seed(0)
    cls, settings = LAYERS[name]
    layer = cls(cls.Config(**settings), input_size=3, seq_len=steps).to(DEVICE)
    if isinstance(layer, ExpRNN):
        torch.nn.init.uniform_(layer.bias, -0.3, 0.1)  # some units at rest, some not
    if isinstance(layer, IndRNN):
        layer.u.data[::2] *= -1
    return layer


def results(layer: StepwiseRecurrence, x_BTD: Tensor, lengths_B: Tensor) -> list[Tensor]:
    torch.manual_seed(1)
    x_BTD = x_BTD.detach().requires_grad_()
    y_BTH, last_BH = layer(x_BTD), layer.last(x_BTD, lengths_B)
    loss = (y_BTH * torch.randn(y_BTH.shape).to(y_BTH)).sum() + (last_BH * torch.randn(last_BH.shape).to(y_BTH)).sum()
    gradients = torch.autograd.grad(loss, [x_BTD, *layer.parameters()], allow_unused=True)
    return [tensor.detach().float() for tensor in (y_BTH, last_BH, *gradients) if tensor is not None]


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize(("batch", "steps"), [(3, 17), (2, 1), (0, 5)])
def test_equals_the_loop(name: str, batch: int, steps: int) -> None:
    layer = build(name, steps)
    x_BTD = torch.randn(batch, steps, 3, device=DEVICE)
    lengths_B = torch.randint(1, steps + 1, (batch,), device=DEVICE)
    found = results(layer, x_BTD, lengths_B)
    assert layer.facts() == {"loop": "triton"}
    expected = results(layer.double(), x_BTD.double(), lengths_B)
    assert len(found) == len(expected)
    for ours, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", LAYERS)
def test_nan_stays_in_its_sequence(name: str) -> None:
    layer, x_BTD = build(name, 9), torch.randn(2, 9, 3, device=DEVICE)
    x_BTD[1, 4, 0] = math.nan
    y_BTH = layer(x_BTD)
    assert y_BTH[1, 4:].isnan().all()
    assert y_BTH[1, :4].isfinite().all()
    assert y_BTH[0].isfinite().all()


def test_modrelu_leaves_zero_where_it_is() -> None:
    s_BTK = product_loop(
        *(tensor.to(DEVICE) for tensor in (torch.zeros(1, 3, 2), torch.eye(2), torch.ones(2))), "modrelu"
    )
    assert not s_BTK.any()


@pytest.mark.parametrize("name", LAYERS)
def test_a_matrix_too_large_for_the_registers_is_left_to_torch(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    layer = build(name, 5)
    assert layer.facts() == {"loop": "triton"}
    monkeypatch.setattr(layer, "gpu_units", layer.weights()[0].shape[-1] - 1)
    assert layer.facts() != {"loop": "triton"}


def test_the_operators_satisfy_torch() -> None:
    shapes = ((2, 5, 4), (4, 4), (3,))
    given = tuple(torch.randn(*shape, device=DEVICE, requires_grad=True) for shape in shapes)
    checks = ("test_schema", "test_autograd_registration", "test_faketensor")
    for function in ("tanh", "modrelu"):
        torch.library.opcheck(product_loop, (*given, function), test_utils=checks)
    given = tuple(torch.randn(*shape, device=DEVICE, requires_grad=True) for shape in ((2, 5, 4), (8, 4)))
    torch.library.opcheck(cornn_loop, (*given, 0.3, 1.7, 0.9), test_utils=checks)
    given = tuple(torch.randn(*shape, device=DEVICE, requires_grad=True) for shape in ((2, 5, 3), (3,)))
    torch.library.opcheck(_indrnn_triton.every_state, given, test_utils=checks)
