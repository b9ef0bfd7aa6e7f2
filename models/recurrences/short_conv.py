"""A short convolution over time, depthwise and causal, as it stands before many recurrences.

    y_t = f(b + Σ_{j<K} w_j x_{t−K+1+j}),    f = SiLU or the identity

Shapes: B batch, T time, E channels, K width.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.kernels.backend import runs_compiled


class ShortConv(nn.Conv1d):
    """Each channel's last K inputs, weighted. It has the parameters and the start of torch's depthwise convolution.

    Args:
        channels: E.
        size: K.
        silu: whether it ends in SiLU.
        bias: whether it has a bias.
    """

    def __init__(self, channels: int, size: int, *, silu: bool, bias: bool = True) -> None:
        super().__init__(channels, channels, size, groups=channels, bias=bias)
        self.silu = silu

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # as torch names it
        """Return y, (B, T, E). Inputs before the first step count as zero."""
        if runs_compiled(self.weight) and input.device.type == "cpu":
            from models.kernels.cpu.short_conv import convolve  # numba takes a second to import

            bias_E = self.weight.new_zeros(self.in_channels) if self.bias is None else self.bias
            return convolve(input, self.weight[:, 0], bias_E, self.silu)
        return self.over(torch.cat([self.window(len(input)).to(input), input], dim=1))

    def window(self, batch_size: int) -> Tensor:
        """Return the K − 1 inputs before the first step, which are zero, (B, K − 1, E)."""
        return self.weight.new_zeros(batch_size, self.kernel_size[0] - 1, self.in_channels)

    def step(self, x_BE: Tensor, window_BKE: Tensor) -> tuple[Tensor, Tensor]:
        """Return y of one step, (B, E), and the next window."""
        window_BKE = torch.cat([window_BKE, x_BE.unsqueeze(1)], dim=1)
        return self.over(window_BKE).squeeze(1), window_BKE[:, 1:]

    def over(self, x_BTE: Tensor) -> Tensor:
        """Return y of the steps that have K inputs, K − 1 fewer than steps."""
        y_BTE = super().forward(x_BTE.transpose(1, 2)).transpose(1, 2)
        return F.silu(y_BTE) if self.silu else y_BTE
