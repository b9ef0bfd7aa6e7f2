"""RNN: the simple recurrent network.

    h_t = tanh(W_x x_t + b_x + W_h h_{t−1} + b_h)               (Elman 1990)

Shapes: B batch, T time, D input, H hidden. State: H numbers a sequence. Time O(T H²).
"""

from torch import nn

from models._base import Paper
from models._torch_rnn import HiddenSizeConfig, TorchRecurrent
from models._wrappers import Plain


class RNN(TorchRecurrent):
    """torch.nn.RNN with tanh."""

    paper = Paper("Finding Structure in Time", 1990, "https://doi.org/10.1207/s15516709cog1402_1")
    family = "nonlinear recurrence"
    wrapper = Plain
    Config = HiddenSizeConfig
    layer = nn.RNN
