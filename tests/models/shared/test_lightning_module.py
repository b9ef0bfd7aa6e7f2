"""Losses, metrics and predictions of every kind of output, against scikit-learn on the answers that count.

B batch, T time, V vocabulary, W width.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score, mean_absolute_error, mean_squared_error
from torch import Tensor, nn
from torch.nn import functional as F

from bench.submissions.scoring import score
from datamodules._base import Samples
from datamodules._spec import IGNORED, Continuous, Label, TaskSpec, TokenPerStep, Value, ValuePerStep
from models.gru import GRU
from models.shared.lightning_module import SequenceModule, predicted, scored
from models.shared.training import Training
from models.shared.wrappers import WRAPPERS

B, T, CLASSES, WIDTH, START = 40, 9, 4, 3, 5
SPEC = TaskSpec(
    name="task", summary="", seq_len=T, input=Continuous(2), output=Label(CLASSES), metric="accuracy", chance=0.25,
    source="", license="", citation="",
)  # fmt: skip


class Says(nn.Module):
    """A network that says what it is given."""

    def __init__(self, outputs: Tensor) -> None:
        super().__init__()
        self.outputs = outputs

    def forward(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        return self.outputs[x[:, 0, 0].long()]


def evaluated(spec: TaskSpec, outputs: Tensor, y: Tensor) -> tuple[float, float, np.ndarray]:
    """The loss, the metric and the kept predictions, evaluated in three batches of different sizes."""
    module = SequenceModule(Says(outputs), spec, Training())  # type: ignore[arg-type]
    said = []
    for index in torch.arange(len(y)).split([7, 20, 13]):
        batch = Samples(index[:, None, None].expand(-1, T, 2).float(), y[index])
        said.append(predicted(spec, module.evaluate(batch), batch.y))
    rows = torch.cat(said)
    if spec.per_step:
        rows = rows[~rows.isnan().any(-1) if rows.dim() == 3 else rows != IGNORED]
    return float(module.mean_loss()), float(module.metric.compute()), rows.numpy()


def tokens(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    y_BT = torch.randint(CLASSES - 1, (B, T), generator=generator)  # the last class is never asked for
    y_BT[torch.rand(B, T, generator=generator) < 0.3] = IGNORED
    return torch.randn(B, T, CLASSES, generator=generator), y_BT


@pytest.mark.parametrize("metric", ["accuracy", "macro-f1"])
def test_tokens_before_the_first_scored_position_are_trained_and_not_scored(metric) -> None:
    spec = replace(SPEC, output=TokenPerStep(CLASSES, scored_from=START), metric=metric)
    logits_BTV, y_BT = tokens(torch.Generator().manual_seed(0))
    loss, value, kept = evaluated(spec, logits_BTV, y_BT)
    assert loss == pytest.approx(float(F.cross_entropy(logits_BTV.flatten(0, 1), y_BT.flatten(), ignore_index=IGNORED)))
    late = y_BT[:, START:]
    asked = late[late != IGNORED]
    said = logits_BTV[:, START:].argmax(-1)[late != IGNORED]
    assert kept.tolist() == said.tolist()
    expected = accuracy_score(asked, said) if metric == "accuracy" else f1_score(asked, said, average="macro")
    assert value == pytest.approx(expected)
    again = score(spec, kept.astype(np.uint8), scored(spec, y_BT).numpy())
    assert again.value == pytest.approx(expected)


@pytest.mark.parametrize("metric", ["mse", "mae"])
def test_values_at_every_step_count_where_they_are_asked_for(metric) -> None:
    spec = replace(SPEC, output=ValuePerStep(WIDTH, scored_from=START), metric=metric, chance=1.0, solved=1e-3)
    generator = torch.Generator().manual_seed(0)
    y_BTW, outputs_BTW = torch.randn(2, B, T, WIDTH, generator=generator)
    y_BTW[torch.rand(B, T, generator=generator) < 0.3] = torch.nan
    loss, value, kept = evaluated(spec, outputs_BTW, y_BTW)
    error = mean_squared_error if metric == "mse" else mean_absolute_error
    there = ~y_BTW[..., 0].isnan()
    assert loss == pytest.approx(error(y_BTW[there], outputs_BTW[there]), rel=1e-5)
    there[:, :START] = False
    assert kept == pytest.approx(outputs_BTW[there].numpy())
    assert value == pytest.approx(error(y_BTW[there], outputs_BTW[there]), rel=1e-5)
    assert score(spec, kept, scored(spec, y_BTW).numpy()).value == pytest.approx(value, rel=1e-5)


def test_a_masked_value_has_no_gradient() -> None:
    spec = replace(SPEC, output=ValuePerStep(1), metric="mse", chance=1.0, solved=1e-3)
    outputs_BTW = torch.randn(2, T, 1, requires_grad=True)
    y_BTW = torch.zeros(2, T, 1)
    y_BTW[:, 3] = torch.nan
    SequenceModule(Says(outputs_BTW), spec, Training()).loss(outputs_BTW, y_BTW).backward()  # type: ignore[arg-type]
    assert outputs_BTW.grad is not None
    assert outputs_BTW.grad.isfinite().all()
    assert ((outputs_BTW.grad != 0).all(0).squeeze() == (torch.arange(T) != 3)).all()


def test_the_mean_absolute_error_is_trained_and_scored() -> None:
    spec = replace(SPEC, output=Value(WIDTH), metric="mae", chance=1.0, solved=1e-3)
    y_BW, outputs_BW = torch.randn(2, B, WIDTH, generator=torch.Generator().manual_seed(0))
    loss, value, kept = evaluated(spec, outputs_BW, y_BW)
    assert [loss, value] == pytest.approx([mean_absolute_error(y_BW, outputs_BW)] * 2, rel=1e-5)
    assert score(spec, kept, y_BW.numpy()).value == pytest.approx(value, rel=1e-5)


def test_the_standard_error_of_macro_f1_is_that_of_resamples() -> None:
    spec = replace(SPEC, output=Label(CLASSES), metric="macro-f1")
    rng = np.random.default_rng(0)
    y = rng.choice(CLASSES, p=[0.6, 0.2, 0.15, 0.05], size=2_000)
    said = np.where(rng.random(2_000) < 0.7, y, rng.integers(CLASSES, size=2_000))
    found = score(spec, said.astype(np.uint8), y)
    assert found.value == pytest.approx(f1_score(y, said, average="macro"))
    draws = rng.integers(2_000, size=(400, 2_000))
    spread = np.std([f1_score(y[index], said[index], average="macro") for index in draws])
    assert found.error == pytest.approx(spread, rel=0.15)


@pytest.mark.parametrize("wrapper", WRAPPERS.values(), ids=WRAPPERS)
def test_both_wrappers_answer_with_values_at_every_step(wrapper) -> None:
    spec = replace(SPEC, output=ValuePerStep(WIDTH), metric="mse", chance=1.0, solved=1e-3)
    network = wrapper(GRU, GRU.Config(hidden_size=4), spec, wrapper.Config())
    assert network(torch.randn(B, T, 2), None).shape == (B, T, WIDTH)


def test_a_metric_must_fit_the_output() -> None:
    with pytest.raises(ValueError, match="metric 'mae' does not fit"):
        replace(SPEC, metric="mae")
    with pytest.raises(ValueError, match="metric 'macro-f1' does not fit"):
        replace(SPEC, output=ValuePerStep(), metric="macro-f1")
