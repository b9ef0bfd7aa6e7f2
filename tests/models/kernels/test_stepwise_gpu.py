"""The GPU kernels of what goes through time step by step, against torch's loop: on a GPU, or interpreted without one.

Shapes: B batch, T time, D input.
"""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from models import indrnn, sru
from models.cornn import CoRNN
from models.exprnn import ExpRNN
from models.hippo import HiPPO
from models.indrnn import IndRNN
from models.lem import LEM
from models.lmu import LMU
from models.recurrences import scan, stepwise
from models.recurrences.stepwise import StepwiseRecurrence
from models.sru import SRU

pytest.importorskip("triton")

from models.kernels.gpu import indrnn as indrnn_kernel
from models.kernels.gpu import sru as sru_kernel
from models.kernels.gpu.cornn import cornn_loop
from models.kernels.gpu.hippo import hippo_loop
from models.kernels.gpu.indrnn import every_state
from models.kernels.gpu.lem import lem_loop
from models.kernels.gpu.product import product_loop
from models.kernels.gpu.sru import statistics

pytestmark = pytest.mark.usefixtures("empty_is_nan")
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
Layer = StepwiseRecurrence | SRU
LAYERS: dict[str, tuple[type[Layer], dict[str, Any]]] = {
    "cornn": (CoRNN, {"hidden_size": 5, "dt": 0.3, "gamma": 1.7, "epsilon": 0.9}),
    "exprnn": (ExpRNN, {"hidden_size": 6}),
    "hippo": (HiPPO, {"hidden_size": 5, "order": 3}),
    "wide hippo": (HiPPO, {"hidden_size": 2, "order": 8}),
    "capped hippo": (HiPPO, {"hidden_size": 3, "order": 4, "max_length": 6}),
    "indrnn": (IndRNN, {"hidden_size": 6}),
    "lem": (LEM, {"hidden_size": 5, "dt": 0.7}),
    "one indrnn": (IndRNN, {"hidden_size": 1}),
    "lmu": (LMU, {"hidden_size": 4, "order": 3}),
    "sru": (SRU, {"stat_size": 5, "recur_size": 3, "output_size": 4}),
    "sru of one number": (SRU, {"stat_size": 1, "recur_size": 1, "output_size": 1, "decays": (0.9,)}),
}


@pytest.fixture(autouse=True)
def on_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stepwise, "loop_backend", lambda x: "torch" if x.dtype == torch.float64 else "triton")
    monkeypatch.setattr(sru, "loop_backend", stepwise.loop_backend)
    monkeypatch.setattr(scan, "loop_backend", stepwise.loop_backend)
    monkeypatch.setattr(indrnn, "made_again", lambda *_: False)
    monkeypatch.setattr(indrnn_kernel, "WIDTH", 4)
    for cls, _ in LAYERS.values():
        monkeypatch.setattr(cls, "compiled", lambda *_: pytest.fail("the kernel for CPUs was called"))


def build(name: str, steps: int) -> Layer:
    torch.manual_seed(0)
    cls, settings = LAYERS[name]
    layer = cls(cls.Config(**settings), input_size=3, seq_len=steps).to(DEVICE).eval()
    if isinstance(layer, ExpRNN):
        torch.nn.init.uniform_(layer.bias, -0.3, 0.1)  # some units at rest, some not
    if isinstance(layer, IndRNN):
        layer.u.data[::2] *= -1
    return layer


def results(layer: Layer, x_BTD: Tensor, lengths_B: Tensor) -> list[Tensor]:
    torch.manual_seed(1)
    x_BTD = x_BTD.detach().requires_grad_()
    y_BTH, last_BH = layer(x_BTD), layer.last(x_BTD, lengths_B)
    loss = (y_BTH * torch.randn(y_BTH.shape).to(y_BTH)).sum() + (last_BH * torch.randn(last_BH.shape).to(y_BTH)).sum()
    gradients = torch.autograd.grad(loss, [x_BTD, *layer.parameters()], materialize_grads=True)
    return [tensor.detach().float() for tensor in (y_BTH, last_BH, *gradients)]


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
    monkeypatch.setattr(sru_kernel if isinstance(layer, SRU) else layer, "fits_registers", lambda *_: False)
    assert layer.facts() != {"loop": "triton"}


@pytest.mark.parametrize(
    ("operator", "shapes", "settings"),
    [
        (cornn_loop, ((2, 5, 4), (8, 4)), (0.3, 1.7, 0.9)),
        (hippo_loop, ((2, 5, 9), (3, 8), (1, 4), (3,)), (4,)),
        (every_state, ((2, 5, 3), (3,)), ()),
        (lem_loop, ((2, 5, 8), (2, 6), (2, 2)), (0.7,)),
        (product_loop, ((2, 5, 4), (4, 4), (3,)), ("tanh",)),
        (product_loop, ((2, 5, 4), (4, 4), (3,)), ("modrelu",)),
        (statistics, ((2, 5, 4), (2, 3, 4), (3,), (3, 4), (2,)), ()),
    ],
)
def test_the_operators_satisfy_torch(operator: Any, shapes: tuple[tuple[int, ...], ...], settings: Any) -> None:
    checks = ("test_schema", "test_autograd_registration", "test_faketensor")
    given = tuple(torch.randn(*shape, device=DEVICE, requires_grad=True) for shape in shapes)
    torch.library.opcheck(operator, (*given, *settings), test_utils=checks)
