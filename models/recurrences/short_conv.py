"""The short convolution in front of many recurrences: each channel's last K inputs, weighted.

    y_t = b + Σ_{j<K} w_j x_{t−K+1+j}        inputs before the first step are zero

Shapes: B batch, T time, E channels, K width.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.kernels.backend import runs_compiled


class ShortConv(nn.Conv1d):
    """A causal depthwise convolution, (B, T, E) to (B, T, E), with torch's own parameters and start.

    Args:
        channels: E.
        width: K.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__(channels, channels, width, groups=channels)
        self.before = width - 1

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # as torch names it
        return self.inside(F.pad(input, (0, 0, self.before, 0)))

    def inside(self, x_BTE: Tensor) -> Tensor:
        """Return the outputs that have all their inputs, K − 1 steps fewer than x has."""
        return super().forward(x_BTE.transpose(1, 2)).transpose(1, 2)

    def silu(self, x_BTE: Tensor) -> Tensor:
        """Return SiLU of the convolution, on a CPU by a kernel."""
        if not runs_compiled(x_BTE, self.weight) or self.bias is None:
            return F.silu(self(x_BTE))
        from models.kernels.cpu.mamba_conv import ConvSiLU  # numba takes a second to import

        y_BTE: Tensor = ConvSiLU.apply(x_BTE, self.weight[:, 0], self.bias)
        return y_BTE

    def initial_window(self, batch_size: int) -> Tensor:
        """Return the inputs before the first step, (B, K − 1, E)."""
        return self.weight.new_zeros(batch_size, self.before, self.in_channels)

    def step(self, x_BE: Tensor, window_BKE: Tensor) -> tuple[Tensor, Tensor]:
        """Return one step's output, (B, E), and the last K − 1 inputs."""
        window_BKE = torch.cat([window_BKE, x_BE.unsqueeze(1)], dim=1)
        return self.inside(window_BKE).squeeze(1), window_BKE[:, 1:]
