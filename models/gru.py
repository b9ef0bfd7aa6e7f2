"""GRU: the gated recurrent unit, in torch's form, where the reset gate acts after the recurrent product.

    r_t = σ(W_r x_t + U_r h_{t−1} + b_r)
    z_t = σ(W_z x_t + U_z h_{t−1} + b_z)
    n_t = tanh(W_n x_t + b_n + r_t ⊙ (U_n h_{t−1} + c_n))
    h_t = (1 − z_t) ⊙ n_t + z_t ⊙ h_{t−1}                       (Cho et al. 2014, §2.3)

Shapes: B batch, T time, D input, H hidden. State: H numbers a sequence. Time O(T H²).
"""

from torch import nn

from models.recurrences.torch_layers import TorchRecurrent
from models.shared.contract import HiddenSizeConfig, Paper


class GRU(TorchRecurrent):
    """One layer of torch.nn.GRU."""

    paper = Paper(
        "Learning Phrase Representations using RNN Encoder–Decoder for Statistical Machine Translation",
        2014,
        "https://arxiv.org/abs/1406.1078",
    )
    family = "gated recurrence"
    wrapper = "plain"
    Config = HiddenSizeConfig
    torch_layer = nn.GRU
