"""minLSTM: an LSTM whose gates do not depend on the state and sum to 1.

    f_t = σ(W_f x_t + b_f),    i_t = σ(W_i x_t + b_i),    h̃_t = W_h x_t + b_h
    f′_t = f_t / (f_t + i_t),  i′_t = i_t / (f_t + i_t)
    h_t = f′_t ⊙ h_{t−1} + i′_t ⊙ h̃_t                              (Feng et al. 2024, §3.2)

Shapes: B batch, T time, D input, H hidden. State: H numbers a sequence. Time O(T H D), depth O(log T).
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from models.recurrences.gated_linear import GatedLinearRecurrence
from models.shared.contract import HiddenSizeConfig, Paper


class MinLSTM(GatedLinearRecurrence):
    """The minimal long short-term memory."""

    paper = Paper("Were RNNs All We Needed?", 2024, "https://arxiv.org/abs/2410.01201")
    family = "gated linear recurrence"
    wrapper = "residual"
    deviations = {
        "candidate": (
            "Linear, as in the paper's §3. The reference code makes it positive by g(v) = v + ½ for v ≥ 0, else "
            "σ(v). To be mended."
        ),
        "biases": "The three maps have one, in the reference code none. To be mended with the candidate.",
        "expansion": (
            "None. The reference code can widen the state and project it back. To be mended with the candidate."
        ),
    }
    Config = HiddenSizeConfig
    projections = 3
    cell = "minlstm"
    authors_name = "to_hidden_and_f_i_gate.weight"

    def coefficients(self, z_Q: Tensor) -> tuple[Tensor, Tensor]:
        forget_H, admit_H, candidate_H = z_Q.chunk(3, dim=-1)
        # f / (f + i) = σ(log f − log i), which has no quotient of two numbers that may both be tiny.
        forget_share_H = torch.sigmoid(F.logsigmoid(forget_H) - F.logsigmoid(admit_H))
        return forget_share_H, (1 - forget_share_H) * candidate_H
