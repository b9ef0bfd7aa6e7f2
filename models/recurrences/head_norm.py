"""Norms of linear attentions: keys of length 1, and outputs by their root mean square in each head, scaled and gated.

Shapes: N heads, e value size.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

EPSILON = 1e-5


class HeadNorm(nn.Module):
    """Maps o to o / √(mean o² + ε) ⊙ w ⊙ SiLU(z) in each head. All heads share w, which starts at 1.

    Args:
        size: e.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, o_Ne: Tensor, z_V: Tensor | None = None) -> Tensor:
        """Return (…, N e).

        Args:
            o_Ne: a head's outputs, (…, N, e), in full precision.
            z_V: the gate before SiLU, (…, N e). Without it there is none.
        """
        scale_N1 = torch.rsqrt(o_Ne.square().mean(-1, keepdim=True) + EPSILON)
        y_V = (o_Ne * scale_N1 * self.weight).flatten(-2)
        return y_V if z_V is None else y_V * F.silu(z_V)


def unit(x_d: Tensor, epsilon: float) -> Tensor:
    """Return x / √(|x|² + ε), (…, d): vectors of length 1, with a gradient at zero too."""
    return x_d * torch.rsqrt(x_d.square().sum(-1, keepdim=True) + epsilon)
