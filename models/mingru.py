"""minGRU: a GRU whose gate and candidate do not depend on the state.

    z_t = σ(W_z x_t + b_z)
    h̃_t = W_h x_t + b_h
    h_t = (1 − z_t) ⊙ h_{t−1} + z_t ⊙ h̃_t                          (Feng et al. 2024, §3.1)

The paper's appendix computes h_t in logarithms, with a positive h̃, because its scan divides. Our scan does not divide.

Shapes: B batch, T time, D input, H hidden. State: H numbers a sequence. Time O(T H D), depth O(log T).
"""

import torch
from torch import Tensor

from models.recurrences.gated_linear import GatedLinearRecurrence
from models.shared.contract import HiddenSizeConfig, Paper


class MinGRU(GatedLinearRecurrence):
    """The minimal gated recurrent unit."""

    paper = Paper("Were RNNs All We Needed?", 2024, "https://arxiv.org/abs/2410.01201")
    family = "gated linear recurrence"
    wrapper = "residual"
    deviations = {
        "candidate": (
            "Linear, as in the paper's §3. The reference code makes it positive by g(v) = v + ½ for v ≥ 0, else "
            "σ(v). To be mended."
        ),
        "biases": "Both maps have one, in the reference code none. To be mended with the candidate.",
        "expansion": (
            "None. The reference code can widen the state and project it back. To be mended with the candidate."
        ),
    }
    Config = HiddenSizeConfig
    projections = 2
    cell = "mingru"
    authors_name = "to_hidden_and_gate.weight"

    def coefficients(self, z_Q: Tensor) -> tuple[Tensor, Tensor]:
        gate_H, candidate_H = z_Q.chunk(2, dim=-1)
        z_H = torch.sigmoid(gate_H)
        return 1 - z_H, z_H * candidate_H
