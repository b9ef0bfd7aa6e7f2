"""minLSTM: an LSTM whose gates do not depend on the state and sum to 1.

    f_t = σ(W_f x_t),    i_t = σ(W_i x_t)
    h̃_t = g(W_h x_t),    g(v) = v + ½ for v ≥ 0, else σ(v)
    f′_t = f_t / (f_t + i_t),  i′_t = i_t / (f_t + i_t)
    h_t = f′_t ⊙ h_{t−1} + i′_t ⊙ h̃_t                              (Feng et al. 2024, §3.2 and appendix B)
    y_t = h_t,  or W_y h_t where E ≠ H

Shapes: B batch, T time, D input, H output, E = expansion · H units. State: E numbers a sequence. Time O(T E (D + H)),
depth O(log T).
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from models.recurrences.gated_linear import GatedLinearRecurrence, positive
from models.shared.contract import Paper


class MinLSTM(GatedLinearRecurrence):
    """The minimal long short-term memory."""

    paper = Paper("Were RNNs All We Needed?", 2024, "https://arxiv.org/abs/2410.01201")
    display_name = "minLSTM"
    family = "linear recurrence and state space"
    wrapper = "residual"
    golden = ("minlstm", "minlstm_expand", "minlstm_init")
    projections = 3
    cell = "minlstm"
    authors_name = "to_hidden_and_f_i_gate.weight"

    def coefficients(self, z_Q: Tensor) -> tuple[Tensor, Tensor]:
        forget_E, admit_E, candidate_E = z_Q.chunk(3, dim=-1)
        # f / (f + i) = σ(log f − log i), which has no quotient of two numbers that may both be tiny.
        forget_share_E = torch.sigmoid(F.logsigmoid(forget_E) - F.logsigmoid(admit_E))
        return forget_share_E, (1 - forget_share_E) * positive(candidate_E)
