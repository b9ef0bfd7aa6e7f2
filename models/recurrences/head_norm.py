"""Norms of linear attentions: keys of length 1, and outputs by their root mean square in each head, scaled and gated.

Shapes: N heads, e value size.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.kernels.backend import runs_compiled

EPSILON = 1e-5  # of the authors' norms


class HeadNorm(nn.Module):
    """Maps o to o / √(mean o² + ε) ⊙ w ⊙ SiLU(z) in each head. All heads share w, which starts at 1.

    Args:
        size: e.
        divisor: what o would be divided by before. The norm undoes that, but for ε, which it makes larger instead.
    """

    def __init__(self, size: int, divisor: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.epsilon = EPSILON * divisor**2

    def forward(self, o_Ne: Tensor, z_V: Tensor | None = None) -> Tensor:
        """Return (…, N e).

        Args:
            o_Ne: a head's outputs, (…, N, e), in full precision.
            z_V: the gate before SiLU, (…, N e). Without it there is none.
        """
        if z_V is not None and o_Ne.dim() == 4 and runs_compiled(o_Ne, z_V):
            return self.compiled(o_Ne, z_V.unflatten(-1, o_Ne.shape[2:]))
        scale_N1 = torch.rsqrt(o_Ne.square().mean(-1, keepdim=True) + self.epsilon)
        y_V = (o_Ne * scale_N1 * self.weight).flatten(-2)
        return y_V if z_V is None else y_V * F.silu(z_V)

    def compiled(self, o_BTNe: Tensor, z_BTNe: Tensor) -> Tensor:
        from models.kernels.cpu.head_norm import GatedHeadNorm  # numba takes a second to import

        y_BTNe: Tensor = GatedHeadNorm.apply(o_BTNe, self.weight, z_BTNe, o_BTNe.new_tensor([self.epsilon]))
        return y_BTNe.flatten(-2)


def unit(x_d: Tensor, epsilon: float) -> Tensor:
    """Return x / √(|x|² + ε), (…, d): vectors of length 1, with a gradient at zero too."""
    return x_d * torch.rsqrt(x_d.square().sum(-1, keepdim=True) + epsilon)
