"""torch.compile of what goes through time step by step: a few steps a graph, whatever the length."""

import pytest
import torch
from torch._dynamo.testing import CompileCounter

from models.cornn import CoRNN
from models.hippo import HiPPO
from models.lem import LEM
from models.recurrences import stepwise


@pytest.mark.parametrize("model", [CoRNN, LEM, HiPPO])
def test_a_longer_sequence_is_no_more_to_compile(
    monkeypatch: pytest.MonkeyPatch, model: type[stepwise.StepwiseRecurrence]
) -> None:
    monkeypatch.setattr(stepwise, "runs_compiled", lambda *_: False)
    graphs = {}
    for steps in (40, 80):
        torch._dynamo.reset()
        layer = model(model.Config.at_width(4), input_size=2, seq_len=steps)
        counter = CompileCounter()
        compiled = torch.compile(layer, backend=counter)
        x_BTD = torch.randn(3, steps, 2)
        torch.testing.assert_close(compiled(x_BTD), layer(x_BTD))
        graphs[steps] = (counter.frame_count, counter.op_count)
    assert graphs[40] == graphs[80]
    assert graphs[40][0] > 0


def test_steps_that_are_left_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stepwise, "runs_compiled", lambda *_: False)
    layer = CoRNN(CoRNN.Config.at_width(4), input_size=2, seq_len=19)
    x_BTD = torch.randn(3, 19, 2)
    state, outputs = layer.initial_state(3), []
    for x_BD in x_BTD.unbind(1):
        y_BH, state = layer.step(x_BD, state)
        outputs.append(y_BH)
    torch.testing.assert_close(layer(x_BTD), torch.stack(outputs, dim=1))
