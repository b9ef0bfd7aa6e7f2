"""What both layers of xLSTM have: a norm within each head, and the start of their maps (Beck et al. 2024).

Shapes: N heads, E channels of all of them side by side.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class HeadLayerNorm(nn.Module):
    """LayerNorm of each head by itself, with a learned scale for each channel, (…, E) to (…, E).

    Args:
        channels: E, a multiple of `heads`.
        heads: N.
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.scale = nn.Parameter(torch.ones(channels))

    def forward(self, h_E: Tensor) -> Tensor:
        size = len(self.scale) // self.heads
        return F.layer_norm(h_E.unflatten(-1, (self.heads, size)), (size,)).flatten(-2) * self.scale


def small_start(size: int) -> float:
    """Return the standard deviation at which the authors start maps of a stream of this width."""
    return (2 / (5 * size)) ** 0.5
