"""The short convolution through time of linear attentions, a filter for each channel: y_t = SiLU(Σ_j w_j x_{t−K+1+j}).

Shapes: B batch, T time, E channels, K width of the filters.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.kernels.backend import runs_compiled


class ShortConvolution(nn.Conv1d):
    """A causal depthwise convolution without bias, then SiLU. It starts as torch's own.

    Args:
        channels: E.
        size: K, the inputs that an output sees.
    """

    def __init__(self, channels: int, size: int) -> None:
        super().__init__(channels, channels, size, groups=channels, bias=False)

    def forward(self, x_BTE: Tensor) -> Tensor:
        """Return y, (B, T, E), from zeros before the first step."""
        if not runs_compiled(x_BTE, self.weight):
            return self.continued(F.pad(x_BTE, (0, 0, self.kernel_size[0] - 1, 0)))
        from models.kernels.cpu.mamba_conv import ConvSiLU  # numba takes a second to import

        y_BTE: Tensor = ConvSiLU.apply(x_BTE, self.weight[:, 0], self.weight.new_zeros(self.out_channels))
        return y_BTE

    def continued(self, x_BTE: Tensor) -> Tensor:
        """Return y, K − 1 steps shorter than the input."""
        return F.silu(super().forward(x_BTE.transpose(1, 2)).transpose(1, 2))

    def initial_window(self, batch_size: int) -> Tensor:
        """Return the inputs before the first step, (B, K − 1, E)."""
        return self.weight.new_zeros(batch_size, self.kernel_size[0] - 1, self.out_channels)

    def step(self, x_BE: Tensor, window_BKE: Tensor) -> tuple[Tensor, Tensor]:
        """Return y, (B, E), and the last K − 1 inputs."""
        window_BKE = torch.cat([window_BKE, x_BE.unsqueeze(1)], dim=1)
        return self.continued(window_BKE).squeeze(1), window_BKE[:, 1:]
