"""The best constant answer against a search for it, by the loss that training uses."""

import pytest
import torch
from torch import Tensor, nn

from datamodules._spec import IGNORED, Continuous, Label, TaskSpec, TokenPerStep, Value, ValuePerStep
from models.shared.constant_answer import constant_answer, start_at_constant
from models.shared.lightning_module import SequenceModule
from models.shared.training import Training
from tests.models.shared.test_lightning_module import Says

N, T = 2_000, 3


def spec(output: Label | Value | TokenPerStep | ValuePerStep, metric: str, chance: float) -> TaskSpec:
    return TaskSpec(name="any", summary="", seq_len=T, input=Continuous(1), output=output, metric=metric,
                    chance=chance, solved=1 - chance, source="", license="", citation="")  # fmt: skip


def masked(y: Tensor, value: float) -> Tensor:
    y[:, 0] = value
    return y


CASES = {
    "labels": (spec(Label(3), "accuracy", 0.3), lambda: torch.randint(3, (N,)).clamp(max=1)),
    "bytes": (spec(Label(3), "accuracy", 0.3), lambda: torch.randint(3, (N,)).byte()),
    "tokens": (spec(TokenPerStep(4), "accuracy", 0.3), lambda: masked(torch.randint(4, (N, T)) // 2, IGNORED)),
    "values": (spec(Value(2), "mse", 0.9), lambda: torch.randn(N, 2).exp()),
    "absolute": (spec(Value(2), "mae", 0.9), lambda: torch.randn(N, 2).exp()),
    "values of steps": (spec(ValuePerStep(2), "mse", 0.9), lambda: masked(torch.randn(N, T, 2).exp(), torch.nan)),
}


@pytest.mark.parametrize("name", CASES)
def test_no_constant_has_a_smaller_loss(name: str) -> None:
    torch.manual_seed(0)
    task, draw = CASES[name]
    y = draw()
    answer_V = constant_answer(task, y)
    least = loss(task, answer_V, y)
    for number in range(len(answer_V)):
        for change in (-0.05, 0.05):
            other_V = answer_V.clone()
            other_V[number] += change
            assert loss(task, other_V, y) > least - 1e-3 * abs(least)


def loss(task: TaskSpec, answer_V: Tensor, y: Tensor) -> float:
    outputs = answer_V.expand(*y.shape[: 2 if task.per_step else 1], -1)
    module = SequenceModule(Says(outputs), task, Training())  # type: ignore[arg-type]
    return module.loss(outputs, y.long() if y.dtype == torch.uint8 else y).item()


def test_a_class_that_never_occurs_keeps_a_finite_bias() -> None:
    readout = nn.Linear(4, 3)
    start_at_constant(readout, spec(Label(3), "accuracy", 0.3), torch.tensor([0, 0, 1]))
    assert readout.bias.exp().tolist() == pytest.approx([3 / 6, 2 / 6, 1 / 6])


def test_a_readout_without_bias_stays() -> None:
    readout = nn.Linear(4, 3, bias=False)
    before = readout.weight.clone()
    start_at_constant(readout, spec(Label(3), "accuracy", 0.3), torch.tensor([0, 0, 1]))
    assert torch.equal(readout.weight, before)
