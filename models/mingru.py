"""minGRU: a GRU whose gate and candidate do not depend on the state.

    z_t = σ(W_z x_t)
    h̃_t = g(W_h x_t),    g(v) = v + ½ for v ≥ 0, else σ(v)
    h_t = (1 − z_t) ⊙ h_{t−1} + z_t ⊙ h̃_t                          (Feng et al. 2024, §3.1 and appendix B)
    y_t = h_t,  or W_y h_t where E ≠ H

The appendix computes h_t in logarithms, because its scan divides, and so needs a positive h̃. Our scan does not divide.

Shapes: B batch, T time, D input, H output, E = expansion · H units. State: E numbers a sequence. Time O(T E (D + H)),
depth O(log T).
"""

import torch
from torch import Tensor

from models.kernels.backend import fuses
from models.recurrences.gated_linear import GatedLinearRecurrence, positive
from models.shared.contract import Paper


class MinGRU(GatedLinearRecurrence):
    """The minimal gated recurrent unit."""

    paper = Paper("Were RNNs All We Needed?", 2024, "https://arxiv.org/abs/2410.01201")
    display_name = "minGRU"
    family = "linear recurrence and state space"
    wrapper = "residual"
    golden = ("mingru", "mingru_expand", "mingru_init")
    projections = 2
    cell = "mingru"
    authors_name = "to_hidden_and_gate.weight"

    def states(self, x_BTD: Tensor) -> Tensor:
        if not fuses(x_BTD, self.project.weight):
            return super().states(x_BTD)
        from models.kernels.cpu import mingru as kernel  # numba takes a second to import

        h_BTE: Tensor = kernel.MinGRU.apply(x_BTD, self.project.weight)
        return h_BTE

    def coefficients(self, z_Q: Tensor) -> tuple[Tensor, Tensor]:
        gate_E, candidate_E = z_Q.chunk(2, dim=-1)
        z_E = torch.sigmoid(gate_E)
        return 1 - z_E, z_E * positive(candidate_E)
