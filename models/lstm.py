"""LSTM: long short-term memory with a forget gate.

    i_t, f_t, o_t = σ(W x_t + U h_{t−1} + b)  for each gate
    g_t = tanh(W_g x_t + U_g h_{t−1} + b_g)
    c_t = f_t ⊙ c_{t−1} + i_t ⊙ g_t
    h_t = o_t ⊙ tanh(c_t)                         (Hochreiter & Schmidhuber 1997; forget gate: Gers et al. 2000)

Shapes: B batch, T time, D input, H hidden. State: 2H numbers a sequence. Time O(T H²).
"""

from torch import nn

from models._base import Paper
from models._torch_rnn import HiddenSizeConfig, TorchRecurrent
from models._wrappers import Plain


class LSTM(TorchRecurrent):
    """torch.nn.LSTM."""

    paper = Paper("Long Short-Term Memory", 1997, "https://doi.org/10.1162/neco.1997.9.8.1735")
    family = "gated recurrence"
    wrapper = Plain
    Config = HiddenSizeConfig
    layer = nn.LSTM
    states = 2
